//! A real `warren-groupd` on ports and in a directory of its own.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::client::Client;

#[path = "../common/ports.rs"]
mod ports;

/// How long the machine may take for anything: it may be busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A service that ends with its test.
pub struct Server {
    pub address: SocketAddr,
    pub operations: SocketAddr,
    pub folder: tempfile::TempDir,
    filter: &'static str,
    child: Child,
    log: Arc<Mutex<String>>,
}

impl Server {
    /// Starts a service with usual settings.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// Starts a service with further settings.
    pub fn start_with(settings: &str) -> Self {
        Self::start_logging("group=debug,info", settings)
    }

    /// Starts a service that logs so much, with further settings.
    pub fn start_logging(filter: &'static str, settings: &str) -> Self {
        let folder = tempfile::tempdir().expect("a scratch directory");
        let (address, operations) = (free_address(), free_address());
        let config = format!(
            "url: https://localhost:{}\nlisten: {address}\noperations: {operations}\n\
             state_dir: {}\n{settings}",
            address.port(),
            folder.path().display()
        );
        fs::write(folder.path().join("groupd.yaml"), config).expect("writes");
        let (child, log) = spawn(&folder.path().join("groupd.yaml"), filter);
        let server = Self { address, operations, folder, filter, child, log };
        server.wait_until_ready();
        server
    }

    /// A client that trusts the service's certificate and nothing else.
    pub fn client(&self) -> Client {
        Client::new(self.address, &self.folder.path().join("tls.crt"))
    }

    /// Asks the operations address in plain HTTP; returns the whole answer.
    pub fn operations(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.operations).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        Some(text)
    }

    /// Runs a command of the administrator with one line as input; returns its output.
    pub fn admin(&self, arguments: &[&str], input: &str) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_warren-groupd"));
        command.arg("--config").arg(self.folder.path().join("groupd.yaml")).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("starts");
        writeln!(child.stdin.take().expect("is piped"), "{input}").expect("writes");
        let output = child.wait_with_output().expect("ends");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("is text")
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        let pid = nix::unistd::Pid::from_raw(self.child.id().cast_signed());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("is ours");
    }

    /// Waits for the end; returns whether it was a good one.
    pub fn wait(&mut self) -> bool {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("is ours") {
                return status.success();
            }
            assert!(start.elapsed() < PATIENCE, "does not end: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Starts the same service again after its end.
    pub fn restart(&mut self) {
        (self.child, self.log) = spawn(&self.folder.path().join("groupd.yaml"), self.filter);
        self.wait_until_ready();
    }

    /// What a second process says that shall serve the same.
    pub fn second(&self) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_warren-groupd"));
        command.arg("--config").arg(self.folder.path().join("groupd.yaml")).arg("serve");
        let output = command.output().expect("starts");
        assert!(!output.status.success(), "it serves");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// What the service has logged.
    pub fn log(&self) -> String {
        self.log.lock().expect("no panic").clone()
    }

    fn wait_until_ready(&self) {
        self.wait_for("/readyz", " 200 ");
    }

    /// Waits until a node waits for an answer.
    pub fn wait_until_it_holds_a_question(&self) {
        self.wait_for("/metrics", "\nwarren_group_waiting 1\n");
    }

    /// Waits until the operations address says something.
    fn wait_for(&self, path: &str, text: &str) {
        let start = Instant::now();
        while !self.operations(path).is_some_and(|answer| answer.contains(text)) {
            assert!(start.elapsed() < PATIENCE, "no {text:?} at {path}: {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("log of the service:\n{}", self.log());
        }
    }
}

fn spawn(config: &PathBuf, filter: &str) -> (Child, Arc<Mutex<String>>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_warren-groupd"));
    command.arg("--config").arg(config).arg("serve").env("RUST_LOG", filter);
    let mut child = command.stderr(Stdio::piped()).spawn().expect("starts");
    let log = Arc::new(Mutex::new(String::new()));
    let (stderr, kept) = (child.stderr.take().expect("is piped"), Arc::clone(&log));
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let mut kept = kept.lock().expect("no panic");
            kept.push_str(&line);
            kept.push('\n');
        }
    });
    (child, log)
}

/// An address that is free.
pub fn free_address() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, ports::free_port()).into()
}
