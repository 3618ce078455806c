//! Every row of the table in `docs/testing.md` names a test that exists.
//!
//! The table is the promise which behaviour is tested; a renamed or deleted test must not leave
//! its row behind.

use std::collections::BTreeSet;

use super::Finding;
use super::source::Source;

const TABLE: &str = "docs/testing.md";

/// The first two columns of the table's head.
const HEAD: [&str; 2] = ["row", "test"];

/// An attribute stands at most this many lines above its function.
const ATTRIBUTE_LINES_MAX: usize = 8;

pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    let Some(page) = sources.iter().find(|source| source.path == TABLE) else {
        return vec![Finding {
            path: TABLE.to_owned(),
            line: 1,
            message: "missing: write the table of tests".to_owned(),
        }];
    };
    let tests: BTreeSet<String> =
        sources.iter().filter(|s| s.is_rust()).flat_map(|s| test_functions(&s.code())).collect();
    let mut findings = Vec::new();
    for (line, cell) in test_cells(&page.text) {
        let names = test_names(&cell);
        if names.is_empty() {
            findings
                .push(page.finding(line, "no test named: put its function's name in backticks"));
        }
        for name in names.into_iter().filter(|name| !tests.contains(name)) {
            let message = format!("test `{name}` does not exist: mend the row or bring it back");
            findings.push(page.finding(line, message));
        }
    }
    findings
}

/// Line number and content of the test column, row by row.
fn test_cells(page: &str) -> Vec<(usize, String)> {
    let mut cells = Vec::new();
    let mut is_inside = false;
    for (index, line) in page.lines().enumerate() {
        if !line.starts_with('|') {
            is_inside = false;
            continue;
        }
        let columns: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        if columns.get(..2).is_some_and(|columns| columns == HEAD) {
            is_inside = true;
        } else if is_inside
            && !columns.iter().all(|column| column.trim_matches(':').starts_with("--"))
        {
            cells.push((index + 1, columns.get(1).copied().unwrap_or_default().to_owned()));
        }
    }
    cells
}

/// Function names in backticks; a path before the name is left out.
fn test_names(cell: &str) -> Vec<String> {
    let spans = cell.split('`').skip(1).step_by(2);
    spans.map(|span| span.rsplit("::").next().unwrap_or(span).to_owned()).collect()
}

/// Names of the functions with a test attribute.
fn test_functions(code: &str) -> Vec<String> {
    let lines: Vec<_> = code.lines().map(str::trim).collect();
    let mut names = Vec::new();
    for (index, _) in lines.iter().enumerate().filter(|(_, line)| is_test_attribute(line)) {
        let mut below = lines[index..].iter().take(ATTRIBUTE_LINES_MAX);
        let name = below.find_map(|line| function_name(line));
        names.extend(name.map(str::to_owned));
    }
    names
}

fn is_test_attribute(line: &str) -> bool {
    line.starts_with("#[test]") || (line.starts_with("#[") && line.contains("::test"))
}

fn function_name(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let is_keyword = before.is_empty() || before.ends_with([' ', ']']);
    let end = after.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    is_keyword.then(|| &after[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(page: &str, code: &str) -> Vec<Finding> {
        check(&[
            Source { path: TABLE.to_owned(), text: page.to_owned() },
            Source { path: "node/src/a.rs".to_owned(), text: code.to_owned() },
        ])
    }

    const HEAD_LINES: &str = "| row | test | command |\n|---|---|---|\n";

    #[test]
    fn unit_tidy_rows_with_existing_tests_pass() {
        let page =
            format!("{HEAD_LINES}| A-01 | `a::unit_a` | x |\n| A-02 | `sim_b`, `ns_c` | x |\n");
        let code = "#[test]\nfn unit_a() {}\n#[test]\n#[ignore]\npub fn sim_b() {}\n\
                    #[tokio::test]\nasync fn ns_c() {}";
        assert_eq!(tree(&page, code), []);
    }

    #[test]
    fn unit_tidy_a_row_whose_test_is_gone_is_found() {
        let page = format!("{HEAD_LINES}| A-01 | `unit_gone` | x |\n");
        let findings = tree(&page, "fn unit_gone() {}\n// #[test]\n");
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].line, 3);
    }

    #[test]
    fn unit_tidy_a_row_without_a_test_is_found() {
        assert_eq!(tree(&format!("{HEAD_LINES}| A-01 | soon | x |\n"), "").len(), 1);
    }

    #[test]
    fn unit_tidy_other_tables_are_left_alone() {
        assert_eq!(tree("| layer | prefix |\n|---|---|\n| unit | `unit_` |\n", ""), []);
    }

    #[test]
    fn unit_tidy_a_missing_table_is_found() {
        assert_eq!(check(&[]).len(), 1);
    }
}
