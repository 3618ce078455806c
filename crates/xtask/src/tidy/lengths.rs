//! No source file is longer than a thousand lines.

use super::Finding;
use super::source::Source;

/// A file near this has usually become two ideas.
const LINES_MAX: usize = 1000;

/// Kinds of files that people write; data and lock files may be long.
const WRITTEN: [&str; 9] =
    [".rs", ".md", ".sh", ".py", ".js", ".css", ".html", ".toml", "Makefile"];

pub(super) fn check(source: &Source) -> Vec<Finding> {
    let lines = source.text.lines().count();
    let is_written = WRITTEN.iter().any(|end| source.path.ends_with(end));
    if !is_written || lines <= LINES_MAX {
        return Vec::new();
    }
    vec![source.finding(
        lines,
        format!("{lines} lines, at most {LINES_MAX} are allowed: split it by what its parts do"),
    )]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_tidy_only_written_files_are_limited() {
        let file =
            |path: &str, lines| Source { path: path.to_owned(), text: "line\n".repeat(lines) };
        assert_eq!(check(&file("src/a.rs", 1000)), []);
        assert_eq!(check(&file("src/a.rs", 1001)).len(), 1);
        assert_eq!(check(&file("results/a.csv", 1001)), []);
    }
}
