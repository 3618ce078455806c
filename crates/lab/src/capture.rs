//! Records packets of one interface in memory.
//!
//! A packet socket hands every frame to a thread, which keeps those of the interface. The socket
//! is open before [`crate::Host::capture`] returns, so that nothing sent later is missed.

use std::fs::File;
use std::io::{self, BufWriter, IoSliceMut, Write};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType,
    recvmsg, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike as _};

/// Bytes kept at most; later packets are counted only. A test that records more records too much.
const BYTES_MAX: usize = 64 << 20;

/// Bytes the kernel may queue for the reader: 100 ms at 2.5 Gbit/s.
const QUEUE_BYTES: usize = 32 << 20;

/// Largest frame on a virtual cable: a 64 KiB segment with its headers, rounded up.
const FRAME_BYTES_MAX: usize = 66 << 10;

/// How often the reader looks whether it shall stop.
const STOP_INTERVAL_MS: i64 = 20;

/// A recorded frame, beginning with its Ethernet header.
#[derive(Debug, Clone)]
pub struct Packet {
    /// Wall-clock time since 1970.
    pub time: Duration,
    /// The whole frame.
    pub bytes: Vec<u8>,
}

/// A running recording; it ends when dropped.
#[derive(Debug)]
pub struct Capture {
    shared: Arc<Shared>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    record: Mutex<Record>,
}

#[derive(Debug, Default)]
struct Record {
    packets: Vec<Packet>,
    bytes: usize,
    omitted: usize,
    /// Frames for which the kernel's queue had no room, up to the newest.
    dropped: u32,
    /// How many of these the record before this one lacks.
    dropped_before: u32,
}

/// A packet socket and the interface whose frames are wanted.
pub(crate) struct Tap {
    socket: OwnedFd,
    interface: usize,
}

