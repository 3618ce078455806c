//! Whether a client's first datagram deserves any work at all: before TLS, before any state.
//!
//! The path token comes first: it costs one or two short HMACs and stops everybody who forged the address.
//! Then the gate MAC, over the whole datagram and under up to [`GATES_MAX`] keys, stops who is not of the
//! group. Whatever fails gets silence, so that a scan does not even learn that a node is there.

use super::Index;
use super::gate::{GATES_MAX, Gate};
use super::token::{Token, TokenMint};
use crate::path::Path;
use crate::time::Instant;
use crate::wire::hello::{self, Cover, Header};
use std::sync::Arc;

/// The first datagram of a client, found worth a handshake.
#[derive(Clone, Debug)]
pub struct Hello {
    /// The client's index.
    pub client: Index,
    /// Our own index that the client was invited with.
    pub invited: Option<Index>,
    /// The token that proves the path.
    pub token: Token,
    /// The gate that admitted it.
    pub gate: Arc<Gate>,
}

/// Why a first datagram gets no answer; for counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Silence {
    /// It is not the clear datagram of a client.
    #[error("not a client's first datagram")]
    NotHello,
    /// The token is not ours, not for this path, or too old.
    #[error("no valid path token")]
    Token,
    /// The sender does not have the group secret, or an old one.
    #[error("no valid group mac")]
    Gate,
}

/// Decides whether a clear datagram from the far end of `path` deserves a handshake. `gates` are tried from
/// the first, [`GATES_MAX`] at most.
pub fn admit(
    datagram: &[u8],
    path: &Path,
    mint: &mut TokenMint,
    gates: &[Arc<Gate>],
    now: Instant,
) -> Result<Hello, Silence> {
    let header = Header::parse(datagram).map_err(|_| Silence::NotHello)?;
    let token = hello::token(datagram).map_err(|_| Silence::NotHello)?;
    let invited = match (header.cover, header.receiver) {
        (Cover::Client { invited: false }, None) => None,
        (Cover::Client { invited: true }, Some(receiver)) => Some(receiver),
        _ => return Err(Silence::NotHello),
    };
    if !mint.check(&token, path, invited.unwrap_or(header.sender), now) {
        return Err(Silence::Token);
    }
    let gate = gates.iter().take(GATES_MAX).find(|gate| gate.admits(datagram));
    let gate = Arc::clone(gate.ok_or(Silence::Gate)?);
    Ok(Hello { client: header.sender, invited, token, gate })
}
