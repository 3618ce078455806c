//! Waits for a key at a terminal, which is left as it was found, however the demo ends.

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The terminal and how it was found, while it gives single keys.
static FOUND: Mutex<Option<(OwnedFd, Termios)>> = Mutex::new(None);

/// Waits until any key is pressed; keys pressed before do not count, and Ctrl-C sends its signal as ever.
pub fn wait(mut terminal: impl AsFd + Read) -> std::io::Result<()> {
    let found = tcgetattr(&terminal)?;
    let mut single = found.clone();
    single.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO);
    {
        let mut changed = changed();
        *changed = Some((terminal.as_fd().try_clone_to_owned()?, found));
        tcsetattr(&terminal, SetArg::TCSAFLUSH, &single)?;
    }
    let pressed = terminal.read(&mut [0]);
    restore();
    pressed.map(drop)
}

/// Leaves the terminal as it was found, if it was changed.
pub fn restore() {
    if let Some((terminal, found)) = changed().take() {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(terminal, SetArg::TCSANOW, &found);
    }
}

fn changed() -> MutexGuard<'static, Option<(OwnedFd, Termios)>> {
    FOUND.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::eventually;
    use nix::pty::openpty;
    use std::fs::File;
    use std::io::Write;
    use std::time::Duration;

    #[test]
    fn unit_demo_waits_for_a_single_key_and_leaves_the_terminal_as_it_was() {
        let pty = openpty(None, None).unwrap();
        let (mut keyboard, terminal) = (File::from(pty.master), File::from(pty.slave));
        let flags = || tcgetattr(&terminal).unwrap().local_flags;
        let found = flags();
        keyboard.write_all(b"before").unwrap();
        // Its echo says that it has arrived.
        keyboard.read_exact(&mut [0; 6]).unwrap();
        let waiting = std::thread::spawn({
            let terminal = terminal.try_clone().unwrap();
            move || wait(terminal)
        });
        eventually(Duration::from_secs(10), || {
            let changed = found - flags();
            anyhow::ensure!(changed == LocalFlags::ICANON | LocalFlags::ECHO, "{changed:?}");
            Ok(())
        })
        .unwrap();
        assert!(!waiting.is_finished(), "it took a key that was pressed before");
        // As when a signal ends the demo while it waits.
        restore();
        assert_eq!(flags(), found);
        keyboard.write_all(b"x\n").unwrap();
        waiting.join().unwrap().unwrap();

        let waiting = std::thread::spawn({
            let terminal = terminal.try_clone().unwrap();
            move || wait(terminal)
        });
        eventually(Duration::from_secs(10), || {
            anyhow::ensure!(flags() != found, "not waiting");
            Ok(())
        })
        .unwrap();
        keyboard.write_all(b"x").unwrap();
        waiting.join().unwrap().unwrap();
        assert_eq!(flags(), found);
    }
}
