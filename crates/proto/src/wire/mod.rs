//! What the bytes mean: one file per message family, each with view, representation, parse, emit, tests.
//!
//! Nothing from the network reaches logic before one of these parsers accepted it. Parsers never panic,
//! never allocate more than they were given and refuse trailing bytes. All integers are big-endian.

use std::fmt;

pub mod connect;
pub mod control;
pub mod crawl;
pub mod dht;
pub mod frame;
pub mod hello;
pub mod ip;
pub mod news;
pub mod probe;
pub mod record;
pub mod routed;

/// Why bytes are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Fewer bytes than the message needs.
    #[error("message is truncated")]
    Truncated,
    /// Bytes are left over after the message.
    #[error("message has trailing bytes")]
    Trailing,
    /// A field has a value that the format does not allow.
    #[error("field {0} is out of range")]
    Field(&'static str),
}

/// Takes fields off the front of a message.
#[derive(Clone, Copy)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Starts at the front of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader(bytes)
    }

    /// Takes `n` bytes.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.0.split_at_checked(n).ok_or(Malformed::Truncated)?;
        self.0 = rest;
        Ok(head)
    }

    /// Takes `N` bytes as an array.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.0.split_first_chunk().ok_or(Malformed::Truncated)?;
        self.0 = rest;
        Ok(*head)
    }

    /// Takes one byte.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }

    /// Takes a 16-bit integer.
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    /// Takes a 32-bit integer.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    /// Takes a 64-bit integer.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// Takes a node ID.
    pub fn id(&mut self) -> Result<crate::NodeId, Malformed> {
        Ok(crate::NodeId::from_bytes(self.array()?))
    }

    /// Takes everything that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// Bytes not taken yet.
    pub fn remaining(&self) -> usize {
        self.0.len()
    }

    /// Refuses a message with bytes left over.
    pub fn finish(self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed::Trailing) }
    }
}

impl fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reader({} bytes)", self.0.len())
    }
}
