//! Only one crate contains `unsafe` code.

use super::Finding;
use super::source::{Source, has_word};

const ALLOWED: &str = "crates/packetio/";

pub(super) fn check(source: &Source) -> Vec<Finding> {
    if !source.is_rust() || source.path.starts_with(ALLOWED) {
        return Vec::new();
    }
    let code = source.code();
    let lines = code.lines().enumerate().filter(|(_, line)| has_word(line, "unsafe"));
    lines
        .map(|(index, _)| {
            source
                .finding(index + 1, format!("unsafe code: move it behind a safe call of {ALLOWED}"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_tidy_unsafe_code_is_allowed_in_one_crate() {
        let file = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
        let code = "//! A.\nlet x = unsafe { y() };";
        assert_eq!(check(&file("node/src/a.rs", code))[0].line, 2);
        assert_eq!(check(&file("crates/packetio/src/a.rs", code)), []);
        assert_eq!(check(&file("node/src/a.rs", "#![forbid(unsafe_code)] // unsafe")), []);
    }
}
