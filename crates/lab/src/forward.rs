//! A port of this machine that leads into a host: how a person's browser gets to a service in the lab.
//!
//! How it works: the listener is a socket of this process's own network; the threads that serve it run in the
//! host's, so what they connect to is in there.
//!
//! What must hold: only the loopback interface listens, so nobody but users of this machine gets in, and once the
//! value is dropped nothing listens.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::thread::{self, Builder, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::socket;

use crate::host::Host;

/// Connections at the same time; a browser makes six. Further ones are closed at once.
const CONNECTIONS_MAX: usize = 64;

/// Pause after a connection that could not be accepted.
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// See the module's documentation.
#[derive(Debug)]
pub struct Forward {
    address: SocketAddr,
    listener: Arc<TcpListener>,
    thread: Option<JoinHandle<()>>,
}

impl Forward {
    /// Leads a port of 127.0.0.1 to an address that `host` reaches: the same port if it is free, else another.
    pub fn open(host: &Host, to: SocketAddr) -> Result<Self> {
        let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        let listener = bind(to.port()).or_else(|_| bind(0)).context("no free port on 127.0.0.1")?;
        let address = listener.local_addr()?;
        let listener = Arc::new(listener);
        let served = Arc::clone(&listener);
        let serve = move || serve(&served, to);
        // A thread is in the network of the one that makes it.
        let thread = host.run(move || Builder::new().name("forward".into()).spawn(serve))??;
        Ok(Self { address, listener, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        // Closing would not do: a child that another thread has just forked holds the socket until it executes.
        let ended = socket::shutdown(self.listener.as_raw_fd(), socket::Shutdown::Both).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| ended) {
            let _ = thread.join();
        }
    }
}

fn serve(listener: &TcpListener, to: SocketAddr) {
    let places = Arc::new(());
    for from in listener.incoming() {
        match from {
            // It listens no more.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return,
            // Without a file for the connection, say: it is still there at the next look.
            Err(_) => thread::sleep(RETRY_AFTER),
            Ok(_) if Arc::strong_count(&places) > CONNECTIONS_MAX => {}
            Ok(from) => {
                let place = Arc::clone(&places);
                // Whoever is not served sees a closed connection, and tries again.
                let _ = Builder::new().spawn(move || {
                    let _ = join(from, to);
                    drop(place);
                });
            }
        }
    }
}

/// Carries bytes both ways until both ends have closed.
fn join(from: TcpStream, to: SocketAddr) -> io::Result<()> {
    let to = TcpStream::connect(to)?;
    let (back_from, back_to) = (to.try_clone()?, from.try_clone()?);
    let back = Builder::new().spawn(move || carry(&back_from, &back_to))?;
    carry(&from, &to);
    let _ = back.join();
    Ok(())
}

fn carry(mut from: &TcpStream, mut to: &TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
