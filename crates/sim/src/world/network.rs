//! What happens to a datagram between two hosts: delay, jitter, loss, partitions, forbidden pairs, interception.
//!
//! The network knows hosts by number and datagrams by nothing at all. Every host has one address, in a
//! subnet of its own, so that limits that nodes keep per subnet see what they would see on the Internet.
//! Faults act when a datagram is sent; what is under way arrives.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use rand::{Rng, RngExt};

use super::HostId;
use crate::latency::DelayMatrix;

/// UDP port of every host: the default of the daemon.
const PORT: u16 = 7415;

/// Which addresses the hosts have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IpVersion {
    /// 10.x.y.1, a /24 each.
    #[default]
    V4,
    /// 2001:db8:n::1, a /48 each.
    V6,
}

#[derive(Debug)]
pub(super) struct Network {
    matrix: DelayMatrix,
    version: IpVersion,
    pub(super) loss: f64,
    pub(super) jitter: Duration,
    /// Group of each host while the network is partitioned; hosts beyond the end are in group 0.
    groups: Vec<usize>,
    blocked: BTreeSet<(HostId, HostId)>,
    pub(super) interceptor: Option<Interceptor>,
}

/// Decides by what it sees which datagrams do not arrive.
pub(super) struct Interceptor(pub(super) Box<Judge>);

/// Whether the datagram from the one host to the other does not arrive.
type Judge = dyn FnMut(HostId, HostId, &[u8]) -> bool;

impl fmt::Debug for Interceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Interceptor(..)")
    }
}

impl Network {
    pub(super) fn new(
        matrix: DelayMatrix,
        version: IpVersion,
        loss: f64,
        jitter: Duration,
    ) -> Self {
        let (groups, blocked, interceptor) = (Vec::new(), BTreeSet::new(), None);
        Self { matrix, version, loss, jitter, groups, blocked, interceptor }
    }

    /// Hosts that the delay matrix has room for.
    pub(super) fn hosts_max(&self) -> usize {
        self.matrix.nodes().min(usize::from(u16::MAX))
    }

    pub(super) fn address(&self, host: HostId) -> SocketAddr {
        let n = u16::try_from(host.0).expect("at most hosts_max hosts are added");
        let ip = match self.version {
            IpVersion::V4 => {
                let [high, low] = n.to_be_bytes();
                IpAddr::V4(Ipv4Addr::new(10, high, low, 1))
            }
            IpVersion::V6 => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, n, 0, 0, 0, 0, 1)),
        };
        SocketAddr::new(ip, PORT)
    }

    /// The host that has this address, if the number it stands for exists.
    pub(super) fn host_at(&self, address: SocketAddr) -> Option<HostId> {
        let n = match address.ip() {
            IpAddr::V4(ip) => u16::from_be_bytes([ip.octets()[1], ip.octets()[2]]),
            IpAddr::V6(ip) => ip.segments()[2],
        };
        let host = HostId(u32::from(n));
        (self.address(host) == address).then_some(host)
    }

    /// Whether somebody on the way takes this datagram out.
    pub(super) fn intercepts(&mut self, from: HostId, to: HostId, bytes: &[u8]) -> bool {
        self.interceptor.as_mut().is_some_and(|interceptor| (interceptor.0)(from, to, bytes))
    }

    /// How long a datagram takes, or `None` if it is lost.
    pub(super) fn carry<R: Rng>(&self, from: HostId, to: HostId, rng: &mut R) -> Option<Duration> {
        if !self.is_open(from, to) {
            return None;
        }
        if self.loss > 0.0 && rng.random::<f64>() < self.loss {
            return None;
        }
        let delay = self.matrix.one_way(from.index(), to.index());
        if self.jitter.is_zero() {
            return Some(delay);
        }
        Some(delay + self.jitter.mul_f64(rng.random::<f64>()))
    }

    pub(super) fn partition(&mut self, groups: &[Vec<HostId>]) {
        self.groups.clear();
        for (group, hosts) in groups.iter().enumerate() {
            for host in hosts {
                if self.groups.len() <= host.index() {
                    self.groups.resize(host.index() + 1, 0);
                }
                self.groups[host.index()] = group;
            }
        }
    }

    pub(super) fn heal(&mut self) {
        self.groups.clear();
    }

    pub(super) fn block(&mut self, a: HostId, b: HostId) {
        self.blocked.insert((a.min(b), a.max(b)));
    }

    pub(super) fn unblock(&mut self, a: HostId, b: HostId) {
        self.blocked.remove(&(a.min(b), a.max(b)));
    }

    /// Whether datagrams pass between two hosts at all.
    pub(super) fn is_open(&self, a: HostId, b: HostId) -> bool {
        let group = |host: HostId| self.groups.get(host.index()).copied().unwrap_or(0);
        (self.blocked.is_empty() || !self.blocked.contains(&(a.min(b), a.max(b))))
            && group(a) == group(b)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn network(version: IpVersion, loss: f64) -> Network {
        let matrix = DelayMatrix::uniform(1000, Duration::from_millis(40));
        Network::new(matrix, version, loss, Duration::from_millis(2))
    }

    #[test]
    fn unit_sm_every_host_has_an_address_in_a_subnet_of_its_own() {
        for version in [IpVersion::V4, IpVersion::V6] {
            let network = network(version, 0.0);
            for n in [0, 1, 255, 256, 999] {
                assert_eq!(network.host_at(network.address(HostId(n))), Some(HostId(n)));
            }
            let stranger = SocketAddr::from(([10, 0, 1, 2], 7415));
            assert_eq!(network.host_at(stranger), None);
        }
    }

    #[test]
    fn unit_sm_delay_is_that_of_the_matrix_plus_jitter_and_loss_takes_its_share() {
        let network = network(IpVersion::V4, 0.1);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let arrived: Vec<_> =
            (0..10_000).filter_map(|_| network.carry(HostId(0), HostId(1), &mut rng)).collect();
        assert!((8_900..9_100).contains(&arrived.len()), "{}", arrived.len());
        let (shortest, longest) = (Duration::from_millis(20), Duration::from_millis(22));
        assert!(arrived.iter().all(|delay| (shortest..longest).contains(delay)));
    }

    #[test]
    fn unit_sm_partitions_and_blocked_pairs_cut_both_ways_until_they_are_lifted() {
        let mut network = network(IpVersion::V4, 0.0);
        let (a, b, c) = (HostId(0), HostId(1), HostId(2));
        network.partition(&[vec![a], vec![b, c]]);
        assert!(!network.is_open(a, b) && !network.is_open(b, a) && network.is_open(b, c));
        network.heal();
        network.block(c, b);
        assert!(network.is_open(a, b) && !network.is_open(b, c));
        network.unblock(b, c);
        assert!(network.is_open(c, b));
    }
}
