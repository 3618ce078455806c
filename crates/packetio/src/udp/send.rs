//! Sends many datagrams per call.
//!
//! Datagrams are written straight into one arena. Consecutive ones to the same destination and of
//! equal size lie side by side and become one message that the kernel cuts (`UDP_SEGMENT`); the last
//! may be shorter. A batch goes out in order, and what cannot be sent is counted and skipped.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering::Relaxed;

use crate::sys::{self, Outgoing};
use crate::udp::{Udp, may_be_pending};

/// Datagrams per message: `UDP_MAX_SEGMENTS` of Linux before 6.10.
pub const SEGMENTS_MAX: usize = 64;

/// Longest datagram, and longest message: the payload of the largest IPv4 packet (65,535 - 20 - 8).
pub const DATAGRAM_LEN_MAX: usize = 65_507;

/// Messages in a batch: bounds the work between two looks at the other direction when each datagram
/// has another destination.
const MESSAGES_MAX: usize = 64;

/// Bytes in a batch: four full super-packets. Measured, larger ones gain nothing, and smaller ones
/// stay in the second-level cache.
const ARENA_LEN: usize = 4 * 65_536;

/// What [`SendBatch::push`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Push {
    /// The datagram is in the batch.
    Added,
    /// There was nothing to send.
    Nothing,
    /// There is no room: send the batch, then try again. Nothing was written.
    Full,
}

/// What became of the datagrams of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendReport {
    /// Datagrams that the kernel took.
    pub datagrams: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Messages that carried them.
    pub messages: u64,
    /// Datagrams dropped because a queue of the host was full.
    pub would_block: u64,
    /// Datagrams dropped because there is no route to the destination.
    pub unreachable: u64,
    /// Datagrams dropped because they are longer than the MTU of the interface.
    pub too_big: u64,
    /// Datagrams dropped because a filter of the host forbids them.
    pub permission: u64,
    /// Datagrams dropped for another reason.
    pub other: u64,
    /// Times the kernel refused to segment a message that it took datagram by datagram, so that GSO
    /// was turned off for good.
    pub gso_fallbacks: u64,
}

/// Datagrams to be sent by one call, used again for each.
#[derive(Debug)]
pub struct SendBatch {
    arena: Box<[u8]>,
    messages: Vec<Message>,
}

/// Datagrams side by side in the arena.
#[derive(Clone, Copy, Debug)]
struct Message {
    to: SocketAddr,
    start: usize,
    end: usize,
    /// Size of each datagram but the last.
    segment: usize,
    count: usize,
    /// Whether the last datagram is shorter, so that none may follow.
    closed: bool,
}

impl Default for SendBatch {
    fn default() -> Self {
        Self {
            arena: vec![0; ARENA_LEN].into_boxed_slice(),
            messages: Vec::with_capacity(MESSAGES_MAX),
        }
    }
}

impl SendBatch {
    /// Appends one datagram of at most `max_len` bytes for `to`, written in place: `write` gets the
    /// region and returns the length of the datagram at its start, or `None` for no datagram. The
    /// region holds bytes of earlier datagrams.
    ///
    /// # Panics
    ///
    /// If `max_len` is above [`DATAGRAM_LEN_MAX`], or `write` returns a length beyond the region.
    pub fn push(
        &mut self,
        to: SocketAddr,
        max_len: usize,
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Push {
        assert!(max_len <= DATAGRAM_LEN_MAX, "no datagram is that long");
        let start = self.used();
        if self.messages.len() == MESSAGES_MAX || max_len > ARENA_LEN - start {
            return Push::Full;
        }
        let len = match write(&mut self.arena[start..start + max_len]) {
            None | Some(0) => return Push::Nothing,
            Some(len) => len,
        };
        assert!(len <= max_len, "a datagram reaches beyond its region");
        match self.messages.last_mut().filter(|last| last.takes(to, len)) {
            Some(last) => last.append(len),
            None => self.messages.push(Message {
                to,
                start,
                end: start + len,
                segment: len,
                count: 1,
                closed: false,
            }),
        }
        Push::Added
    }

    /// Whether there is nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Forgets what was pushed.
    pub fn clear(&mut self) {
        self.messages.clear();
    }

    fn used(&self) -> usize {
        self.messages.last().map_or(0, |last| last.end)
    }

    /// One item per message, to be cut by the kernel.
    fn messages(&self, socket: &Udp) -> impl Iterator<Item = Outgoing<'_>> + Clone {
        self.messages.iter().map(|message| Outgoing {
            to: socket.native(message.to),
            bytes: &self.arena[message.start..message.end],
            segment: (message.count > 1).then_some(message.segment as u16),
        })
    }
}

impl Message {
    fn takes(&self, to: SocketAddr, len: usize) -> bool {
        !self.closed
            && self.to == to
            && len <= self.segment
            && self.count < SEGMENTS_MAX
            && self.end - self.start + len <= DATAGRAM_LEN_MAX
    }

    fn append(&mut self, len: usize) {
        self.end += len;
        self.count += 1;
        self.closed = len < self.segment;
    }
}

impl Udp {
    /// Sends the batch and empties it. Never blocks, and no error stops it.
    pub fn send(&self, batch: &mut SendBatch) -> SendReport {
        let mut report = SendReport::default();
        if self.gso() {
            self.send_messages(batch.messages(self), &mut report);
        } else {
            self.send_messages(batch.messages(self).flat_map(datagrams), &mut report);
        }
        batch.clear();
        report
    }

