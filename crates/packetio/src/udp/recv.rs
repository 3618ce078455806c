//! Receives many datagrams per call, put together by the kernel where they came from one sender in
//! equal size.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use crate::sys::{self, NOWHERE, RECV_MAX, Received};
use crate::udp::{PENDING_ERRORS_MAX, Udp, is_shortage, may_be_pending};

/// Bytes per message: no message is longer, with GRO or without.
const BUFFER_LEN: usize = 65_536;

/// Room for one batch, used again for each.
#[derive(Debug)]
pub struct RecvBatch {
    buffers: Box<[u8]>,
    received: [Received; RECV_MAX],
    count: usize,
}

impl Default for RecvBatch {
    fn default() -> Self {
        Self {
            buffers: vec![0; RECV_MAX * BUFFER_LEN].into_boxed_slice(),
            received: [Received { from: NOWHERE, len: 0, segment: 0 }; RECV_MAX],
            count: 0,
        }
    }
}

impl RecvBatch {
    /// The datagrams of the last receive, in order, each with its source. They can be changed in
    /// place and kept until the next receive. Empty datagrams are left out.
    pub fn datagrams(&mut self) -> impl Iterator<Item = (SocketAddr, &mut [u8])> {
        let messages = self.received[..self.count].iter().zip(self.buffers.chunks_mut(BUFFER_LEN));
        messages.flat_map(|(message, buffer)| {
            let datagrams = buffer[..message.len].chunks_mut(message.segment.max(1));
            datagrams.map(|datagram| (message.from, datagram))
        })
    }

    /// Whether the last receive filled all buffers, so that there is likely more.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.count == RECV_MAX
    }
}

impl Udp {
    /// Receives what has arrived, up to the room in `batch`, and returns the number of messages; 0
    /// if there is nothing now.
    ///
    /// # Errors
    ///
    /// When the socket itself is broken. Errors about datagrams sent earlier are not reported here,
    /// see [`Udp::recv_errors`].
    pub fn recv(&self, batch: &mut RecvBatch) -> io::Result<usize> {
        batch.count = 0;
        let mut pending = 0;
        loop {
            let RecvBatch { buffers, received, .. } = batch;
            match sys::recv_many(self.as_fd(), buffers, BUFFER_LEN, received) {
                Ok(count) => {
                    batch.count = count;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
                Err(error) if is_shortage(&error) => return Ok(0),
                Err(error) if !may_be_pending(&error) => return Err(error),
                Err(_) if pending == PENDING_ERRORS_MAX => return Ok(0),
                Err(_) => pending += 1,
            }
        }
    }
}