impl Capture {
    /// Opens the packet socket; must run inside the host.
    pub(crate) fn open(interface: &str) -> Result<Tap> {
        let index = if_nametoindex(interface)
            .with_context(|| format!("there is no interface {interface}"))?;
        let socket = socket(
            AddressFamily::Packet,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::EthAll,
        )
        .context("cannot open a packet socket")?;
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::milliseconds(STOP_INTERVAL_MS))?;
        // Only real root may exceed the system's limit; a user namespace gets what it may have.
        if setsockopt(&socket, sockopt::RcvBufForce, &QUEUE_BYTES).is_err() {
            setsockopt(&socket, sockopt::RcvBuf, &QUEUE_BYTES)?;
        }
        setsockopt(&socket, sockopt::RxqOvfl, &1)?;
        Ok(Tap { socket, interface: index as usize })
    }

    pub(crate) fn start(tap: Tap) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let reader = thread::Builder::new().name("capture".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || shared.read_from(&tap)
        })?;
        Ok(Self { shared, reader: Some(reader) })
    }

    /// All packets so far.
    pub fn packets(&self) -> Vec<Packet> {
        self.shared.record().packets.clone()
    }

    /// The number of packets so far, including those that were not kept for their size.
    pub fn packet_count(&self) -> usize {
        let record = self.shared.record();
        record.packets.len() + record.omitted
    }

    /// Whether some packet contains `needle`.
    ///
    /// Wait with [`crate::eventually`] for what shall be there: packets arrive with a delay.
    ///
    /// # Panics
    ///
    /// When none does, but some packets are not in the record.
    pub fn contains(&self, needle: &[u8]) -> bool {
        let record = self.shared.record();
        let found = record.packets.iter().any(|packet| contains(&packet.bytes, needle));
        assert!(found || record.missing() == 0, "{} packets are missing", record.missing());
        found
    }

    /// Forgets all packets so far.
    pub fn clear(&self) {
        let mut record = self.shared.record();
        let dropped = record.dropped;
        *record = Record { dropped, dropped_before: dropped, ..Record::default() };
    }

    /// Writes all packets so far to a pcap file.
    pub fn save(&self, path: &Path) -> Result<()> {
        let file = File::create(path).with_context(|| format!("cannot make {}", path.display()))?;
        let mut file = BufWriter::new(file);
        write_pcap(&mut file, &self.packets())?;
        file.flush().context("cannot write packets")
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl Shared {
    fn read_from(&self, tap: &Tap) {
        let mut frame = vec![0; FRAME_BYTES_MAX];
        while !self.stop.load(Ordering::Relaxed) {
            match tap.receive(&mut frame) {
                Ok((length, interface, dropped)) => {
                    let mut record = self.record();
                    record.dropped = record.dropped.max(dropped);
                    if interface == Some(tap.interface) {
                        record.push(&frame[..length]);
                    }
                }
                // ENETDOWN tells of an interface that went down; it may come up again.
                Err(Errno::EAGAIN | Errno::EINTR | Errno::ENETDOWN) => {}
                Err(error) => {
                    eprintln!("packet capture ended: {error}");
                    return;
                }
            }
        }
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tap {
    /// Receives a frame: its length, its interface, and how many frames the kernel had dropped before it.
    fn receive(&self, frame: &mut [u8]) -> nix::Result<(usize, Option<usize>, u32)> {
        let (mut frame, mut control) = ([IoSliceMut::new(frame)], nix::cmsg_space!(u32));
        let (socket, none) = (self.socket.as_raw_fd(), MsgFlags::empty());
        let message = recvmsg::<LinkAddr>(socket, &mut frame, Some(&mut control), none)?;
        let dropped = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::RxqOvfl(dropped) => Some(dropped),
            _ => None,
        });
        let interface = message.address.as_ref().map(LinkAddr::ifindex);
        Ok((message.bytes, interface, dropped.unwrap_or_default()))
    }
}

impl Record {
    /// Packets that are not in it.
    fn missing(&self) -> usize {
        self.omitted + (self.dropped - self.dropped_before) as usize
    }

    fn push(&mut self, frame: &[u8]) {
        if self.bytes + frame.len() > BYTES_MAX {
            self.omitted += 1;
            return;
        }
        self.bytes += frame.len();
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.packets.push(Packet { time, bytes: frame.to_vec() });
    }
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    needle.is_empty() || bytes.windows(needle.len()).any(|window| window == needle)
}

/// Writes the classic pcap format with microseconds and link type Ethernet.
fn write_pcap(out: &mut impl Write, packets: &[Packet]) -> io::Result<()> {
    const MAGIC: u32 = 0xa1b2_c3d4;
    const VERSION: u32 = 2 | (4 << 16);
    const LINK_TYPE_ETHERNET: u32 = 1;
    for word in [MAGIC, VERSION, 0, 0, FRAME_BYTES_MAX as u32, LINK_TYPE_ETHERNET] {
        out.write_all(&word.to_le_bytes())?;
    }
    for packet in packets {
        let length = packet.bytes.len() as u32;
        for word in [packet.time.as_secs() as u32, packet.time.subsec_micros(), length, length] {
            out.write_all(&word.to_le_bytes())?;
        }
        out.write_all(&packet.bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use anyhow::ensure;

    use super::*;
    use crate::{PATIENCE, eventually};

    #[test]
    fn unit_lab_contains_finds_bytes_anywhere_in_a_packet() {
        assert!(contains(b"abcdef", b"ef"));
        assert!(contains(b"", b""));
        assert!(!contains(b"abc", b"abcd"));
    }

    #[test]
    fn unit_lab_pcap_has_a_header_per_file_and_per_packet() {
        let packet = Packet { time: Duration::from_micros(3_000_007), bytes: vec![9; 60] };
        let mut file = Vec::new();
        write_pcap(&mut file, &[packet]).unwrap();
        assert_eq!(file.len(), 24 + 16 + 60);
        assert_eq!(file[24..32], [3, 0, 0, 0, 7, 0, 0, 0]);
    }

    #[test]
    #[should_panic(expected = "packets are missing")]
    fn unit_lab_a_record_with_gaps_does_not_say_that_something_was_not_there() {
        let host = crate::Lab::new().unwrap().host("alice").unwrap();
        let (tap, socket) = host
            .run(|| {
                let tap = Capture::open("lo").unwrap();
                let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                // Nobody reads, and more than the queue holds comes.
                for _ in 0..QUEUE_BYTES / 30_000 {
                    socket.send_to(&[0; 60_000], "127.0.0.1:9").unwrap();
                }
                (tap, socket)
            })
            .unwrap();
        let capture = Capture::start(tap).unwrap();
        eventually(PATIENCE, || {
            socket.send_to(b"the marker", "127.0.0.1:9")?;
            ensure!(capture.contains(b"the marker"), "not yet");
            Ok(())
        })
        .unwrap();
        capture.contains(b"nothing");
    }

    #[test]
    fn unit_lab_record_counts_what_it_does_not_keep() {
        let mut record = Record { bytes: BYTES_MAX, ..Record::default() };
        record.push(&[0; 60]);
        assert_eq!((record.packets.len(), record.missing()), (0, 1));
    }
}
