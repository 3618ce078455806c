//! Peers to rejoin by after a restart, kept in the state directory without holding up the driver.
//!
//! A restart needs nobody else's list: it dials whom it was linked with. Written at most once in
//! [`SAVE_INTERVAL`], so that a busy bootstrap node does not wear out its disk, and at the end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pki::NodeId;

use crate::failure::Failure;
use crate::overlays::Kind;
use crate::saving::Saving;
use crate::state::{KNOWN_PEERS_MAX, KnownPeer, StateDir};

/// Shortest time between two writes: what a crash can lose.
const SAVE_INTERVAL: Duration = Duration::from_secs(5);

/// Peers of one overlay, linked now or before, the last linked first.
#[derive(Debug)]
pub struct Known {
    peers: Vec<KnownPeer>,
    of: Kind,
    state: Arc<StateDir>,
    saving: Saving,
}

impl Known {
    /// Those of the last run.
    pub fn load(state: Arc<StateDir>, of: Kind) -> Self {
        Self { peers: state.known_peers(of), of, state, saving: Saving::default() }
    }

    /// The peers, the last linked first.
    pub fn peers(&self) -> &[KnownPeer] {
        &self.peers
    }

    /// A link came up.
    pub fn linked(&mut self, id: NodeId, endpoint: SocketAddr) {
        let peer = KnownPeer { id, endpoint };
        if self.peers.contains(&peer) {
            return;
        }
        self.peers.retain(|known| known.id != id);
        self.peers.insert(0, peer);
        self.peers.truncate(KNOWN_PEERS_MAX);
        self.saving.mark();
    }

    /// Writes what is new, if the last write is long enough ago; the disk is waited for elsewhere.
    pub fn save_soon(&mut self) {
        let Self { peers, of, state, saving } = self;
        saving.begin(SAVE_INTERVAL, || write(state, *of, peers));
    }

    /// Writes what is new now.
    pub async fn save_now(&mut self) {
        let Self { peers, of, state, saving } = self;
        saving.finish(|| write(state, *of, peers)).await;
    }
}

fn write(
    state: &Arc<StateDir>,
    of: Kind,
    peers: &[KnownPeer],
) -> impl FnOnce() -> Result<(), Failure> + Send + use<> {
    let (state, peers) = (Arc::clone(state), peers.to_vec());
    move || state.set_known_peers(of, &peers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_linked_comes_first_and_moves_with_its_endpoint() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let endpoint = |port| SocketAddr::from(([192, 0, 2, 1], port));
        let id = |n| NodeId::from_bytes([n; 20]);
        {
            let mut known = Known::load(Arc::new(StateDir::open(&path).unwrap()), Kind::Private);
            known.linked(id(1), endpoint(1));
            known.linked(id(2), endpoint(2));
            known.linked(id(1), endpoint(3));
            known.save_now().await;
        }
        let state = Arc::new(StateDir::open(&path).unwrap());
        assert!(Known::load(Arc::clone(&state), Kind::Public).peers().is_empty());
        let known = Known::load(state, Kind::Private);
        let peers: Vec<_> = known.peers().iter().map(|peer| (peer.id, peer.endpoint)).collect();
        assert_eq!(peers, [(id(1), endpoint(3)), (id(2), endpoint(2))]);
    }
}
