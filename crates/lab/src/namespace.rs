//! A network namespace without a name, held by a thread of this process.
//!
//! The thread leaves the process's network namespace for a new one and then runs whatever closures
//! it is given. Sockets made there belong to the namespace wherever they are used later, and
//! programs started there are inside it. When the last handle is dropped the thread ends, and the
//! kernel removes the namespace with all its interfaces.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::process::Command;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result, anyhow, ensure};
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};

use crate::eventually::eventually;
use crate::node::PATIENCE;
use crate::run::{succeed, system_command};

type Job = Box<dyn FnOnce() + Send>;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Namespace {
    /// Open file of the namespace, by which other programs find it.
    file: File,
    /// `None` only while dropping.
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Namespace {
    /// Makes a namespace with the loopback interface up.
    pub(crate) fn new(name: &str) -> Result<Self> {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let (ready, entered) = mpsc::channel();
        let thread = thread::Builder::new()
            .name(format!("netns {name}"))
            .spawn(move || {
                let _ = ready.send(enter_new());
                for job in inbox {
                    job();
                }
            })
            .context("cannot start the thread of a network namespace")?;
        let file = entered.recv().context("the thread of a network namespace ended")??;
        let namespace = Self { file, jobs: Some(jobs), thread: Some(thread) };
        // Addresses are ours alone: without the check for duplicates they work at once.
        namespace.sysctl("ipv6/conf/default/accept_dad", "0")?;
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// Runs `job` on the namespace's thread and returns its result.
    ///
    /// Jobs run one after another and must not panic.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let gone = || anyhow!("the thread of a network namespace panicked");
        let (answer, result) = mpsc::channel();
        let job = Box::new(move || {
            let _ = answer.send(job());
        });
        self.jobs.as_ref().ok_or_else(gone)?.send(job).map_err(|_| gone())?;
        result.recv().map_err(|_| gone())
    }

    /// A command that runs `program` in the namespace, and kills it when its parent is gone.
    ///
    /// `nsenter` and `setpriv` replace themselves, so the child's process id is the program's.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = system_command("nsenter");
        command.arg(format!("--net={}", self.path()));
        command.args(["--", "setpriv", "--pdeathsig", "KILL", "--"]).arg(program);
        command
    }

    /// Runs the `ip` program with the words of `line` as arguments.
    pub(crate) fn ip(&self, line: &str) -> Result<()> {
        let mut command = self.command("ip");
        command.args(line.split_whitespace());
        succeed(command, "")
    }

    /// Waits until an interface that was set up carries packets.
    ///
    /// The kernel notices the carrier when it has time for it, and only then opens the port of a switch and completes
    /// addresses and routes. The last of that is the link-local address.
    pub(crate) fn wait_carrier(&self, interface: &str) -> Result<()> {
        eventually(PATIENCE, || {
            let all = self.run(|| std::fs::read_to_string("/proc/thread-self/net/if_inet6"))??;
            ensure!(is_complete(&all, interface), "{interface} has no carrier: {all}");
            Ok(())
        })
    }

    /// Loads a set of nftables rules, all or none of them.
    pub(crate) fn nft(&self, rules: &str) -> Result<()> {
        let mut command = self.command("nft");
        command.args(["-f", "-"]);
        succeed(command, rules).with_context(|| format!("rules were:\n{rules}"))
    }

    /// Sets a kernel parameter below `/proc/sys/net`.
    pub(crate) fn sysctl(&self, name: &'static str, value: &'static str) -> Result<()> {
        // The kernel picks the namespace of the thread that opens the file.
        let path = format!("/proc/sys/net/{name}");
        self.run(move || std::fs::write(path, value))?.with_context(|| format!("cannot set {name}"))
    }

    /// A path by which programs of this user can open the namespace.
    pub(crate) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Whether `if_inet6` has a link-local address of `interface`, and none that waits for the carrier.
fn is_complete(if_inet6: &str, interface: &str) -> bool {
    const LINK_LOCAL: &str = "20";
    const TENTATIVE: u8 = 0x40;
    let words = if_inet6.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let own: Vec<_> = words.filter(|words| words.last() == Some(&interface)).collect();
    let waits = |flags| u8::from_str_radix(flags, 16).is_ok_and(|flags| flags & TENTATIVE != 0);
    own.iter().any(|words| words[3] == LINK_LOCAL) && !own.iter().any(|words| waits(words[4]))
}

/// Moves the calling thread into a new network namespace.
fn enter_new() -> Result<File> {
    match unshare(CloneFlags::CLONE_NEWNET) {
        Err(Errno::EPERM) => Err(anyhow!(
            "making a network namespace needs root; without it, run the whole command as \
             `unshare --user --map-root-user COMMAND`"
        )),
        result => result.context("cannot make a network namespace"),
    }?;
    File::open("/proc/thread-self/ns/net").context("cannot open the new network namespace")
}
