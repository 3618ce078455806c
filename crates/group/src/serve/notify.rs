//! Tells systemd that the service has started (`sd_notify(3)`), if it wants to know.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Everything is open.
pub fn ready() {
    if let Some(name) = std::env::var_os("NOTIFY_SOCKET")
        && let Err(error) = send(&name, b"READY=1")
    {
        tracing::warn!(%error, "cannot tell the service manager");
    }
}

fn send(name: &OsStr, message: &[u8]) -> io::Result<()> {
    let address = match name.as_bytes() {
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest)?,
        _ => SocketAddr::from_pathname(name)?,
    };
    UnixDatagram::unbound()?.send_to_addr(message, &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_socket_names_are_reached() {
        let folder = tempfile::tempdir().expect("works");
        let path = folder.path().join("notify");
        let named = UnixDatagram::bind(&path).expect("works");
        let unique = format!("warren-groupd-notify-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&unique).expect("works");
        let hidden = UnixDatagram::bind_addr(&address).expect("works");
        send(path.as_os_str(), b"READY=1").expect("works");
        send(OsStr::new(&format!("@{unique}")), b"READY=1").expect("works");
        for socket in [named, hidden] {
            let mut message = [0; 16];
            let len = socket.recv(&mut message).expect("works");
            assert_eq!(&message[..len], b"READY=1");
        }
    }
}
