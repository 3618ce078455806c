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
    port: u16,
}

impl Postgres {
    /// Makes a cluster and starts it.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a scratch directory");
        Self::start_in(folder, &["-c", "listen_addresses="])
    }

    /// Starts a cluster that is reached by TCP with TLS as well.
    pub fn start_with_tls() -> Self {
        let folder = tempfile::tempdir().expect("a scratch directory");
        let path = |name: &str| folder.path().join(name).display().to_string();
        for name in ["ca", "stranger"] {
            let request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj"];
            let files = ["/CN=test", "-keyout", &path(&format!("{name}.key"))];
            openssl(&[&request[..], &files[..], &["-out", &path(&format!("{name}.pem"))]].concat());
        }
        let names = path("names");
        std::fs::write(&names, "subjectAltName=IP:127.0.0.1\n").expect("is ours");
        let request = ["req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=server", "-keyout"];
        openssl(&[&request[..], &[&path("server.key"), "-out", &path("server.csr")]].concat());
        let sign = ["x509", "-req", "-days", "2", "-CAcreateserial", "-in", &path("server.csr")];
        let by = ["-CA", &path("ca.pem"), "-CAkey", &path("ca.key"), "-extfile", &names];
        openssl(&[&sign[..], &by[..], &["-out", &path("server.pem")]].concat());
        let (certificate, key) = (path("server.pem"), path("server.key"));
        let settings = [
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={}", super::ports::free_port()),
            "ssl=on".to_owned(),
            format!("ssl_cert_file={certificate}"),
            format!("ssl_key_file={key}"),
        ];
        let arguments: Vec<_> = settings.iter().flat_map(|setting| ["-c", setting]).collect();
        Self::start_in(folder, &arguments)
    }

    fn start_in(folder: tempfile::TempDir, settings: &[&str]) -> Self {
        let data = folder.path().join("data");
        let made = command("initdb")
            .args(["-U", "warren", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-D"])
            .arg(&data)
            .output()
            .expect("PostgreSQL is installed by `make deps`");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let log = std::fs::File::create(folder.path().join("log")).expect("is ours");
        let child = command("postgres")
            .args(settings)
            .args(["-c", "fsync=off", "-c", "max_connections=100", "-k"])
            .arg(folder.path())
            .arg("-D")
            .arg(&data)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("starts");
        let port = settings.iter().find_map(|setting| setting.strip_prefix("port="));
        let port = port.map_or(5432, |port| port.parse().expect("a port"));
        let server = Self { child, folder, port };
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

    /// Makes a database and returns its address with TLS, by the right root or by another one.
    pub fn tls_database(&self, name: &str, right_root: bool) -> String {
        self.database(name);
        let root = if right_root { "ca.pem" } else { "stranger.pem" };
        let root = self.folder.path().join(root);
        let (port, root) = (self.port, root.display());
        format!("postgres://warren@127.0.0.1:{port}/{name}?sslmode=verify-full&sslrootcert={root}")
    }

    fn try_sql(&self, database: &str, sql: &str) -> bool {
        let mut psql = Command::new(find("psql"));
        psql.arg("-h").arg(self.folder.path()).args(["-p", &self.port.to_string()]);
        psql.args(["-U", "warren", "-d", database, "-c", sql]);
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

fn openssl(arguments: &[&str]) {
    let made = Command::new("openssl").args(arguments).output();
    let made = made.expect("openssl is installed by `make deps`");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
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
