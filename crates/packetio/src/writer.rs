//! Writes received packets to a device, put together where the device takes super-packets.
//!
//! A writer lives for one batch of datagrams: it borrows their bytes until [`Writer::finish`], so
//! the kernel reads payload from where it was opened. Packets are written in the order in which they
//! were pushed.

use std::io;

use crate::checksum::Checksum;
use crate::coalesce::{self, Member, SuperPacket};
use crate::device::Device;
use crate::ip::{self, Layout, TCP, Transport};
use crate::vnet::Header;

/// What became of the packets of one batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteReport {
    /// Packets that reached the device.
    pub packets: u64,
    /// Their bytes, before they were put together.
    pub bytes: u64,
    /// Writes that carried them.
    pub writes: u64,
    /// Packets refused: not one well-formed IP packet, or a half-done checksum in something other
    /// than TCP and UDP.
    pub refused: u64,
    /// Packets lost because the device did not take a write.
    pub dropped: u64,
    /// Times the device refused a super-packet and merging was turned off for good.
    pub merge_fallbacks: u64,
}

/// Collects packets for `device`.
#[derive(Debug)]
#[must_use = "packets are written for sure only by `finish`"]
pub struct Writer<'d, 'b, D: Device> {
    device: &'d mut D,
    pending: SuperPacket<'b>,
    /// Bytes of the packets in `pending`.
    pending_len: usize,
    report: WriteReport,
}

impl<'d, 'b, D: Device> Writer<'d, 'b, D> {
    /// Starts a batch.
    pub fn new(device: &'d mut D) -> Self {
        Self {
            device,
            pending: SuperPacket::default(),
            pending_len: 0,
            report: WriteReport::default(),
        }
    }

    /// Takes one packet; may rewrite its header.
    pub fn push(&mut self, packet: &'b mut [u8], checksum: Checksum) {
        let Some((layout, transport)) = judge(packet, checksum) else {
            self.report.refused += 1;
            return;
        };
        let offloads = self.device.offloads();
        let mut checksum = checksum;
        if checksum == Checksum::Partial && !offloads.checksum {
            ip::complete_checksum(packet);
            checksum = Checksum::Complete;
        }
        let Some(transport) = transport else {
            return self.write_alone(packet, Header::default());
        };
        let merge = if transport.protocol == TCP { offloads.write_tcp } else { offloads.write_udp };
        let member = if merge { Member::of(packet, layout, transport, checksum) } else { None };
        let Some(member) = member else {
            let partial = (checksum == Checksum::Partial).then(|| coalesce::partial(&transport));
            return self.write_alone(packet, Header { partial, ..Header::default() });
        };
        let len = packet.len();
        if let Err(packet) = self.pending.append(packet, &member) {
            self.flush();
            self.pending.start(packet, member);
        }
        self.pending_len += len;
        if self.pending.is_closed() {
            self.flush();
        }
    }

    /// Writes what is left and tells what became of the batch.
    pub fn finish(mut self) -> WriteReport {
        self.flush();
        self.report
    }

    fn write_alone(&mut self, packet: &[u8], header: Header) {
        self.flush();
        let result = self.device.write(&header, packet, &[]);
        self.account(1, packet.len(), &result);
    }

    fn flush(&mut self) {
        let Some(finished) = self.pending.take() else { return };
        let packets = 1 + finished.rest.len() as u64;
        let result = self.device.write(&finished.header, finished.first, finished.rest);
        let len = std::mem::take(&mut self.pending_len);
        self.account(packets, len, &result);
    }

    fn account(&mut self, packets: u64, len: usize, result: &io::Result<()>) {
        match result {
            Ok(()) => {
                self.report.packets += packets;
                self.report.bytes += len as u64;
                self.report.writes += 1;
            }
            Err(error) => {
                self.report.dropped += packets;
                // Some kernels (6.6.44) refuse super-packets that they announced to take. This one
                // is lost, which TCP repairs; the next will not be tried.
                if packets > 1 && error.kind() == io::ErrorKind::InvalidInput {
                    self.report.merge_fallbacks += 1;
                    self.device.stop_merging();
                }
            }
        }
    }
}

/// Says where the headers end, or `None` if the packet must be refused.
fn judge(packet: &[u8], checksum: Checksum) -> Option<(Layout, Option<Transport>)> {
    let layout = Layout::parse(packet)?;
    let transport = layout.transport(packet);
    (checksum == Checksum::Complete || transport.is_some()).then_some((layout, transport))
}

#[cfg(test)]
mod tests;
