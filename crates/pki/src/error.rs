//! What goes wrong on our own side: unreadable files, options out of bounds, wrong authority.
//!
//! What is wrong with a *peer* is a [`Refusal`](crate::Refusal); what is wrong with a *notice* is a
//! [`LedgerError`](crate::LedgerError).

use crate::name::NameError;

/// A local input or option is unusable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A name breaks a rule.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The private key is not PKCS#8 of a kind we take.
    #[error("the private key is not an unencrypted PKCS#8 key of type P-256 or Ed25519")]
    Key,
    /// A PEM text has no, a broken, or more than one block of this label.
    #[error("expected one PEM block labelled {0}; name the file that holds it")]
    Pem(&'static str),
    /// The bytes are no certificate.
    #[error("the certificate cannot be read: {0}")]
    Certificate(&'static str),
    /// The certificate does not make its holder an authority of this group.
    #[error("the certificate is not that of a group authority: {0}")]
    Authority(&'static str),
    /// The request is broken or not signed by the key it carries.
    #[error("the certificate request is refused: {0}")]
    Request(&'static str),
    /// The requested life of a certificate is out of bounds.
    #[error("a certificate lives between 24 hours and 30 days")]
    Life,
    /// The authority's own certificate has expired.
    #[error("the authority's certificate has expired; let the root issue a new one")]
    AuthorityExpired,
    /// The certificate writer failed.
    #[error("the certificate cannot be written: {0}")]
    Encode(String),
}

impl From<rcgen::Error> for Error {
    fn from(error: rcgen::Error) -> Self {
        Self::Encode(error.to_string())
    }
}
