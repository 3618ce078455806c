//! Enrolment: what a node and the group service say to each other (paper section 4.1, in the spirit
//! of RFC 7030).
//!
//! How it works: the blob brings the service's address, the pins of its key and a bearer
//! [`Token`]. The node sends its key and learns the salt that fixes its node ID, then a request
//! that carries this ID, and gets a [`Grant`]: all that it needs to be a member. It renews with its
//! certificate alone ([`RenewalRequest`]). The token it shows again whenever it asks for notices or for
//! the nodes to join by, used up or not: as long as it lives it is of use to who steals it.
//!
//! What must hold: each message is JSON of a bounded length and each field is good once it was
//! read. What the service receives has no unknown keys; what a node receives may have some, so that
//! a newer service can say more. Secrets wipe themselves and are never printed.
//!
//! | file | question |
//! |---|---|
//! | `message` | what is said |
//! | `grant` | what a member is given |
//! | `renewal` | how a certificate is renewed without a token |
//! | `secret_text` | which secrets are handed over as text |
//! | `user_code` | what a person compares |
//! | `pin`, `url` | which server is the right one |
//! | `denial` | why not |
//! | `json` | how it is written |

mod denial;
mod grant;
mod json;
mod message;
mod pin;
mod renewal;
mod secret_text;
mod url;
mod user_code;

pub use denial::{Code, Denial};
pub use grant::Grant;
pub use json::{ANSWER_LEN_MAX, JsonError, Message, REQUEST_LEN_MAX};
pub use message::{
    BootstrapAnswer, CertificateRequest, DeviceAnswer, DeviceRequest, DeviceTokenAnswer,
    DeviceTokenRequest, KeyAnswer, KeyRequest, NonceAnswer, NoticesAnswer, Pending,
    WAIT_MAX_SECONDS,
};
pub use pin::{PINS_MAX, ParsePinError, Pin};
pub use renewal::{Nonce, ParseNonceError, RenewalRequest};
pub use secret_text::{DeviceCode, ParseSecretError, SecretHash, Token};
pub use url::{ParseUrlError, ServiceUrl};
pub use user_code::{ParseUserCodeError, UserCode};

#[cfg(test)]
mod tests;
