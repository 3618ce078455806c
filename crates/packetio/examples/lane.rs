//! One lane without cryptography: carries packets between a TUN device and one peer over UDP. Shows
//! how the parts of the crate go together, and what they alone can do; the packets travel in clear
//! and are believed from anybody, so use it on a test network only.
//!
//! `lane NAME LOCAL PEER`, for example `lane w0 10.1.1.1:7415 10.1.1.2:7415`, then give the
//! interface an address and set it up. Each datagram is one byte, 1 if the transport checksum is
//! half-done, and a packet.

use std::net::SocketAddr;

use warren_packetio::{
    Checksum, Device, Poller, Push, ReadBuffer, RecvBatch, SendBatch, Tun, TunOptions, Udp,
    UdpOptions, Writer,
};

/// Inner MTU: 1,500 less IPv4 and UDP header and our byte, rounded down.
const MTU: u16 = 1440;

/// Reads from the device per turn, so that a busy direction does not starve the other; a full batch
/// ends the turn too.
const READS_MAX: usize = 64;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [_, name, local, peer] = &std::env::args().collect::<Vec<_>>()[..] else {
        return Err("usage: lane NAME LOCAL PEER".into());
    };
    let mut tun = Tun::open(&TunOptions { name: Some(name.clone()), mtu: MTU, offload: true })?;
    let udp = Udp::bind(local.parse()?, &UdpOptions::default())?;
    let peer = peer.parse()?;
    let poller = Poller::new()?;
    let mut buffer = ReadBuffer::default();
    let (mut outgoing, mut incoming) = (SendBatch::default(), RecvBatch::default());
    loop {
        let ready = poller.wait(&tun, &udp, None)?;
        if ready.device {
            send(&mut tun, &udp, peer, &mut buffer, &mut outgoing)?;
        }
        if ready.udp {
            receive(&mut tun, &udp, &mut incoming)?;
        }
        if ready.udp_errors {
            udp.recv_errors(|to, why| eprintln!("{to}: {why:?}"))?;
        }
    }
}

fn send(
    tun: &mut Tun,
    udp: &Udp,
    peer: SocketAddr,
    buffer: &mut ReadBuffer,
    batch: &mut SendBatch,
) -> std::io::Result<()> {
    let (mut reads, mut full) = (0, false);
    while reads < READS_MAX && !full {
        reads += 1;
        let Some(packet) = tun.read(buffer)? else { break };
        let mut segments = packet.segments();
        while let Some(segment) = segments.next_segment() {
            let write = |region: &mut [u8]| {
                region[0] = u8::from(segment.checksum == Checksum::Partial);
                Some(1 + segment.copy_to(&mut region[1..]))
            };
            if batch.push(peer, 1 + segment.len(), write) == Push::Full {
                full = true;
                udp.send(batch);
                batch.push(peer, 1 + segment.len(), write);
            }
        }
    }
    udp.send(batch);
    Ok(())
}

fn receive(tun: &mut Tun, udp: &Udp, batch: &mut RecvBatch) -> std::io::Result<()> {
    udp.recv(batch)?;
    let mut writer = Writer::new(tun);
    for (_, datagram) in batch.datagrams() {
        let [state, packet @ ..] = datagram else { continue };
        let checksum = if *state == 1 { Checksum::Partial } else { Checksum::Complete };
        writer.push(packet, checksum);
    }
    writer.finish();
    Ok(())
}
