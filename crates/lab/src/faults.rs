//! What goes wrong on a host's cables: blocked peers and random loss.
//!
//! The rules sit where packets enter an interface (nftables `ingress`), at both ends of the cable,
//! which works without the `netem` queue and gives the sender no error, as on a real wire. A
//! capture at the receiving interface still sees what is dropped behind it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;

/// Lost questions for a neighbour's hardware address are repeated after a second, which would go on
/// to disturb a test after its fault has ended.
const NEIGHBOUR_DISCOVERY: &str = "meta protocol arp accept
icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept";

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    pub(crate) blocked: BTreeSet<IpAddr>,
    pub(crate) loss_percent: u8,
}

/// Which packets pass an end of a cable, seen from the host.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Direction {
    /// Entering the host's own interface.
    FromOther,
    /// Entering the switch's port.
    ToOther,
}

impl Faults {
    /// Rules that replace those of an earlier call for the same interface.
    pub(crate) fn rules(&self, interface: &str, direction: Direction) -> String {
        let table = format!("netdev faults_{interface}");
        let field = match direction {
            Direction::FromOther => "saddr",
            Direction::ToOther => "daddr",
        };
        let mut rules = format!("add table {table}\ndelete table {table}\ntable {table} {{\n");
        rules.push_str("chain arriving {\n");
        let hook = format!("type filter hook ingress device \"{interface}\" priority 0");
        let _ = writeln!(rules, "{hook}; policy accept;\n{NEIGHBOUR_DISCOVERY}");
        if let Some(last) = self.loss_percent.checked_sub(1) {
            let _ = writeln!(rules, "numgen random mod 100 <= {last} drop");
        }
        for address in &self.blocked {
            let family = if address.is_ipv4() { "ip" } else { "ip6" };
            let _ = writeln!(rules, "{family} {field} {address} drop");
        }
        rules.push_str("}\n}\n");
        rules
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_lab_faults_name_the_far_address_in_both_directions() {
        let faults = Faults {
            blocked: ["10.0.0.2", "fd00::2"].map(|a| a.parse().unwrap()).into(),
            loss_percent: 5,
        };

        let arriving = faults.rules("eth0", Direction::FromOther);
        let leaving = faults.rules("port3", Direction::ToOther);

        assert!(arriving.contains("ip saddr 10.0.0.2 drop\nip6 saddr fd00::2 drop"));
        assert!(leaving.contains("ip daddr 10.0.0.2 drop"));
        assert!(leaving.contains("device \"port3\""));
        assert!(arriving.contains("mod 100 <= 4 drop"));
    }

    #[test]
    fn unit_lab_no_faults_drop_nothing() {
        assert!(!Faults::default().rules("eth0", Direction::FromOther).contains("drop"));
    }
}
