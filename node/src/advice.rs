//! What a refused certificate means here and now: is it the certificate, or is it a clock?
//!
//! Certificates are judged by a clock, so a wrong clock looks like a wrong certificate. Nobody signs for a
//! time that has not come: where a certificate is not valid yet, the clock that judged is behind. One that has
//! expired has expired, unless the two ends disagree about the time.

use std::time::Duration;

use pki::{Refusal, UnixTime};
use proto::session::suite::Failure;

/// For the user of a node whose own certificate does not hold.
pub fn on_own(refusal: Refusal, now: UnixTime) -> String {
    let advice = match refusal {
        Refusal::NotYetValid { from } => format!(
            "it is valid only from {from} and this host's clock says {now}: the clock is {} behind, \
             set it (if it is right, the clock of whoever signed was ahead: have the request signed \
             again)",
            rough(from.since(now))
        ),
        Refusal::Expired { since } => format!(
            "it expired at {since} and this host's clock says {now}, {} later: have the request \
             signed again with warren ca sign and start with --certificate FILE; if it is new, the \
             clock is ahead: set it",
            rough(now.since(since))
        ),
        Refusal::UnknownIssuer => "it is from another authority than those in the blob: take blob \
                                   and certificate from the same authority"
            .into(),
        Refusal::WrongGroup => "it is for another group than the blob: take blob and certificate \
                                of the same group"
            .into(),
        Refusal::Revoked { notice } => format!(
            "it is revoked by notice {notice}; ask an administrator of the group to let this node in \
             again, and start with the blob or certificate that you get then"
        ),
        Refusal::WrongNode => {
            "it is not for this node's key: sign the request that this node made".into()
        }
        other => other.to_string(),
    };
    format!("own certificate: {advice}")
}

/// For the user of a node that refused a peer.
pub fn on_peer(why: Failure, now: UnixTime) -> String {
    match why {
        Failure::Refused(Refusal::NotYetValid { from }) => format!(
            "its certificate is valid only from {from} and this host's clock says {now}: this host's \
             clock is {} behind, set it (if it is right, the clock of whoever signed was ahead)",
            rough(from.since(now))
        ),
        Failure::Refused(Refusal::Expired { since }) => format!(
            "its certificate expired at {since} and this host's clock says {now}, {} later: the peer \
             must renew it; if many peers are refused so, this host's clock is ahead: set it",
            rough(now.since(since))
        ),
        other => other.to_string(),
    }
}

/// For the user of a node that a peer refused; `not_after` is the end of the node's own certificate.
pub fn from_peer(why: Failure, not_after: UnixTime, now: UnixTime) -> String {
    match why {
        Failure::Refused(Refusal::NotYetValid { from }) => format!(
            "this node's certificate is valid only from {from}, and the peer's clock does not say so \
             yet, while this host's says {now}: the peer's clock is behind; set it there"
        ),
        Failure::Refused(Refusal::Expired { since }) if now <= not_after => format!(
            "by the peer's clock this node's certificate expired at {since}, while this host's says \
             {now}, {} earlier: the peer's clock is ahead or this host's is behind; set the one that \
             is wrong",
            rough(since.since(now))
        ),
        other => other.to_string(),
    }
}

/// A length of time as people say it.
fn rough(length: Duration) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let rounded = |unit: u64| (length.as_secs() + unit / 2) / unit;
    match length.as_secs() {
        seconds @ ..MINUTE => format!("{seconds} s"),
        MINUTE..HOUR => format!("{} min", rounded(MINUTE)),
        seconds if seconds < 2 * DAY => format!("{} h", rounded(HOUR)),
        _ => format!("{} days", rounded(DAY)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);
    const NOW: UnixTime = UnixTime(1_800_000_000);

    #[test]
    fn a_certificate_of_the_future_tells_whose_clock_is_behind() {
        let refusal = Refusal::NotYetValid { from: NOW + DAY };
        assert!(on_own(refusal, NOW).contains("the clock is 24 h behind, set it"));
        let why = Failure::Refused(refusal);
        assert!(on_peer(why, NOW).contains("this host's clock is 24 h behind"));
        let ours = Failure::Refused(Refusal::NotYetValid { from: NOW - DAY });
        assert!(from_peer(ours, NOW + DAY, NOW).contains("the peer's clock is behind"));
    }

    #[test]
    fn an_expired_certificate_is_renewed_unless_the_clocks_disagree() {
        let refusal = Refusal::Expired { since: NOW - DAY * 3 };
        assert!(on_own(refusal, NOW).contains("3 days later: have the request signed again"));
        assert!(on_peer(Failure::Refused(refusal), NOW).contains("the peer must renew it"));
        let agreed = from_peer(Failure::Refused(refusal), NOW - DAY * 3, NOW);
        assert!(agreed.contains("renew it") && !agreed.contains("ahead"), "{agreed}");
        let early = Failure::Refused(Refusal::Expired { since: NOW + DAY });
        let disputed = from_peer(early, NOW + DAY, NOW);
        assert!(disputed.contains("24 h earlier: the peer's clock is ahead"), "{disputed}");
    }

    #[test]
    fn a_certificate_of_another_node_is_not_taken_for_a_peers() {
        let told = on_own(Refusal::WrongNode, NOW);
        assert!(told.contains("not for this node's key") && !told.contains("peer"), "{told}");
    }

    #[test]
    fn what_is_no_matter_of_time_is_said_as_it_is() {
        let why = Failure::Refused(Refusal::UnknownIssuer);
        assert_eq!(on_peer(why, NOW), why.to_string());
        assert_eq!(from_peer(why, NOW, NOW), why.to_string());
    }
}
