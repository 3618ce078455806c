//! What a user reads when a command fails: one line that says what to do, and an exit code for scripts.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | the command did not work |
//! | 2 | command line or configuration is wrong |
//! | 3 | the node's identity is not accepted: certificate, key, blob, notices |
//! | 4 | the host does not allow it: port, device, permission, state directory in use |
//! | 5 | no daemon answers on the socket |
//! | 6 | another server answers in the place of the group service; it was sent nothing |
//! | 7, 8, 9, 10 | the token in the blob is: not known, expired, used up, of another group |
//! | 11 | the request to join was denied, the membership has ended, or the node is revoked |
//! | 12 | the group service cannot be used: not reached, another refusal, an answer that makes no sense |

use std::fmt::Display;
use std::process::ExitCode;

/// The exit codes as `--help` tells them.
pub const EXIT_CODES: &str = "Exit codes: 0 done; 1 it did not work; 2 command line or \
configuration is wrong; 3 certificate, key, blob or notices are not accepted; 4 the host does not \
allow it (port, device, permission, state directory in use); 5 no daemon answers on the socket; 6 \
another server answers in the place of the group service; 7, 8, 9, 10 the token in the blob is not \
known, expired, used up, of another group; 11 denied, membership ended or node revoked; 12 the group \
service cannot be used.";

/// Why a command ends without having done its work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    kind: Kind,
    message: String,
}

/// Where the cause lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The command did not work.
    Command = 1,
    /// Command line or configuration.
    Usage = 2,
    /// Certificate, key, blob or notices.
    Identity = 3,
    /// Port, device, permission, files.
    Host = 4,
    /// No daemon answers.
    NoDaemon = 5,
    /// Another server in the place of the group service.
    Stranger = 6,
    /// No such token.
    TokenUnknown = 7,
    /// The token's time is over.
    TokenExpired = 8,
    /// The token was for one node.
    TokenUsedUp = 9,
    /// The token is of another group.
    TokenForeign = 10,
    /// Denied, membership ended, node revoked.
    Denied = 11,
    /// The group service cannot be used.
    Service = 12,
}

impl Failure {
    /// A failure with a message for the user; line breaks in it become spaces.
    pub fn new(kind: Kind, message: impl Display) -> Self {
        let message = message.to_string();
        let words: Vec<&str> = message.split_whitespace().collect();
        Self { kind, message: words.join(" ") }
    }

    /// The command did not work.
    pub fn command(message: impl Display) -> Self {
        Self::new(Kind::Command, message)
    }

    /// Command line or configuration is wrong.
    pub fn usage(message: impl Display) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// Certificate, key, blob or notices are not accepted.
    pub fn identity(message: impl Display) -> Self {
        Self::new(Kind::Identity, message)
    }

    /// The host does not allow it.
    pub fn host(message: impl Display) -> Self {
        Self::new(Kind::Host, message)
    }

    /// No daemon answers.
    pub fn no_daemon(message: impl Display) -> Self {
        Self::new(Kind::NoDaemon, message)
    }

    /// Says where the cause lies.
    #[cfg(test)]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Prints the line and returns the code for the shell.
    pub fn report(&self) -> ExitCode {
        eprintln!("warren: {}", self.message);
        ExitCode::from(self.kind as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_several_lines_becomes_one() {
        let failure = Failure::usage("first\n  second");
        assert_eq!(failure.to_string(), "first second");
        assert_eq!(failure.kind(), Kind::Usage);
    }
}
