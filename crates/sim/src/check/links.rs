//! Whether both ends of a link hold it.

use super::{Findings, Topology};

/// Both ends of every link hold it. Holds once nothing has happened for longer than a link takes to time out.
pub fn links_are_mutual(topology: &Topology) -> Findings {
    let mut findings = Findings::new("both ends of a link hold it", topology.moment);
    for member in &topology.members {
        for &peer in &member.peers {
            let other = topology.place_of(peer).map(|place| &topology.members[place]);
            let trouble = match other {
                None => Some("which does not live"),
                Some(other) if other.peers.binary_search(&member.id).is_err() => {
                    Some("which does not")
                }
                Some(_) => None,
            };
            let id = member.id;
            findings.check(
                trouble.map(|trouble| move || format!("{id:?} is linked with {peer:?}, {trouble}")),
            );
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::topology::perfect_ring;
    use super::*;

    #[test]
    fn unit_sm_links_of_one_end_and_to_the_dead_are_found() {
        let mut topology = perfect_ring(10);
        links_are_mutual(&topology).assert_clean();
        topology.members[4].peers.pop();
        topology.members.remove(9);
        let text = links_are_mutual(&topology).to_string();
        assert!(
            text.contains("which does not live") && text.contains("which does not\n"),
            "{text}"
        );
    }
}
