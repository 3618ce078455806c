//! Ports of this machine for programs that a test starts.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// The kernel takes those that it chooses itself, for anybody, from above these.
const FIRST: u32 = 10_000;
const COUNT: u32 = 20_000;
/// How far apart two processes begin.
const STRIDE: u32 = 100;

/// A free port of 127.0.0.1 that nobody else is given before the program binds it, nor while that is started again.
pub fn free_port() -> u16 {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = std::process::id() * STRIDE + GIVEN.fetch_add(1, Ordering::Relaxed);
        let port = (FIRST + number % COUNT) as u16;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