    fn send_messages<'a>(
        &self,
        mut rest: impl Iterator<Item = Outgoing<'a>> + Clone,
        report: &mut SendReport,
    ) {
        let mut retried = false;
        loop {
            let error = match sys::send_many(self.as_fd(), rest.clone()) {
                Ok(0) => return,
                Ok(sent) => {
                    rest.by_ref().take(sent).for_each(|message| report.count_sent(&message));
                    retried = false;
                    continue;
                }
                Err(error) => error,
            };
            if error.kind() == io::ErrorKind::WouldBlock {
                // The buffer of the socket is full, whatever the destination.
                rest.for_each(|message| report.would_block += datagram_count(&message));
                return;
            }
            if may_be_pending(&error) && !retried {
                retried = true;
                continue;
            }
            retried = false;
            let Some(message) = rest.next() else { return };
            if message.segment.is_some() && refuses_gso(&error) {
                self.send_without_gso(message, report);
            } else {
                report.count_failed(&message, &error);
            }
        }
    }

    /// Sends datagram by datagram what the kernel did not segment. If that works, GSO is at fault
    /// (EIO: the device has no checksum offload) and is turned off. If it does not, the datagrams
    /// are: a segment beyond the MTU is EINVAL or EMSGSIZE, depending on the version of Linux, and
    /// then only the shorter last one may pass.
    fn send_without_gso(&self, message: Outgoing<'_>, report: &mut SendReport) {
        let before = report.datagrams;
        self.send_messages(datagrams(message), report);
        let sent = report.datagrams - before;
        let shorter_last = message
            .segment
            .is_some_and(|segment| !message.bytes.len().is_multiple_of(usize::from(segment)));
        if sent > u64::from(shorter_last) && self.gso.swap(false, Relaxed) {
            report.gso_fallbacks += 1;
        }
    }
}

/// One item per datagram of a message.
fn datagrams(message: Outgoing<'_>) -> impl Iterator<Item = Outgoing<'_>> + Clone {
    let segment = message.segment.map_or(message.bytes.len(), usize::from);
    message.bytes.chunks(segment.max(1)).map(move |bytes| Outgoing {
        bytes,
        segment: None,
        ..message
    })
}

fn datagram_count(message: &Outgoing<'_>) -> u64 {
    message.segment.map_or(1, |segment| message.bytes.len().div_ceil(usize::from(segment))) as u64
}

fn refuses_gso(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL | libc::EMSGSIZE))
}

impl SendReport {
    fn count_sent(&mut self, message: &Outgoing<'_>) {
        self.datagrams += datagram_count(message);
        self.bytes += message.bytes.len() as u64;
        self.messages += 1;
    }

    fn count_failed(&mut self, message: &Outgoing<'_>, error: &io::Error) {
        let counter = match error.raw_os_error() {
            Some(libc::ENOBUFS | libc::ENOMEM) => &mut self.would_block,
            Some(
                libc::ENETUNREACH
                | libc::EHOSTUNREACH
                | libc::ECONNREFUSED
                | libc::EHOSTDOWN
                | libc::ENETDOWN
                | libc::EADDRNOTAVAIL
                | libc::EAFNOSUPPORT,
            ) => &mut self.unreachable,
            Some(libc::EMSGSIZE) => &mut self.too_big,
            Some(libc::EPERM | libc::EACCES) => &mut self.permission,
            _ => &mut self.other,
        };
        *counter += datagram_count(message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn push(batch: &mut SendBatch, to: SocketAddr, datagram: &[u8]) -> Push {
        batch.push(to, datagram.len(), |region| {
            region.copy_from_slice(datagram);
            Some(datagram.len())
        })
    }

    #[test]
    fn datagrams_are_merged_only_in_a_row_of_equal_size() {
        let (a, b) = ("127.0.0.1:1", "127.0.0.1:2");
        let count = |datagrams: &[(&str, usize)]| {
            let mut batch = SendBatch::default();
            for (to, len) in datagrams {
                push(&mut batch, to.parse().expect("address"), &vec![0; *len]);
            }
            batch.messages.len()
        };
        assert_eq!(count(&[(a, 100), (a, 100), (a, 50)]), 1);
        assert_eq!(count(&[(a, 100), (a, 50), (a, 50)]), 2, "a shorter one is the last");
        assert_eq!(count(&[(a, 100), (a, 101)]), 2, "a longer one starts anew");
        assert_eq!(count(&[(a, 100), (b, 100), (a, 100)]), 3, "order is kept");
        assert_eq!(count(&[(a, 10); SEGMENTS_MAX + 1]), 2);
        assert_eq!(count(&[(a, 1400); 47]), 2, "65,507 bytes at most");
    }

    #[test]
    fn a_datagram_that_is_not_written_leaves_no_trace() {
        let to = "127.0.0.1:1".parse().expect("address");
        let mut batch = SendBatch::default();
        assert_eq!(batch.push(to, 1400, |_| None), Push::Nothing);
        assert!(batch.is_empty());
        push(&mut batch, to, b"first");
        assert_eq!(
            batch.push(to, 1400, |region| {
                region.fill(9);
                None
            }),
            Push::Nothing
        );
        push(&mut batch, to, b"other");
        assert_eq!(&batch.arena[..10], b"firstother");
    }

    #[test]
    fn a_full_batch_says_so_before_writing() {
        let mut batch = SendBatch::default();
        let mut added = 0;
        let to = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        while push(&mut batch, to(added + 1), b"x") == Push::Added {
            added += 1;
        }
        assert_eq!(added, 64);
        assert_eq!(batch.push(to(1), 1, |_| unreachable!("no room")), Push::Full);
        batch.clear();
        while push(&mut batch, to(1), &[0; 1400]) == Push::Added {}
        assert!(batch.used() > 180_000);
    }
}
