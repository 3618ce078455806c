//! JSON in and out, in one place: bounded, and with errors that quote nothing.

use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

/// Longest message to the service, in bytes: a request and a certificate at their bounds, as PEM.
pub const REQUEST_LEN_MAX: usize = 16 * 1024;
/// Longest answer of the service, in bytes: a full chain of notices as text is 11 MiB.
pub const ANSWER_LEN_MAX: usize = 16 * 1024 * 1024;

/// A message cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// It is longer than any of its kind.
    #[error("longer than {max} bytes")]
    TooLong {
        /// The bound.
        max: usize,
    },
    /// It is not the JSON that is expected there.
    #[error("not the expected JSON at line {line}, column {column}")]
    Unexpected {
        /// From 1.
        line: usize,
        /// From 1; 0 at the end of the text.
        column: usize,
    },
}

/// One message of the enrolment.
pub trait Message: Serialize + DeserializeOwned {
    /// Longest form in bytes.
    const LEN_MAX: usize;

    /// Reads a message; a good one has only good fields.
    fn from_json(bytes: &[u8]) -> Result<Self, JsonError> {
        if bytes.len() > Self::LEN_MAX {
            return Err(JsonError::TooLong { max: Self::LEN_MAX });
        }
        // The library's own words quote values, and a value may be a secret at the wrong place.
        serde_json::from_slice(bytes)
            .map_err(|error| JsonError::Unexpected { line: error.line(), column: error.column() })
    }

    /// Writes the message; the bytes wipe themselves.
    fn to_json(&self) -> Zeroizing<Vec<u8>> {
        let written = serde_json::to_vec(self);
        Zeroizing::new(written.expect("messages have only text keys and infallible fields"))
    }
}

/// States the bound of several messages.
macro_rules! messages {
    ($bound:ident: $($message:ty),+ $(,)?) => {
        $(impl $crate::enrolment::Message for $message {
            const LEN_MAX: usize = $crate::enrolment::$bound;
        })+
    };
}
pub(super) use messages;
