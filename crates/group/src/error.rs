//! What the service answers when it does not do as it was told: a refusal, or a failure of its own.

use crate::authority::AuthorityError;
use crate::model::Refusal;
use crate::seal::{MasterKeyError, SealError};
use crate::store::StoreError;

/// The machine does not allow it: a port, a file, a lock.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct HostError(pub String);

/// A command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The rules say no; the caller may read why.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The database fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The authority fails.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// A secret does not open.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The state directory cannot be made.
    #[error(
        "cannot make the state directory {path}: {error}: run this as the user of the service, or set \
         `state_dir`"
    )]
    StateDir {
        /// Which.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// The master key cannot be used.
    #[error(transparent)]
    MasterKey(#[from] MasterKeyError),
    /// The master key is another one.
    #[error("the master key is not the one of this database; restore the one from its backup")]
    OtherMasterKey,
    /// A blob cannot be written.
    #[error("the blob: {0}")]
    Blob(#[from] pki::yaml::YamlError),
}

impl Error {
    /// Returns why the rules say no; everything else is a failure that only the operator reads.
    pub const fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// What the service returns.
pub type Result<T> = std::result::Result<T, Error>;
