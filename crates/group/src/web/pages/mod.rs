//! What each page shows: pure functions from a [`Frame`](super::page::Frame) and values to markup.
//!
//! | file | pages |
//! |---|---|
//! | `access` | log in, sign up |
//! | `home` | my groups, find a group |
//! | `create`, `settings` | a new group, the policies of one |
//! | `group` | a group: ring, how to join, nodes; for outsiders: ask to join |
//! | `requests` | who wants to join |
//! | `members` | who belongs to it |
//! | `tokens` | blobs and the tokens in them |
//! | `node` | one node and its certificates |
//! | `revocations` | who is out, and how far the news has come |
//! | `audit` | what has happened |
//! | `account`, `device` | own password and API tokens, a machine that waits for a yes |
//! | `question`, `failure` | before what cannot be undone, after what did not work |

pub mod access;
pub mod account;
pub mod audit;
pub mod create;
pub mod device;
pub mod failure;
pub mod group;
pub mod home;
pub mod members;
pub mod node;
pub mod question;
pub mod requests;
pub mod revocations;
pub mod settings;
pub mod tokens;

/// Writes a text as part of an address.
pub fn encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}
