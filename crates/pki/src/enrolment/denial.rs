//! Why the service says no: a code for programs, a sentence for people.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use super::json::messages;

/// Longest sentence in characters; a terminal shows it in a few lines.
const MESSAGE_CHARS_MAX: usize = 500;

/// Defines the codes with their text form.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)+) => {
        /// Which reason it is. A new code is a reason that a program or an auditor must tell from
        /// the others.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
        pub enum Code {
            $($(#[$doc])* #[serde(rename = $text)] $name,)+
            /// One that this program does not know, from a newer service.
            #[serde(rename = "other")]
            Other,
        }

        impl Code {
            /// Every code that is known.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Returns the text form.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                    Self::Other => "other",
                }
            }

            fn of(text: &str) -> Self {
                match text {
                    $($text => Self::$name,)+
                    _ => Self::Other,
                }
            }
        }
    };
}

codes! {
    /// The message is not what is expected there.
    Malformed = "malformed",
    /// No such token was ever handed out, or it was ended.
    TokenUnknown = "token_unknown",
    /// The token's time is over.
    TokenExpired = "token_expired",
    /// The token was for one node, and has been used.
    TokenUsedUp = "token_used_up",
    /// The token is of another group.
    TokenForeign = "token_foreign",
    /// An administrator has denied the request to join.
    RequestDenied = "request_denied",
    /// The user has left the group or was put out.
    MembershipEnded = "membership_ended",
    /// The user has as many nodes as the group allows.
    QuotaExceeded = "quota_exceeded",
    /// Too many requests from there.
    RateLimited = "rate_limited",
    /// The node, its certificate or its user is revoked.
    NodeRevoked = "node_revoked",
    /// The key belongs to a node of somebody else.
    KeyTaken = "key_taken",
    /// The request does not carry the ID that its key has in this group.
    IdMismatch = "id_mismatch",
    /// The certificate expired too long ago to sign its own renewal.
    CertificateTooOld = "certificate_too_old",
    /// The certificate was not issued for this group, or not to this key.
    CertificateUnknown = "certificate_unknown",
    /// The nonce is not of this service, or its time is over.
    NonceExpired = "nonce_expired",
    /// The proof of holding the key is wrong.
    ProofWrong = "proof_wrong",
    /// The user has said no to the device.
    DeviceDenied = "device_denied",
    /// Nobody has said anything about the device in time.
    DeviceExpired = "device_expired",
    /// There is no such thing.
    NotFound = "not_found",
    /// The service cannot do it now.
    Unavailable = "unavailable",
}

impl Code {
    /// Returns whether the same question may get another answer later, without anybody's doing at
    /// the node.
    pub const fn is_passing(self) -> bool {
        matches!(self, Self::RateLimited | Self::Unavailable | Self::NonceExpired)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::of(&text))
    }
}

/// The body of every answer that is no success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    /// For programs.
    #[serde(rename = "error")]
    pub code: Code,
    /// What to do, for people. Reading it takes out what a terminal would obey.
    #[serde(deserialize_with = "read_message")]
    pub message: String,
}

messages!(REQUEST_LEN_MAX: Denial);

fn read_message<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    let printable = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    Ok(printable.take(MESSAGE_CHARS_MAX).collect())
}
