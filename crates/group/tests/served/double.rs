//! A double of the `warren` daemon beside the service: it answers on a socket what a test says.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use serde_json::{Value, json};

/// A daemon that lives as long as the process of the test; its socket goes with this.
pub struct Double {
    folder: tempfile::TempDir,
}

impl Double {
    /// Answers each request with a value; `Err` is what a daemon says that cannot.
    pub fn start(answer: impl Fn(&Value) -> Result<Value, String> + Send + 'static) -> Self {
        let folder = tempfile::tempdir().expect("a scratch directory");
        let double = Self { folder };
        let listener = UnixListener::bind(double.socket()).expect("binds");
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut line = String::new();
                BufReader::new(&stream).read_line(&mut line).expect("reads");
                let reply = match answer(&serde_json::from_str(&line).expect("is JSON")) {
                    Ok(value) => json!({ "ok": value }),
                    Err(error) => json!({ "error": error }),
                };
                // Whoever asked may have gone.
                let _ = writeln!(stream, "{reply}");
            }
        });
        double
    }

    /// The line of the settings that names it as the daemon of a group.
    pub fn settings(&self, group: &str) -> String {
        Self::all(&[(group, self)])
    }

    /// As [`settings`](Self::settings), for several groups.
    pub fn all(of: &[(&str, &Self)]) -> String {
        let line =
            |(group, double): &(&str, &Self)| format!("{group}: {}", double.socket().display());
        format!("daemons: {{ {} }}\n", of.iter().map(line).collect::<Vec<_>>().join(", "))
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("warren.sock")
    }
}
