//! What has happened: each event is stored in the audit log, and changes the tables.
//!
//! Fields that are skipped in the log's form are secrets or bulk: they change the tables only.

use pki::enrolment::SecretHash;
use pki::{IssuerId, NodeId, Revoked, Salt, UnixTime};
use serde::{Deserialize, Serialize};

use super::entity::{Ended, Issued, Role};
use super::id::{Named, RequestId, TokenId};
use super::policy::Policies;

/// Something that has happened in a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A user has made the group.
    GroupCreated {
        /// Its first administrator.
        user: Named,
    },
    /// An administrator has set its policies.
    GroupChanged {
        /// All of them.
        policies: Policies,
    },
    /// It is no more.
    GroupDeleted,
    /// It has a new authority.
    AuthorityMade {
        /// Its key.
        issuer: IssuerId,
        /// What members pin, as PEM.
        #[serde(skip)]
        certificate: String,
        /// Its key, sealed.
        #[serde(skip)]
        sealed_key: String,
    },
    /// It will have another authority.
    AuthorityAnnounced {
        /// Its key.
        issuer: IssuerId,
        /// When it takes over.
        from: UnixTime,
        /// What members pin, as PEM.
        #[serde(skip)]
        certificate: String,
        /// Its key, sealed.
        #[serde(skip)]
        sealed_key: String,
    },
    /// The announced authority signs from now on; the key of the former one is wiped.
    AuthorityTookOver {
        /// Its key.
        issuer: IssuerId,
        /// Whose place it takes.
        former: IssuerId,
        /// How long members still pin that one.
        until: UnixTime,
    },
    /// Members pin a former authority no more.
    AuthorityForgotten {
        /// Its key.
        issuer: IssuerId,
    },
    /// A generation of the group secret has begun.
    SecretStarted {
        /// Its number.
        generation: u32,
        /// The secret, sealed.
        #[serde(skip)]
        sealed: String,
    },

    /// Somebody has asked to join.
    Asked {
        /// The new request.
        request: RequestId,
        /// Who.
        user: Named,
        /// Why.
        reason: String,
    },
    /// Somebody no longer wants to join.
    RequestWithdrawn {
        /// Which request.
        request: RequestId,
        /// Who.
        user: Named,
    },
    /// A request was granted.
    RequestApproved {
        /// Which request.
        request: RequestId,
        /// Whose.
        user: Named,
        /// For the asker.
        note: String,
    },
    /// A request was refused.
    RequestDenied {
        /// Which request.
        request: RequestId,
        /// Whose.
        user: Named,
        /// For the asker.
        note: String,
    },

    /// Somebody is a member now.
    MemberJoined {
        /// Who.
        user: Named,
        /// As what.
        role: Role,
    },
    /// A member may do more, or less.
    RoleChanged {
        /// Who.
        user: Named,
        /// As what.
        role: Role,
    },
    /// Somebody has left, with all tokens and nodes.
    MemberLeft {
        /// Who.
        user: Named,
    },
    /// Somebody was put out, with all tokens and nodes.
    MemberRemoved {
        /// Who.
        user: Named,
        /// Why.
        reason: String,
    },

    /// A blob was handed out.
    TokenDrawn {
        /// The token in it.
        token: TokenId,
        /// Whose.
        user: Named,
        /// What its user calls it.
        label: String,
        /// Whether it may enrol more than one node.
        reusable: bool,
        /// Whether its nodes go when their certificates expire.
        ephemeral: bool,
        /// When it ends by itself.
        expires: UnixTime,
        /// What is kept of it.
        #[serde(skip)]
        hash: SecretHash,
    },
    /// A token counts no more.
    TokenEnded {
        /// Which.
        token: TokenId,
        /// Whose.
        user: Named,
        /// Why.
        why: Ended,
    },

    /// The authority has drawn a salt for a key.
    NodeNamed {
        /// What follows from both.
        node: NodeId,
        /// Whose.
        user: Named,
        /// By which token.
        token: TokenId,
        /// What was drawn.
        salt: Salt,
        /// Its name in the group.
        host: Option<String>,
        /// Whether it goes when its certificate expires.
        ephemeral: bool,
        /// The key, as DER SubjectPublicKeyInfo.
        #[serde(skip)]
        spki: Vec<u8>,
    },
    /// A node that was forgotten is back, with its old ID.
    NodeReturned {
        /// Which.
        node: NodeId,
        /// Whose.
        user: Named,
    },
    /// A node counts no more.
    NodeEnded {
        /// Which.
        node: NodeId,
        /// Whose.
        user: Named,
        /// Why.
        why: Ended,
    },
    /// A certificate was signed.
    CertificateIssued {
        /// Serial, node and times.
        #[serde(flatten)]
        certificate: Issued,
        /// Whose.
        user: Named,
        /// Whether an older one has asked for it.
        renewal: bool,
        /// Who signed it.
        issuer: IssuerId,
        /// Whether the node goes when it expires.
        ephemeral: bool,
    },
    /// A notice was signed.
    Revoked {
        /// Its number in the chain.
        notice: u64,
        /// Who or what is out.
        #[serde(flatten)]
        what: What,
        /// Why.
        reason: String,
        /// The nodes that are out by it.
        victims: Vec<NodeId>,
        /// Its wire form.
        #[serde(skip)]
        bytes: Vec<u8>,
    },
    /// A node was refused.
    EnrolmentRefused {
        /// Why.
        code: &'static str,
        /// By which token it asked.
        token: Option<TokenId>,
    },
}

