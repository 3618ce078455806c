//! Scenario files: defaults, refusals, and a run of each kind.

use super::*;

#[test]
fn unit_sm_a_scenario_needs_no_more_than_its_size() {
    let scenario = Scenario::parse("nodes: 100\n").expect("complete");
    assert_eq!((scenario.seeds, scenario.arrival_ms, scenario.within_s), (1, 100, 600));
    assert_eq!((scenario.policy, scenario.delays), (Policy::Harmonic, Delays::KingLike));
    assert!(scenario.steps.is_empty());
}

#[test]
fn unit_sm_every_step_is_understood() {
    let text = "
nodes: 60
seeds: 2
policy: fingers
delays: { uniform: { rtt_ms: 40 } }
loss: 0.01
addresses: v6
steps:
  - idle: { seconds: 60 }
  - kill: { share: 0.1 }
  - restart: {}
  - leave: { share: 0.2, within_s: 30 }
  - churn: { per_minute: 6, seconds: 600 }
  - partition: { seconds: 30 }
";
    let scenario = Scenario::parse(text).expect("well-formed");
    let names: Vec<_> = scenario.steps.iter().map(Step::name).collect();
    assert_eq!(names, ["idle", "kill", "restart", "leave", "churn", "partition"]);
    assert_eq!(scenario.steps[3], Step::Leave { share: 0.2, within_s: 30 });
    assert_eq!(scenario.steps[5], Step::Partition { parts: 2, seconds: 30, within_s: 600 });
}

#[test]
fn unit_sm_what_a_scenario_does_not_know_is_refused_in_one_line() {
    for (text, word) in [
        ("nodes: 10\nnode: 11\n", "node"),
        ("nodes: 10\nsteps:\n  - kill: { shares: 0.1 }\n", "shares"),
        ("nodes: 10\nsteps:\n  - explode: {}\n", "explode"),
        ("nodes: 0\n", "`nodes` must be 1 to 20000, not 0"),
        ("nodes: 10\nloss: 2\n", "`loss` must be 0 to 1, not 2"),
        ("nodes: 10\nsteps:\n  - kill: { share: -1 }\n", "`share` must be 0 to 1, not -1"),
        ("seeds: 1\n", "nodes"),
    ] {
        let error = Scenario::parse(text).expect_err(text).to_string();
        assert!(error.contains(word), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn unit_sm_the_scenarios_of_the_repository_are_well_formed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut found = 0;
    for entry in std::fs::read_dir(folder).expect("the folder exists") {
        let path = entry.expect("readable").path();
        Scenario::read(&path).unwrap_or_else(|error| panic!("{error}"));
        found += 1;
    }
    assert!(found >= 4);
}
