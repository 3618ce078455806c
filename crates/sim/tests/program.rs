//! The program `warren-sim`: which delay matrix a run takes (checklist SM-02).

use std::path::Path;
use std::process::{Command, Output};

const VARIABLE: &str = "WARREN_MATRIX";

/// Runs the scenario, with this matrix by the environment and that one by the flag.
fn run(folder: &Path, environment: Option<&str>, flag: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_warren-sim"));
    command.current_dir(folder).args(["run", "three.yaml", "--csv", "--quiet"]);
    command.args(flag.map(|file| ["--matrix", file]).iter().flatten());
    command.env_remove(VARIABLE).envs(environment.map(|file| (VARIABLE, file)));
    command.output().expect("the program runs")
}

#[test]
fn unit_sm_02_a_matrix_is_named_by_flag_or_environment() {
    let folder = tempfile::tempdir().expect("a scratch directory");
    let folder = folder.path();
    let write = |name, text: &str| std::fs::write(folder.join(name), text).expect("writes");
    let matrix = |rtt_us: u32| format!("0 {rtt_us} {rtt_us}\n").repeat(3);
    write("three.yaml", "nodes: 3\nseeds: 1\n");
    write("near", &matrix(2_000));
    write("far", &matrix(400_000));
    let table = |environment, flag| {
        let output = run(folder, environment, flag);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    let (near, far) = (table(None, Some("near")), table(None, Some("far")));
    assert_ne!(near, far);
    assert_eq!(table(Some("near"), None), near);
    assert_eq!(table(Some("near"), Some("far")), far, "the flag counts");
    let missing = run(folder, Some("nothing-there"), None);
    assert!(!missing.status.success());
    let said = String::from_utf8_lossy(&missing.stderr);
    assert!(said.contains("nothing-there"), "{said}");
}
