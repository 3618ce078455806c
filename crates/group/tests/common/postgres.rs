//! A PostgreSQL server for one test: in a directory of its own, reached by a socket in it.
//!
//! The server refuses to run as root, so root goes into a user namespace in which it is another user.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};

/// How long a server may take to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The server; it ends with its directory.
pub struct Postgres {
    child: Child,
    folder: tempfile::TempDir,
}

impl Postgres {
    /// Makes a cluster and starts it.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a scratch directory");
        let data = folder.path().join("data");
        let made = command("initdb")
            .args(["-U", "warren", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-D"])
            .arg(&data)
            .output()
            .expect("PostgreSQL is installed by `make deps`");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let log = std::fs::File::create(folder.path().join("log")).expect("is ours");
        let child = command("postgres")
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=100", "-k"])
            .arg(folder.path())
            .arg("-D")
            .arg(&data)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("starts");
        let server = Self { child, folder };
        let started = Instant::now();
        while !server.try_sql("postgres", "SELECT 1") {
            assert!(started.elapsed() < PATIENCE, "no PostgreSQL: {}", server.log());
            std::thread::sleep(Duration::from_millis(100));
        }
        server
    }

    /// Makes a database and returns its address.
    pub fn database(&self, name: &str) -> String {
        assert!(self.try_sql("postgres", &format!("CREATE DATABASE {name}")), "{}", self.log());
        format!("postgres://warren@localhost/{name}?host={}", self.folder.path().display())
    }

    fn try_sql(&self, database: &str, sql: &str) -> bool {
        let mut psql = Command::new(find("psql"));
        psql.arg("-h").arg(self.folder.path()).args(["-U", "warren", "-d", database, "-c", sql]);
        psql.output().is_ok_and(|output| output.status.success())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Fast shutdown: clients are cut.
        let pid = i32::try_from(self.child.id()).expect("a process ID");
        let _ = kill(Pid::from_raw(pid), Signal::SIGINT);
        let _ = self.child.wait();
    }
}

fn command(program: &str) -> Command {
    let program = find(program);
    if !Uid::effective().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-user=1000", "--map-group=1000", "--"]).arg(program);
    command
}

/// Debian keeps the programs of the server outside of the path.
fn find(program: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<_> = versions
        .map(|version| version.path().join("bin").join(program))
        .filter(|path| path.exists())
        .collect();
    found.sort();
    found.pop().unwrap_or_else(|| Path::new(program).to_owned())
}
