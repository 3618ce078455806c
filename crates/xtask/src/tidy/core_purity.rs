//! The core reads no clock, starts no thread, takes no lock, opens nothing and prints nothing.
//!
//! The lints in `crates/proto/clippy.toml` know types; this check is coarser, but it sees macros
//! and asynchronous runtimes as well and needs no build. Tests of the core may do as they like.

use super::Finding;
use super::source::{Source, has_word};

const CORE: &str = "crates/proto/src/";

/// Lines with all words of an entry are reported.
const FORBIDDEN: [(&[&str], &str); 13] = [
    (&["std", "Instant"], "take the time as an argument, in the crate's own type"),
    (&["SystemTime"], "take the time as an argument, in the crate's own type"),
    (&["std", "thread"], "return what is to be done later as a deadline"),
    (&["Mutex"], "let one owner call the core"),
    (&["RwLock"], "let one owner call the core"),
    (&["tokio"], "move the waiting into the daemon"),
    (&["UdpSocket"], "return the packet, and let the caller send it"),
    (&["TcpStream"], "return the bytes, and let the caller send them"),
    (&["std", "fs"], "take the contents as an argument"),
    (&["std", "env"], "take the value as configuration"),
    (&["println!"], "count it, or return it as an event"),
    (&["eprintln!"], "count it, or return it as an event"),
    (&["dbg!"], "remove it"),
];

pub(super) fn check(source: &Source) -> Vec<Finding> {
    if !source.path.starts_with(CORE) || !source.is_rust() || is_test_file(&source.path) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (index, line) in source.code().lines().enumerate() {
        // Tests are at the end of a file; a declaration `mod tests;` may stand anywhere.
        if line.starts_with("mod tests {") {
            break;
        }
        for (words, advice) in FORBIDDEN {
            if words.iter().all(|word| has(line, word)) {
                let name = words.join("::");
                findings.push(source.finding(index + 1, format!("{name} in the core: {advice}")));
            }
        }
    }
    findings
}

fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

fn has(line: &str, word: &str) -> bool {
    match word.strip_suffix('!') {
        Some(name) => has_word(line, name) && line.contains(word),
        None => has_word(line, word),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> usize {
        check(&Source { path: path.to_owned(), text: text.to_owned() }).len()
    }

    #[test]
    fn unit_tidy_core_may_not_use_clock_lock_or_socket() {
        let path = "crates/proto/src/a.rs";
        assert_eq!(findings(path, "use std::time::{Duration, Instant};"), 1);
        assert_eq!(findings(path, "let t = std::thread::spawn(f);"), 1);
        assert_eq!(findings(path, "struct A(Mutex<u8>);\nuse tokio::net::UdpSocket;"), 3);
        assert_eq!(findings(path, "println!(\"{x}\");"), 1);
    }

    #[test]
    fn unit_tidy_core_has_its_own_instant_and_free_comments() {
        let path = "crates/proto/src/a.rs";
        assert_eq!(findings(path, "use crate::time::Instant;"), 0);
        assert_eq!(findings(path, "// The daemon holds the Mutex."), 0);
    }

    #[test]
    fn unit_tidy_tests_and_other_crates_are_free() {
        assert_eq!(findings("crates/proto/src/a.rs", "#[cfg(test)]\nmod tests {\nprintln!();"), 0);
        assert_eq!(findings("crates/proto/src/a/tests.rs", "println!();"), 0);
        assert_eq!(findings("node/src/main.rs", "println!();"), 0);
    }
}
