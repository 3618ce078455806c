//! Nothing that a lab made outlives it.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use lab::{Lab, PATIENCE, eventually};

/// Environment variable that makes this program the victim of a test.
const WILL_BE_KILLED: &str = "WARREN_LAB_WILL_BE_KILLED";

/// The same for one that ends without dropping anything.
const LEAVES: &str = "WARREN_LAB_LEAVES";

#[test]
fn ns_lab_daemon_writes_a_log_and_ends_when_asked() -> Result<()> {
    let lab = Lab::new()?;
    let host = lab.host("alice")?;
    let mut shell = host.command("sh");
    shell.args(["-c", "echo to stdout; echo to stderr >&2; exec sleep 1000"]);

    let mut daemon = host.spawn(shell)?;
    daemon.wait_for_log("to stdout\nto stderr\n", PATIENCE)?;
    assert!(daemon.is_running()?);

    daemon.terminate()?;
    assert_eq!(daemon.wait_exit(PATIENCE)?.signal(), Some(15));
    Ok(())
}

#[test]
fn ns_lab_daemon_that_ignores_sigterm_is_killed_on_drop() -> Result<()> {
    let lab = Lab::new()?;
    let host = lab.host("alice")?;
    let mut shell = host.command("sh");
    shell.args(["-c", "trap '' TERM; echo ready; while true; do sleep 0.1; done"]);
    let daemon = host.spawn(shell)?;
    daemon.wait_for_log("ready", PATIENCE)?;
    let process = process(daemon.pid());
    assert!(process.exists());

    drop(daemon);

    assert!(!process.exists());
    Ok(())
}

#[test]
fn ns_lab_leaves_no_namespace_and_no_directory() -> Result<()> {
    let lab = Lab::new()?;
    let switch = lab.switch()?;
    let host = lab.host("alice")?;
    host.attach(&switch, &["10.0.0.1/24"])?;
    let mut sleep = host.command("sleep");
    sleep.arg("1000");
    let daemon = host.spawn(sleep)?;
    let namespace = host.run(|| fs::read_link("/proc/thread-self/ns/net"))??;
    // While it is open, no other namespace gets its number.
    let _open = host.run(|| fs::File::open("/proc/thread-self/ns/net"))??;
    let directory = lab.directory().to_owned();
    eventually(PATIENCE, || {
        let own = fs::read_link(process(daemon.pid()).join("ns/net"))?;
        ensure!(own == namespace, "the daemon has not entered the namespace yet");
        Ok(())
    })?;

    drop((lab, switch, host, daemon));

    let users: Vec<PathBuf> = processes()?
        .into_iter()
        .filter(|process| fs::read_link(process.join("ns/net")).is_ok_and(|ns| ns == namespace))
        .collect();
    assert_eq!(users, Vec::<PathBuf>::new());
    assert!(!directory.exists());
    Ok(())
}

#[test]
fn ns_lab_a_process_that_drops_nothing_can_remove_its_directories() -> Result<()> {
    if std::env::var_os(LEAVES).is_some() {
        let lab = Lab::new()?;
        fs::write(lab.directory().join("file"), "content")?;
        lab::remove_directories();
        std::process::exit(0);
    }
    let mut test = Command::new(std::env::current_exe()?)
        .args(["--exact", "ns_lab_a_process_that_drops_nothing_can_remove_its_directories"])
        .env(LEAVES, "1")
        .stdout(Stdio::null())
        .spawn()?;
    let directory = std::env::temp_dir().join(format!("warren-lab-{}-0", test.id()));
    ensure!(test.wait()?.success(), "it failed");
    ensure!(!directory.exists(), "{} is left", directory.display());
    Ok(())
}

#[test]
fn ns_lab_daemons_die_with_a_killed_test_process() -> Result<()> {
    let mut test = Command::new(std::env::current_exe()?)
        .args(["--exact", "daemon_for_a_process_that_gets_killed"])
        .env(WILL_BE_KILLED, "1")
        .stdout(Stdio::null())
        .spawn()?;
    let directory = std::env::temp_dir().join(format!("warren-lab-{}-0", test.id()));
    let daemon: PathBuf = eventually(PATIENCE, || {
        Ok(process(fs::read_to_string(directory.join("pid"))?.trim().parse()?))
    })?;
    assert!(runs(&daemon));

    test.kill()?;
    test.wait()?;

    eventually(PATIENCE, || {
        ensure!(!runs(&daemon), "the daemon is still there");
        Ok(())
    })?;
    drop(Lab::new()?);
    // Unless another lab is at it already.
    eventually(PATIENCE, || {
        ensure!(!directory.exists(), "the next lab removes what was left");
        Ok(())
    })
}

/// The process that the test above starts and kills; elsewhere it does nothing.
#[test]
fn daemon_for_a_process_that_gets_killed() -> Result<()> {
    if std::env::var_os(WILL_BE_KILLED).is_none() {
        return Ok(());
    }
    let lab = Lab::new()?;
    let host = lab.host("alice")?;
    let mut shell = host.command("sh");
    shell.args(["-c", "echo $$; exec sleep 1000"]);
    let mut daemon = host.spawn(shell)?;
    daemon.wait_for_log("\n", PATIENCE)?;
    fs::write(lab.directory().join("pid"), daemon.log())?;
    daemon.wait_exit(Duration::from_secs(60))?;
    Err(anyhow!("the daemon ended by itself"))
}

fn process(pid: u32) -> PathBuf {
    Path::new("/proc").join(pid.to_string())
}

/// Whether a process has not ended: nobody may have taken notice of its end.
fn runs(process: &Path) -> bool {
    fs::read_to_string(process.join("stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn processes() -> Result<Vec<PathBuf>> {
    Ok(fs::read_dir("/proc")?.flatten().map(|entry| entry.path()).collect())
}
