//! Every row of the table in `docs/testing.md` names a test that exists, and every test that is named after
//! a row stands in the table.
//!
//! The table is the promise which behaviour is tested; a renamed or deleted test must not leave
//! its row behind, nor a row its tests. Other documents name tests as evidence: those exist as well.

use std::collections::BTreeSet;

use super::Finding;
use super::source::Source;

const TABLE: &str = "docs/testing.md";

/// The first two columns of the table's head.
const HEAD: [&str; 2] = ["row", "test"];

/// How the names of tests begin: a layer.
const LAYERS: [&str; 3] = ["unit_", "sim_", "ns_"];

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
    let rust = sources.iter().filter(|source| source.is_rust());
    let functions: Vec<_> = rust.map(|source| (source, test_functions(&source.code()))).collect();
    let tests: BTreeSet<&str> =
        functions.iter().flat_map(|(_, tests)| tests).map(|(_, name)| name.as_str()).collect();
    let mut findings = Vec::new();
    let mut listed = BTreeSet::new();
    for (line, cell) in test_cells(&page.text) {
        let names = test_names(&cell);
        if names.is_empty() {
            findings
                .push(page.finding(line, "no test named: put its function's name in backticks"));
        }
        for name in names.iter().filter(|name| !tests.contains(name.as_str())) {
            let message = format!("test `{name}` does not exist: mend the row or bring it back");
            findings.push(page.finding(line, message));
        }
        listed.extend(names);
    }
    for (source, tests) in &functions {
        for (line, name) in
            tests.iter().filter(|(_, name)| is_of_a_row(name) && !listed.contains(name))
        {
            let message = format!("test `{name}` is named after a row: list it in {TABLE}");
            findings.push(source.finding(*line, message));
        }
    }
    for document in sources.iter().filter(|source| source.path.ends_with(".md")) {
        for (index, text) in document.text.lines().enumerate() {
            if document.path == TABLE && text.starts_with('|') {
                continue;
            }
            let is_gone = |name: &&str| !tests.iter().any(|test| test.starts_with(name));
            for name in cited(text).filter(is_gone) {
                let message = format!("no test is named `{name}`: name the one that shows it now");
                findings.push(document.finding(index + 1, message));
            }
        }
    }
    findings
}

/// Names of tests in a line of a document, or their beginnings. Files may be named like tests.
fn cited(line: &str) -> impl Iterator<Item = &str> {
    let words = line.split(|c: char| !c.is_alphanumeric() && !['_', '.', '/'].contains(&c));
    let names = words.map(|word| word.trim_end_matches('.'));
    names.filter(|name| {
        LAYERS.iter().any(|layer| name.starts_with(layer)) && !name.contains(['.', '/'])
    })
}

/// Whether a test is named after a row: layer, two words of letters and digits, behaviour.
fn is_of_a_row(name: &str) -> bool {
    let Some(rest) = LAYERS.iter().find_map(|layer| name.strip_prefix(layer)) else { return false };
    let mut words = rest.split('_');
    let (kind, number) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    kind.chars().all(|c| c.is_ascii_lowercase())
        && number.len() == 2
        && number.chars().all(|c| c.is_ascii_digit())
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

/// Lines and names of the functions with a test attribute.
fn test_functions(code: &str) -> Vec<(usize, String)> {
    let lines: Vec<_> = code.lines().map(str::trim).collect();
    let mut names = Vec::new();
    for (index, _) in lines.iter().enumerate().filter(|(_, line)| is_test_attribute(line)) {
        let mut below = lines[index..].iter().take(ATTRIBUTE_LINES_MAX);
        let name = below.find_map(|line| function_name(line));
        names.extend(name.map(|name| (index + 1, name.to_owned())));
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
    fn unit_tidy_a_test_of_a_row_that_is_not_listed_is_found() {
        let code = "\n#[test]\nfn unit_ab_01_holds() {}\n#[test]\nfn unit_ab_is_no_row() {}\n";
        let findings = tree(HEAD_LINES, code);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!((findings[0].path.as_str(), findings[0].line), ("node/src/a.rs", 2));
        let row = format!("{HEAD_LINES}| AB-01 | `unit_ab_01_holds` | x |\n");
        assert_eq!(tree(&row, code), []);
    }

    #[test]
    fn unit_tidy_a_test_that_a_document_names_and_that_is_gone_is_found() {
        let code = "#[test]\nfn ns_lab_a() {}\n";
        let good =
            "Seen by `a::ns_lab_a`, in `tests/ns_gone.rs`; all: `cargo test ns_`, `x_ns_gone`.\n";
        assert_eq!(tree(good, code), []);
        let findings = tree("\nSeen by `ns_lab_gone`.\n| or | by sim_gone. |\n", code);
        assert_eq!(findings.iter().map(|finding| finding.line).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn unit_tidy_a_missing_table_is_found() {
        assert_eq!(check(&[]).len(), 1);
    }
}
