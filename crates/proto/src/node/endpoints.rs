//! Where this node may be dialled: its own addresses and what peers see of it (paper section 4; CN-02).
//!
//! What peers of one overlay say of our address is offered in that overlay only: strangers in a public one
//! cannot push out what members see, nor make members dial elsewhere.

use crate::overlay::Instance;
use std::net::{IpAddr, SocketAddr};

/// Reflexive endpoints offered at most in an overlay; the newest win.
const REFLEXIVE_MAX: usize = 2;

/// The endpoints of a node.
#[derive(Debug)]
pub struct Endpoints {
    local: Vec<SocketAddr>,
    /// Seen by the peers of each overlay, newest last.
    reflexive: Vec<Vec<SocketAddr>>,
}

impl Endpoints {
    /// None yet, of a node in so many overlays.
    pub fn new(overlays: usize) -> Endpoints {
        Endpoints { local: Vec::new(), reflexive: vec![Vec::new(); overlays] }
    }

    /// Replaces what the host's interfaces say.
    pub fn set_local(&mut self, local: Vec<SocketAddr>) {
        for seen in &mut self.reflexive {
            seen.retain(|endpoint| !local.contains(endpoint));
        }
        self.local = local;
    }

    /// A peer in this overlay sees us at this endpoint; true if that is news there.
    pub fn observed(&mut self, instance: Instance, endpoint: SocketAddr) -> bool {
        if !is_dialable(&endpoint) || self.local.contains(&endpoint) {
            return false;
        }
        let seen = &mut self.reflexive[instance.0 as usize];
        let known = seen.contains(&endpoint);
        seen.retain(|e| *e != endpoint);
        seen.push(endpoint);
        if seen.len() > REFLEXIVE_MAX {
            seen.remove(0);
        }
        !known
    }

    /// Everything to offer to a node of this overlay that wants to dial us.
    pub fn offered(&self, instance: Instance) -> Vec<SocketAddr> {
        self.local.iter().chain(&self.reflexive[instance.0 as usize]).copied().collect()
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
        let mut endpoints = Endpoints::new(1);
        let only = Instance(0);
        endpoints.set_local(vec![endpoint(1)]);
        assert!(!endpoints.observed(only, endpoint(1)));
        assert!(endpoints.observed(only, endpoint(2)) && endpoints.observed(only, endpoint(3)));
        assert!(!endpoints.observed(only, endpoint(2)) && endpoints.observed(only, endpoint(4)));
        assert_eq!(endpoints.offered(only), vec![endpoint(1), endpoint(2), endpoint(4)]);
        assert!(!endpoints.observed(only, ([0, 0, 0, 0], 7415).into()));
    }

    #[test]
    fn what_strangers_see_is_not_told_to_members() {
        let endpoint = |n: u8| SocketAddr::from(([192, 0, 2, n], 7415));
        let (private, public) = (Instance(0), Instance(1));
        let mut endpoints = Endpoints::new(2);
        assert!(endpoints.observed(private, endpoint(1)));
        (2..9).for_each(|n| assert!(endpoints.observed(public, endpoint(n))));
        assert_eq!(endpoints.offered(private), vec![endpoint(1)]);
    }
}
