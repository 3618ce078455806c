//! Consistency checks of the source tree, one per file of this folder.
//!
//! A check looks at one file, or at all files, and returns findings; each says how to mend it. The
//! files are those that git tracks or would add.

mod core_purity;
mod headers;
mod lengths;
mod names;
mod source;
mod test_table;
mod unsafe_code;

use std::fmt;

use anyhow::{Result, bail};

use source::{Source, read_sources};

/// Something to mend.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    /// Counted from 1.
    line: usize,
    message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// Checks of a single file.
const CHECKS: [fn(&Source) -> Vec<Finding>; 5] =
    [lengths::check, headers::check, core_purity::check, names::check, unsafe_code::check];

/// Prints all findings, and fails when there are any.
pub fn run() -> Result<()> {
    let sources = read_sources()?;
    let mut findings: Vec<Finding> =
        sources.iter().flat_map(|source| CHECKS.iter().flat_map(|check| check(source))).collect();
    findings.extend(test_table::check(&sources));
    for finding in &findings {
        eprintln!("{finding}");
    }
    if !findings.is_empty() {
        bail!("{} findings in {} files", findings.len(), sources.len());
    }
    println!("tidy: {} files", sources.len());
    Ok(())
}
