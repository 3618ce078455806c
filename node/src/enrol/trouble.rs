//! Why the service did not answer as hoped, and what the user reads then.

use pki::enrolment::{Code, Denial, Pin};

use crate::failure::{Failure, Kind};

/// Why a question was not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// No connection, or it broke.
    #[error("cannot reach {server}: {why}")]
    Unreachable {
        /// Host and port.
        server: String,
        /// What the system said.
        why: String,
    },
    /// Another server answers there. It was sent nothing.
    #[error("{server} is not the server of this group: {}", stranger(.presented, *.was_pinned))]
    Stranger {
        /// Host and port.
        server: String,
        /// The key that it showed.
        presented: Pin,
        /// Whether the blob or the user named the key, or else the roots of this host were asked.
        was_pinned: bool,
    },
    /// The service said no.
    #[error("{server}: {}", denied(.denial))]
    Denied {
        /// Host and port.
        server: String,
        /// Why.
        denial: Denial,
    },
    /// It has signed another history of notices than the one that this node knows.
    #[error("{server} has another history of notices from number {number} on")]
    Forked {
        /// Host and port.
        server: String,
        /// Of the first notice that differs.
        number: u64,
    },
    /// It answers what cannot be used.
    #[error("{server} gives an answer that cannot be used: {why}")]
    Unusable {
        /// Host and port.
        server: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Trouble {
    /// Whether it may be over by itself: then it is tried again and not reported as the end.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Stranger { .. } | Self::Forked { .. } | Self::Unusable { .. } => false,
            Self::Denied { denial, .. } => denial.code.is_passing(),
        }
    }

    /// The reason that the service gave, if it gave one.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Denied { denial, .. } => Some(denial.code),
            _ => None,
        }
    }

    /// The line and the exit code for the user.
    pub fn into_failure(self) -> Failure {
        let kind = match &self {
            Self::Unreachable { .. } | Self::Forked { .. } | Self::Unusable { .. } => Kind::Service,
            Self::Stranger { .. } => Kind::Stranger,
            Self::Denied { denial, .. } => kind_of(denial.code),
        };
        Failure::new(kind, self)
    }
}

fn kind_of(code: Code) -> Kind {
    match code {
        Code::TokenUnknown => Kind::TokenUnknown,
        Code::TokenExpired => Kind::TokenExpired,
        Code::TokenUsedUp => Kind::TokenUsedUp,
        Code::TokenForeign => Kind::TokenForeign,
        Code::RequestDenied
        | Code::MembershipEnded
        | Code::NodeRevoked
        | Code::DeviceDenied
        | Code::DeviceExpired => Kind::Denied,
        _ => Kind::Service,
    }
}

fn stranger(presented: &Pin, was_pinned: bool) -> String {
    if was_pinned {
        format!(
            "its key is {presented}, which is none of the pinned ones; nothing was sent to it. If \
             the service has a new key, get a new blob from its page, else somebody is in between"
        )
    } else {
        format!(
            "this host does not trust its certificate; nothing was sent to it. Its key is \
             {presented}: compare that with the one that the service's page or administrator \
             shows, and if they are equal give it with --pin {presented}"
        )
    }
}

/// Our own sentence where we know the reason: the service's words are shown where they add to it.
fn denied(denial: &Denial) -> String {
    let said = denial.message.trim();
    match denial.code {
        Code::TokenUnknown => {
            "the token in the blob is not known there or was ended: download a new blob".into()
        }
        Code::TokenExpired => "the token in the blob has expired: download a new blob".into(),
        Code::TokenUsedUp => {
            "the token in the blob was for one node and is used up: download a new blob for this \
             node"
                .into()
        }
        Code::TokenForeign => {
            "the token in the blob is of another group: download a blob of this group".into()
        }
        Code::RequestDenied => once("the request to join was denied", said),
        Code::MembershipEnded => once("the membership has ended", said),
        Code::NodeRevoked => once("this node is revoked", said),
        Code::QuotaExceeded => once("all certificates that a member may have are in use", said),
        Code::DeviceDenied => "the request was denied in the browser".into(),
        Code::DeviceExpired => {
            "nobody has confirmed the code in time: run the command again".into()
        }
        code => format!("refused ({code}): {said}"),
    }
}

/// Our sentence and what the service adds, which may begin with the same words.
fn once(ours: &str, said: &str) -> String {
    let added = said.strip_prefix(ours).unwrap_or(said);
    match added.trim_start_matches([':', ';', ',', '.', ' ']) {
        "" => ours.to_owned(),
        added => format!("{ours}: {added}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_wb_09_what_the_service_says_as_well_is_said_once() {
        let line = |code, message: &str| {
            let denial = Denial { code, message: message.to_owned() };
            Trouble::Denied { server: "vpn".into(), denial }.to_string()
        };
        let ended = line(Code::MembershipEnded, "the membership has ended; ask to join again");
        assert_eq!(ended, "vpn: the membership has ended: ask to join again");
        let ended = line(Code::MembershipEnded, "the account is locked");
        assert_eq!(ended, "vpn: the membership has ended: the account is locked");
        assert_eq!(line(Code::MembershipEnded, " "), "vpn: the membership has ended");
        let denied = line(Code::RequestDenied, "the request to join was denied; ask ana");
        assert_eq!(denied, "vpn: the request to join was denied: ask ana");
    }
}
