//! Every Rust file begins by saying which question it answers.

use super::Finding;
use super::source::Source;

pub(super) fn check(source: &Source) -> Vec<Finding> {
    if !source.is_rust() || source.text.starts_with("//!") {
        return Vec::new();
    }
    vec![source.finding(1, "no header: begin with `//!` and one sentence that says what this is")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_tidy_rust_files_begin_with_a_header() {
        let file = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
        assert_eq!(check(&file("a.rs", "//! Says what.\n")), []);
        assert_eq!(check(&file("a.rs", "use b;\n//! Late.\n")).len(), 1);
        assert_eq!(check(&file("a.md", "# Title\n")), []);
    }
}
