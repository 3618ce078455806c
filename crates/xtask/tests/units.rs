//! The units in the documents are units that systemd takes: read out of the text, judged by `systemd-analyze verify`.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

/// Where the units stand.
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md");
/// Their first lines say where they go.
const PLACE: &str = "# /etc/systemd/system/";

#[test]
fn units_in_the_documents_are_taken_by_systemd() {
    let text = std::fs::read_to_string(DOCUMENT).unwrap();
    let blocks = text.split("```").skip(1).step_by(2);
    let units: Vec<_> = blocks.filter(|block| block.contains(PLACE)).collect();
    assert!(!units.is_empty(), "no unit in {DOCUMENT}");
    let folder = tempfile::tempdir().unwrap();
    for unit in units {
        let name = unit.split(PLACE).nth(1).unwrap().split([';', '\n']).next().unwrap();
        // The programs are not installed here, and every path must be of a program.
        let unit = unit.trim_start().replace("=/usr/local/bin/", "=/bin/true /usr/local/bin/");
        let path = folder.path().join(name);
        std::fs::write(&path, unit).unwrap();
        verify(&path);
    }
}

fn verify(unit: &Path) {
    let output = Command::new("systemd-analyze").arg("verify").arg(unit).output();
    let output = output.expect("systemd-analyze is installed by `make deps`");
    let told = String::from_utf8_lossy(&output.stderr);
    // What it says of other units of this machine is not ours.
    let name = unit.file_name().unwrap().to_str().unwrap();
    let ours: Vec<_> = told.lines().filter(|line| line.contains(name)).collect();
    assert!(output.status.success() && ours.is_empty(), "{told}");
}
