//! Waits until a lane has work: packets from the device, datagrams from the network, errors about
//! datagrams it sent, or a call from another thread.
//!
//! With three descriptors `ppoll` is as good as epoll and needs no state. Readiness is by level:
//! what is not drained is reported again, the error queue included.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use crate::sys;

/// Wakes the [`Poller`] it comes from, from any thread.
#[derive(Clone, Debug)]
pub struct Waker {
    event: Arc<File>,
}

impl Waker {
    /// Makes the current or the next wait return. Calls before that wait count once.
    pub fn wake(&self) {
        // Fails only when the counter is full, and then the poller is awake already.
        let _ = (&*self.event).write(&1_u64.to_ne_bytes());
    }
}

/// Who has work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// The device has packets, or is gone; reading tells.
    pub device: bool,
    /// The socket has datagrams.
    pub udp: bool,
    /// The socket has errors to collect by [`crate::Udp::recv_errors`]. Until then each wait returns
    /// at once.
    pub udp_errors: bool,
    /// A [`Waker`] called.
    pub woken: bool,
}

/// Waits for a device, a socket and its wakers.
#[derive(Debug)]
pub struct Poller {
    waker: Waker,
}

impl Poller {
    /// Makes a poller.
    ///
    /// # Errors
    ///
    /// When the process has no descriptors left.
    pub fn new() -> io::Result<Self> {
        let event = Arc::new(File::from(sys::eventfd()?));
        Ok(Self { waker: Waker { event } })
    }

    /// Something that wakes this poller.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Waits, at most `timeout`. Nothing is ready after the timeout or a signal.
    ///
    /// # Errors
    ///
    /// When the kernel has no memory; the descriptors themselves are borrowed and hence valid.
    pub fn wait(
        &self,
        device: &impl AsFd,
        udp: &impl AsFd,
        timeout: Option<Duration>,
    ) -> io::Result<Ready> {
        let fds = [device.as_fd(), udp.as_fd(), self.waker.event.as_fd()];
        let [device, udp, event] = sys::wait_readable(fds, timeout)?;
        let woken = event != 0;
        if woken {
            // Resets the counter; another thread may only make it larger again.
            let _ = (&*self.waker.event).read(&mut [0; 8]);
        }
        Ok(Ready {
            device: device != 0,
            udp: udp & libc::POLLIN != 0,
            udp_errors: udp & libc::POLLERR != 0,
            woken,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Device, MemoryDevice, Offloads};
    use crate::vnet::Header;
    use std::net::UdpSocket;
    use std::time::Instant;

    #[test]
    fn waits_for_the_timeout_when_there_is_no_work() {
        let (device, _twin) = MemoryDevice::pair(Offloads::ALL).expect("pair");
        let udp = UdpSocket::bind("127.0.0.1:0").expect("bind");
        let start = Instant::now();
        let ready = Poller::new()
            .and_then(|poller| poller.wait(&device, &udp, Some(Duration::from_millis(20))))
            .expect("wait");
        assert_eq!(ready, Ready::default());
        assert!(start.elapsed() >= Duration::from_millis(20));
    }

    #[test]
    fn tells_who_is_ready() {
        let (device, mut twin) = MemoryDevice::pair(Offloads::ALL).expect("pair");
        let udp = UdpSocket::bind("127.0.0.1:0").expect("bind");
        let poller = Poller::new().expect("poller");
        twin.write(&Header::default(), b"x", &[]).expect("write");
        let ready = poller.wait(&device, &udp, None).expect("wait");
        assert_eq!(ready, Ready { device: true, ..Ready::default() });
        udp.send_to(b"x", udp.local_addr().expect("address")).expect("send");
        let ready = poller.wait(&device, &udp, None).expect("wait");
        assert_eq!(ready, Ready { device: true, udp: true, ..Ready::default() });
    }

    #[test]
    fn a_waker_of_another_thread_ends_the_wait_once() {
        let (device, _twin) = MemoryDevice::pair(Offloads::ALL).expect("pair");
        let udp = UdpSocket::bind("127.0.0.1:0").expect("bind");
        let poller = Poller::new().expect("poller");
        let waker = poller.waker();
        let thread = std::thread::spawn(move || waker.wake());
        let ready = poller.wait(&device, &udp, None).expect("wait");
        assert!(ready.woken);
        thread.join().expect("thread");
        let ready = poller.wait(&device, &udp, Some(Duration::ZERO)).expect("wait");
        assert!(!ready.woken);
    }
}