/// What a notice names, as the log and the API write it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// One certificate.
    Serial(String),
    /// A node.
    #[schema(value_type = String)]
    Node(NodeId),
    /// A user.
    User(String),
    /// An authority.
    Issuer(String),
}

impl From<&Revoked> for What {
    fn from(revoked: &Revoked) -> Self {
        match revoked {
            Revoked::Serial(serial) => Self::Serial(serial.to_string()),
            Revoked::Node(node) => Self::Node(*node),
            Revoked::User(user) => Self::User(user.clone()),
            Revoked::Issuer(issuer) => Self::Issuer(issuer.to_string()),
        }
    }
}

/// Something that has happened to the site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum SiteEvent {
    /// There is a new account.
    UserCreated {
        /// Its name.
        name: String,
        /// Where to write to.
        #[serde(skip)]
        email: Option<String>,
        /// How the user logs in.
        #[serde(skip)]
        login: Login,
    },
    /// A user has another password.
    PasswordChanged {
        /// Who.
        user: Named,
        /// The new one, hashed.
        #[serde(skip)]
        hash: String,
    },
    /// A user administers the site from now on, or no longer.
    SiteAdminChanged {
        /// Who.
        user: Named,
        /// Which of both.
        site_admin: bool,
    },
    /// An account was locked, or opened again.
    AccountEnabled {
        /// Whose.
        user: Named,
        /// Which of both.
        enabled: bool,
    },
    /// A user has closed the account; the name stays taken.
    AccountClosed {
        /// Whose.
        user: Named,
    },
    /// A login went well.
    LoggedIn {
        /// Who.
        user: Named,
    },
    /// A login failed.
    LoginFailed {
        /// For an account that there is.
        user: Option<Named>,
    },
    /// A group was made or deleted.
    Group {
        /// Its name.
        name: String,
        /// Which of both.
        deleted: bool,
    },
    /// A node was refused, and its token is of no group.
    EnrolmentRefused {
        /// Why.
        code: &'static str,
    },
}

/// How a user logs in.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// By a password, kept as an argon2id hash.
    Password(String),
    /// By an OpenID provider.
    Oidc {
        /// The provider.
        issuer: String,
        /// The user's name there.
        subject: String,
    },
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Password(_) => "Password(..)",
            Self::Oidc { .. } => "Oidc(..)",
        })
    }
}
