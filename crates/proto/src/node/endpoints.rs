//! Where this node may be dialled: its own addresses and what peers see of it (paper section 4; CN-02).

use std::net::{IpAddr, SocketAddr};

/// Reflexive endpoints offered at most; the newest win.
const REFLEXIVE_MAX: usize = 2;

/// The endpoints of a node.
#[derive(Debug, Default)]
pub struct Endpoints {
    local: Vec<SocketAddr>,
    /// Seen by peers, newest last.
    reflexive: Vec<SocketAddr>,
}

impl Endpoints {
    /// Replaces what the host's interfaces say.
    pub fn set_local(&mut self, local: Vec<SocketAddr>) {
        self.reflexive.retain(|endpoint| !local.contains(endpoint));
        self.local = local;
    }

    /// A peer sees us at this endpoint; true if that is news.
    pub fn observed(&mut self, endpoint: SocketAddr) -> bool {
        if !is_dialable(&endpoint) || self.local.contains(&endpoint) {
            return false;
        }
        let known = self.reflexive.contains(&endpoint);
        self.reflexive.retain(|e| *e != endpoint);
        self.reflexive.push(endpoint);
        if self.reflexive.len() > REFLEXIVE_MAX {
            self.reflexive.remove(0);
        }
        !known
    }

    /// Everything to offer to a node that wants to dial us.
    pub fn offered(&self) -> Vec<SocketAddr> {
        self.local.iter().chain(&self.reflexive).copied().collect()
    }
}

/// Whether a datagram can sensibly be sent there.
pub fn is_dialable(endpoint: &SocketAddr) -> bool {
    let ip = endpoint.ip();
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    endpoint.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !broadcast
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_and_the_newest_reflexive_endpoints_are_offered() {
        let endpoint = |n: u8| SocketAddr::from(([192, 0, 2, n], 7415));
        let mut endpoints = Endpoints::default();
        endpoints.set_local(vec![endpoint(1)]);
        assert!(!endpoints.observed(endpoint(1)));
        assert!(endpoints.observed(endpoint(2)) && endpoints.observed(endpoint(3)));
        assert!(!endpoints.observed(endpoint(2)) && endpoints.observed(endpoint(4)));
        assert_eq!(endpoints.offered(), vec![endpoint(1), endpoint(2), endpoint(4)]);
        assert!(!endpoints.observed(([0, 0, 0, 0], 7415).into()));
    }
}
