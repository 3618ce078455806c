//! Identity in Warren: keys, node IDs, member certificates, revocation, and the blob that brings
//! them to a node.
//!
//! How it works: an authority signs a [`Request`] into a [`Certificate`] that binds user, group and
//! node ID; members judge each other offline by their [`Trust`], which pins the authorities and
//! keeps the [`Ledger`] of revocations.
//!
//! What must hold: nothing here reads a clock, a file or the network; wall time is always an
//! argument. Randomness is drawn only where the documentation says *draws*. Everything that a peer
//! can send is parsed without panicking and within a bound.
//!
//! | file | question |
//! |---|---|
//! | `id` | who is who |
//! | `name` | which names are allowed |
//! | `unix_time` | how wall time is passed in |
//! | `key` | which keys and signatures |
//! | `profile`, `extension` | what a member certificate contains |
//! | `certificate`, `pem` | how certificates are stored |
//! | `issuer` | what an authority looks like to others |
//! | `authority`, `request` | how a certificate comes to be |
//! | `trust`, `refusal` | who is let in, and why not |
//! | `notice`, `ledger` | who is out |
//! | `crl` | the same for outside tools |
//! | `secret`, `keyring` | the group's shared secret, and its generations |
//! | `pre_shared` | the key of a group that has no authority |
//! | `blob`, `invitation`, `network`, `yaml` | what a user is handed to join |
//! | `enrolment` | how a node asks a group service for its certificate |

mod authority;
mod blob;
mod certificate;
mod crl;
pub mod enrolment;
mod error;
mod extension;
mod id;
mod invitation;
mod issuer;
mod key;
mod keyring;
mod ledger;
mod name;
mod network;
mod notice;
mod pem;
mod pre_shared;
mod profile;
mod refusal;
mod request;
mod secret;
#[cfg(test)]
mod testing;
mod trust;
mod unix_time;
pub mod yaml;

pub use authority::{
    AUTHORITY_LIFE, CertificateAuthority, LIFE_DEFAULT, LIFE_MAX, LIFE_MIN, NOTICE_LIFE, ROOT_LIFE,
    Root, SignOptions,
};
pub use blob::{BOOTSTRAP_MAX, Blob, BlobError, Enrolment, HostPort, ParseHostPortError};
pub use certificate::{CERTIFICATE_LEN_MAX, Certificate};
pub use crl::{Crl, crl};
pub use error::Error;
pub use extension::{EXTENSION_OID, ParseRolesError, Roles};
pub use id::{IssuerId, NodeId, ParseIdError, Salt, Serial};
pub use invitation::{Handed, Invitation};
pub use key::{Algorithm, PrivateKey, SIGNATURE_LEN, verify};
pub use keyring::{GENERATIONS_MAX, Keyring, SIGNED_SECRET_LEN, SecretError, SignedSecret};
pub use ledger::{Ledger, LedgerError, LineError, NOTICES_MAX, Outcome};
pub use name::{LABEL_LEN_MAX, NameError, USER_LEN_MAX, check_group, check_host, check_user};
pub use network::{
    Ipv4Subnet, LEASE_DEFAULT, LEASE_MAX, LEASE_MIN, MTU_MAX, MTU_MIN, Network, ParseSubnetError,
};
pub use notice::{Head, NOTICE_LEN_MAX, Notice, Revoked};
pub use pre_shared::{KeysError, PRE_SHARED_KEYS_MAX, ParseKeyError, PreSharedKey};
pub use profile::{BACKDATE, Member};
pub use refusal::Refusal;
pub use request::Request;
pub use secret::GroupSecret;
pub use trust::{CLOCK_TOLERANCE, ISSUERS_MAX, RENEWAL_GRACE, StalePolicy, Trust};
pub use unix_time::UnixTime;
