//! Runs the small programs that set up the network, and turns their failures into errors.

use std::ffi::OsStr;
use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// Directories in which system programs live but which an ordinary user's `PATH` may lack.
const SYSTEM_PATH: &str = "/usr/sbin:/sbin";

/// A command for `program` that is also looked for among the system programs.
pub(crate) fn system_command(program: impl AsRef<OsStr>) -> Command {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":");
    path.push(SYSTEM_PATH);
    let mut command = Command::new(program);
    command.env("PATH", path);
    command
}

/// Runs `command` with `input` and fails with what it wrote to stderr.
pub(crate) fn succeed(command: Command, input: &str) -> Result<()> {
    converse(command, input).map(drop)
}

/// The same; returns what it wrote to stdout. What both streams said is the error.
pub(crate) fn converse(mut command: Command, input: &str) -> Result<String> {
    let words = words(&command);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot start {words}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that failed early closes its input; its message below says more than EPIPE.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().with_context(|| format!("cannot wait for {words}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        bail!("{words} failed ({}): {}{said}", output.status, message.trim());
    }
    Ok(said.into_owned())
}

/// The command as a person would type it, without its environment.
fn words(command: &Command) -> String {
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect();
    words.join(" ")
}
