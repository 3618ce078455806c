//! Why a peer is not let in: one reason, one line that says what to do, one code for the wire.
//!
//! The refused side gets code and detail, so that its user reads the reason and not a time-out.
//! Such a notice from a peer is a hint and proves nothing.

use crate::name::NameError;
use crate::unix_time::UnixTime;

/// The reason a certificate is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// None was presented.
    #[error("no certificate was presented; enrol this node or sign its request first")]
    NoCertificate,
    /// It breaks the profile.
    #[error("the certificate is malformed ({0}); request a new one")]
    Malformed(&'static str),
    /// It names an authority we do not pin.
    #[error("the certificate is from an unknown authority; compare the CA in both blobs")]
    UnknownIssuer,
    /// Its bytes are not what the authority signed.
    #[error("the certificate's signature is wrong; it was altered or forged, request a new one")]
    BadSignature,
    /// Its time, or that of its authority, is over.
    #[error("the certificate expired at {since}; renew it, and compare the clocks if it is new")]
    Expired {
        /// End of its validity.
        since: UnixTime,
    },
    /// Its time has not come.
    #[error("the certificate is valid only from {from}; correct the clock of one side")]
    NotYetValid {
        /// Start of its validity.
        from: UnixTime,
    },
    /// A notice covers it.
    #[error("the certificate is revoked by notice {notice}; ask an administrator of the group")]
    Revoked {
        /// Number of the notice.
        notice: u64,
    },
    /// It belongs to another group, or names two.
    #[error("the certificate is for another group; use the blob of this group")]
    WrongGroup,
    /// Its node ID is not that of its key and salt.
    #[error("the certificate's node id does not belong to its key; request a new one")]
    IdMismatch,
    /// It is good, but not that of the node we called.
    #[error("the peer is not the node that was called; its address is stale or taken over")]
    WrongNode,
    /// The signed list of revocations is too old and policy is strict.
    #[error("{}; check the way to the group service", staleness(.since))]
    StaleNotices {
        /// When the next list was due; the epoch's start if there never was one.
        since: UnixTime,
    },
}

fn staleness(since: &UnixTime) -> String {
    if *since == UnixTime::default() {
        return "there is no signed list of revocations yet".into();
    }
    format!("the revocation list is out of date since {since}")
}

impl Refusal {
    /// Returns the number of the reason on the wire, 1 to 255.
    pub const fn code(self) -> u8 {
        match self {
            Self::NoCertificate => 1,
            Self::Malformed(_) => 2,
            Self::UnknownIssuer => 3,
            Self::BadSignature => 4,
            Self::Expired { .. } => 5,
            Self::NotYetValid { .. } => 6,
            Self::Revoked { .. } => 7,
            Self::WrongGroup => 8,
            Self::IdMismatch => 9,
            Self::WrongNode => 10,
            Self::StaleNotices { .. } => 11,
        }
    }

    /// Returns the time or the number that goes with the reason, else zero.
    pub const fn detail(self) -> u64 {
        match self {
            Self::Expired { since: time }
            | Self::NotYetValid { from: time }
            | Self::StaleNotices { since: time } => time.0,
            Self::Revoked { notice } => notice,
            _ => 0,
        }
    }

    /// Reads what a peer reported; `None` when it is newer than we are.
    pub const fn from_code(code: u8, detail: u64) -> Option<Self> {
        Some(match code {
            1 => Self::NoCertificate,
            2 => Self::Malformed("so the peer says"),
            3 => Self::UnknownIssuer,
            4 => Self::BadSignature,
            5 => Self::Expired { since: UnixTime(detail) },
            6 => Self::NotYetValid { from: UnixTime(detail) },
            7 => Self::Revoked { notice: detail },
            8 => Self::WrongGroup,
            9 => Self::IdMismatch,
            10 => Self::WrongNode,
            11 => Self::StaleNotices { since: UnixTime(detail) },
            _ => return None,
        })
    }
}

impl From<NameError> for Refusal {
    fn from(error: NameError) -> Self {
        Self::Malformed(match error {
            NameError::Group => "group name",
            NameError::User => "user name",
            NameError::Host => "host name",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_round_trip_and_are_distinct() {
        let known: Vec<Refusal> =
            (1..=255).filter_map(|code| Refusal::from_code(code, 9)).collect();
        assert_eq!(known.len(), 11);
        for refusal in known {
            let again = Refusal::from_code(refusal.code(), refusal.detail());
            assert_eq!(again, Some(refusal));
            assert!(!refusal.to_string().contains('\n'));
        }
    }
}
