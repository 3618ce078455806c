//! YAML in and out, in one place, so that the library behind it can change.
//!
//! Error messages carry line and column but never quote the text around them: configuration files
//! hold secrets. Duplicate keys are errors; size is bounded here, nesting by the library.

use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

/// Longest document that is read, in bytes: a blob with a few thousand notices.
pub const YAML_LEN_MAX: usize = 1024 * 1024;

/// A document cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct YamlError {
    /// Line of the first problem, from 1, where it has one.
    pub line: Option<u64>,
    /// What is wrong, with the line.
    pub message: String,
}

/// Reads one document.
pub fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, YamlError> {
    if text.len() > YAML_LEN_MAX {
        let message = format!("the document is longer than {YAML_LEN_MAX} bytes");
        return Err(YamlError { line: None, message });
    }
    let options = serde_yaml::options! {
        with_snippet: false,
        duplicate_keys: serde_yaml::DuplicateKeyPolicy::Error,
    };
    serde_yaml::from_str_with_options(text, options).map_err(|error| {
        let line = error.location().map(|location| location.line());
        YamlError { line, message: error.to_string() }
    })
}

/// Writes one document; the text wipes itself.
pub fn to_string<T: Serialize>(value: &T) -> Result<Zeroizing<String>, YamlError> {
    let text = serde_yaml::to_string(value);
    text.map(Zeroizing::new).map_err(|error| YamlError { line: None, message: error.to_string() })
}
