//! Batch input and output of packets on Linux: a UDP socket with segmentation offload, a TUN device
//! with super-packets, and the wait for both.
//!
//! The crate knows nothing of the VPN protocol. One thread, a *lane*, owns a device and shares a
//! socket, and runs to completion:
//!
//! ```text
//! Poller::wait -> Device::read -> Packet::segments -> SendBatch::push (seal in place) -> Udp::send
//!              -> Udp::recv -> RecvBatch::datagrams (open in place) -> Writer::push -> Device::write
//! ```
//!
//! | module       | answers                                                             | IO  |
//! |--------------|---------------------------------------------------------------------|-----|
//! | [`checksum`] | what is the Internet checksum of these bytes                        | no  |
//! | [`ip`]       | where do the headers of this packet end                             | no  |
//! | [`vnet`]     | what does the kernel say about a packet beside its bytes            | no  |
//! | [`split`]    | how does a super-packet become packets                              | no  |
//! | [`coalesce`] | when and how do packets become a super-packet                       | no  |
//! | [`device`]   | what is a device: the trait, the kernel's TUN, the in-memory twin   | yes |
//! | [`writer`]   | how do received packets reach a device                              | yes |
//! | [`udp`]      | how do datagrams leave and arrive, and what became of them          | yes |
//! | [`poller`]   | who has work                                                        | yes |
//! | `sys`        | which system calls need `unsafe`; the only such module of the project | yes |
//!
//! # Invariants
//!
//! - After warm-up nothing on the packet path allocates, locks or logs; what is dropped is counted
//!   in a report that the caller adds up.
//! - Payload is copied by the kernel only: datagrams are sealed where they are sent from, and
//!   received packets are written from where they were opened.
//! - Each offload can be refused by the kernel, at the start or later. Then the crate goes on
//!   without it, and says so.
//! - Bytes from a peer or from the kernel never make the crate panic.

pub mod checksum;
pub mod coalesce;
pub mod device;
pub mod ip;
pub mod poller;
pub mod split;
mod sys;
pub mod udp;
pub mod vnet;
pub mod writer;

#[cfg(test)]
mod testing;

pub use checksum::Checksum;
pub use device::{Device, MemoryDevice, Offloads, OpenError, ReadBuffer, Tun, TunOptions};
pub use poller::{Poller, Ready, Waker};
pub use split::{Packet, Segment, Segments};
pub use udp::{Gso, Push, RecvBatch, SendBatch, SendReport, Udp, UdpOptions, Unreachable};
pub use writer::{WriteReport, Writer};
