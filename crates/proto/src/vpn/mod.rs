//! Which node owns an address, and may this packet pass.

pub mod address;
pub mod verdict;
