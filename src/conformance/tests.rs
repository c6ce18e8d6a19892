use std::collections::BTreeSet;

use super::{Capability, Report, Script, Verdict, run, run_one, scripts, simulated::SimBench};

#[test]
fn the_simulated_log_and_store_conform() {
    for seed in 0..20 {
        let reports = run(&mut |_| Ok(Box::new(SimBench::new(seed))));
        let unhappy: Vec<_> = reports.iter().filter(|report| report.verdict != Verdict::Passed).collect();
        let lines: Vec<_> = unhappy.iter().map(ToString::to_string).collect();
        assert!(lines.is_empty(), "seed {seed}:\n{}", lines.join("\n"));
    }
}

#[test]
fn names_of_scripts_are_distinct() {
    let names: BTreeSet<_> = scripts().iter().map(|script| script.name).collect();
    assert_eq!(names.len(), scripts().len());
}

#[test]
fn what_a_bench_lacks_is_reported_and_does_not_count_as_passed() {
    let script = Script { name: "s", needs: &[Capability::Log, Capability::SeveralMembers], run: |_| Ok(()) };
    let without =
        |capability| run_one(&script, &mut |_| Ok(Box::new(SimBench::new(1).without(capability)))).verdict;
    for capability in [Capability::Log, Capability::SeveralMembers] {
        assert_eq!(without(capability), Verdict::NotApplicable(capability));
    }
    assert_eq!(without(Capability::Store), Verdict::Passed);
}

#[test]
fn a_script_that_fails_says_why() {
    let script = Script { name: "s", needs: &[], run: |_| Err("step: expected 1, got 2".to_owned()) };
    let report = run_one(&script, &mut |_| Ok(Box::new(SimBench::new(1))));
    assert_eq!(report.to_string(), "s: FAILED: step: expected 1, got 2");
    let closed = run_one(&script, &mut |_| Err("no server".to_owned()));
    assert_eq!(
        closed,
        Report { script: "s", verdict: Verdict::Failed("the bench did not open: no server".to_owned()) }
    );
}
