//! The heart of Warren: a node of the overlay and its VPN as an object you can hold.
//!
//! A [`Node`] is created from values, fed with inputs and the time, and emptied of its outputs. It reads no
//! clock, opens nothing, spawns nothing and locks nothing. The daemon and the simulator are two ways of
//! driving it.
//!
//! | module | question it answers |
//! |---|---|
//! | [`node`] | what goes in, what comes out, and how the machines are wired |
//! | [`bounds`] | how full are its bounded tables and queues |
//! | [`time`], [`timer`], [`rng`] | what time is it, what is due next, where does chance come from |
//! | [`ring`] | how far apart are two IDs, and which way round |
//! | [`rtt`] | how long does a round trip take |
//! | [`wire`] | what do the bytes mean |
//! | [`overlay`] | who is my neighbour, and where does a message go next |
//! | [`link`] | how does an endpoint become a live session, and when does that end |
//! | [`session`] | how do two nodes authenticate and seal |
//! | [`news`] | how does a member learn what its authority said, and pass it on |
//! | [`watch`] | whose end does a member want to hear of, and who is told of one |
//! | [`path`] | by which way do the datagrams of a session travel |
//! | [`dht`] | where is a value kept, and who may write it |
//! | [`vpn`] | which node owns an address, and may this packet pass |
//! | [`lane`] | what happens to one packet |

#![warn(clippy::iter_over_hash_type)]

pub mod bounds;
pub mod dht;
pub mod lane;
pub mod link;
pub mod news;
pub mod node;
pub mod overlay;
pub mod path;
pub mod ring;
pub mod rng;
pub mod rtt;
pub mod session;
pub mod time;
pub mod timer;
pub mod vpn;
pub mod watch;
pub mod wire;

pub use node::Node;
pub use pki::{NodeId, UnixTime};
