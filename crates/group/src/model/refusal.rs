//! Why a command is not carried out: a code for programs, a sentence that says what to do.
//!
//! One place of the HTTP side maps each to a status. The codes of nodes are those of
//! `pki::enrolment`; a client tells them apart, and so does the audit log.

use pki::NameError;
use pki::enrolment::Code;

/// A command is refused; nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such thing, or the asker may not know of it.
    #[error("there is no such {0}; look at the list of those there are")]
    NotFound(&'static str),
    /// Only an administrator of the group may do it.
    #[error("only an administrator of the group may do that; ask one of them")]
    NotAdministrator,
    /// Only an administrator of the site may do it.
    #[error("only an administrator of the site may do that; ask one of them")]
    NotSiteAdministrator,
    /// Only a member of the group may do it.
    #[error("only a member of the group may do that; ask to join first")]
    NotMember,
    /// The account is closed or locked.
    #[error("the account is disabled; ask an administrator of the site")]
    AccountDisabled,
    /// Somebody has that name.
    #[error("the name is taken; choose another")]
    NameTaken,
    /// The name breaks a rule.
    #[error("{0}")]
    Name(#[from] NameError),
    /// The user name breaks a rule of the site.
    #[error("a user name has 1 to 64 of a-z, 0-9, '.', '_', '-' and starts with a letter or digit")]
    UserName,
    /// The password is too short or too long.
    #[error("a password has 10 to 256 characters; a sentence of four words is a good one")]
    Password,
    /// A setting is outside its limits.
    #[error("{0}")]
    Setting(&'static str),
    /// Somebody else changed what a form was filled in for.
    #[error(
        "somebody else has changed these settings meanwhile; look at them again, then change what you want"
    )]
    ChangedMeanwhile,
    /// A text is too long.
    #[error("the {field} has more than {max} characters; shorten it")]
    TextTooLong {
        /// Which one.
        field: &'static str,
        /// Its bound.
        max: usize,
    },
    /// The group would be left without an administrator.
    #[error("a group keeps at least one administrator; promote another member first")]
    LastAdministrator,
    /// The user is a member already.
    #[error("already a member of the group; download the blob")]
    AlreadyMember,
    /// The user has a request that waits.
    #[error("a request to join is waiting already; an administrator will decide on it")]
    AlreadyAsked,
    /// The request is decided.
    #[error("the request was decided or withdrawn already; nothing was changed")]
    RequestDecided,
    /// The group goes to another authority already.
    #[error("a new authority was announced already; it takes over when all members pin it")]
    RotationUnderWay,
    /// Too many of them.
    #[error("too many {0}; end or remove some that are not needed")]
    TooMany(&'static str),
    /// The chain of notices is too full for what is not urgent.
    #[error("too many revocations lately; try again tomorrow, or ask an administrator")]
    LedgerFull,
    /// What to revoke is not of this group.
    #[error("nothing to revoke: the group never had it, or it is out already")]
    NothingToRevoke,

    /// No such token was handed out.
    #[error("the token is unknown; download a new blob")]
    TokenUnknown,
    /// Its user has ended it.
    #[error("the token was ended by its user; download a new blob")]
    TokenEnded,
    /// Its time is over.
    #[error("the token has expired; download a new blob")]
    TokenExpired,
    /// It was for one node.
    #[error("the token was for one node and has been used; download a new blob")]
    TokenUsedUp,
    /// It is of another group.
    #[error("the token is of another group; use the blob of this group")]
    TokenForeign,
    /// An administrator has denied the request to join.
    #[error("the request to join was denied; ask an administrator of the group")]
    RequestDenied,
    /// The user is no member any more.
    #[error("the membership has ended; ask to join again")]
    MembershipEnded,
    /// The user has as many nodes as the group allows.
    #[error("the user has {quota} nodes, as many as the group allows; revoke one, or ask for more")]
    QuotaExceeded {
        /// What the group allows.
        quota: u32,
    },
    /// Too many new keys.
    #[error("too many new keys of this user within a day; try again tomorrow")]
    RateLimited,
    /// The node is out.
    #[error("the node or its certificate is revoked; ask an administrator of the group")]
    NodeRevoked,
    /// The key belongs to another user's node.
    #[error("the key is that of another user's node; make a new one")]
    KeyTaken,
    /// The request does not carry the node ID of its key.
    #[error("the request does not carry the node ID of its key; ask for the key's ID first")]
    IdMismatch,
    /// It expired too long ago.
    #[error("the certificate expired more than 30 days ago; enrol again with a blob")]
    CertificateTooOld,
    /// It is not one of this group's.
    #[error("the certificate is not one of this group, or not of this key; enrol again")]
    CertificateUnknown,
}

impl Refusal {
    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "not_found",
            Self::NotAdministrator => "not_administrator",
            Self::NotSiteAdministrator => "not_site_administrator",
            Self::NotMember => "not_member",
            Self::AccountDisabled => "account_disabled",
            Self::NameTaken => "name_taken",
            Self::Name(_) | Self::UserName => "name_not_allowed",
            Self::Password => "password_not_allowed",
            Self::Setting(_) => "setting_out_of_range",
            Self::ChangedMeanwhile => "changed_meanwhile",
            Self::TextTooLong { .. } => "text_too_long",
            Self::LastAdministrator => "last_administrator",
            Self::AlreadyMember => "already_member",
            Self::AlreadyAsked => "already_asked",
            Self::RequestDecided => "request_decided",
            Self::RotationUnderWay => "rotation_under_way",
            Self::TooMany(_) => "too_many",
            Self::LedgerFull => "ledger_full",
            Self::NothingToRevoke => "nothing_to_revoke",
            Self::TokenUnknown => "token_unknown",
            Self::TokenEnded => "token_ended",
            Self::TokenExpired => "token_expired",
            Self::TokenUsedUp => "token_used_up",
            Self::TokenForeign => "token_foreign",
            Self::RequestDenied => "request_denied",
            Self::MembershipEnded => "membership_ended",
            Self::QuotaExceeded { .. } => "quota_exceeded",
            Self::RateLimited => "rate_limited",
            Self::NodeRevoked => "node_revoked",
            Self::KeyTaken => "key_taken",
            Self::IdMismatch => "id_mismatch",
            Self::CertificateTooOld => "certificate_too_old",
            Self::CertificateUnknown => "certificate_unknown",
        }
    }

    /// Returns the code that a node is told.
    pub const fn enrolment_code(&self) -> Code {
        match self {
            Self::TokenUnknown | Self::TokenEnded => Code::TokenUnknown,
            Self::TokenExpired => Code::TokenExpired,
            Self::TokenUsedUp => Code::TokenUsedUp,
            Self::TokenForeign => Code::TokenForeign,
            Self::RequestDenied => Code::RequestDenied,
            Self::MembershipEnded | Self::AccountDisabled | Self::NotMember => {
                Code::MembershipEnded
            }
            Self::QuotaExceeded { .. } => Code::QuotaExceeded,
            Self::RateLimited => Code::RateLimited,
            Self::NodeRevoked => Code::NodeRevoked,
            Self::KeyTaken => Code::KeyTaken,
            Self::IdMismatch => Code::IdMismatch,
            Self::CertificateTooOld => Code::CertificateTooOld,
            Self::CertificateUnknown => Code::CertificateUnknown,
            Self::NotFound(_) => Code::NotFound,
            _ => Code::Malformed,
        }
    }
}
