//! The scripts of the seams, against the embedded log and store and against Kafka and the CQL database. The
//! simulated pair runs them in the library's own tests.

mod embedded;
mod real;

use std::time::{Duration, Instant};

use anyhow::Result;
use heartline::conformance::{Bench, Capability, Report, Verdict, run_one, scripts};
use libtest_mimic::Failed;

use super::{
    case::{Case, Need},
    servers::Servers,
};

pub fn cases() -> Vec<Case> {
    vec![
        Case::plain("every_script_of_the_seams_holds_on_the_embedded_pair", embedded_pair),
        Case::real("every_script_of_the_seams_holds_on_kafka_and_cql", Need::Servers, kafka_and_cql),
    ]
}

fn embedded_pair() -> Result<(), Failed> {
    let suite = embedded::Suite::prepare().map_err(explain)?;
    // A folder belongs to one process, and a group there has one member.
    let lacking = [Capability::SeveralMembers, Capability::HoldTransaction];
    run("embedded", &lacking, |script| suite.bench(script))
}

fn kafka_and_cql(servers: &Servers) -> Result<(), Failed> {
    let _alone = servers.exclusive();
    let suite = real::Suite::prepare(servers).map_err(explain)?;
    run("Kafka and CQL", &[], |script| suite.bench(script))
}

fn explain(error: anyhow::Error) -> Failed {
    format!("{error:#}").into()
}

/// Runs every script, prints what became of each, and fails with all that failed. A script may be out of
/// place only for a capability that the pair is known to lack.
fn run<B: Bench + 'static>(
    pair: &str,
    lacking: &[Capability],
    open: impl Fn(usize) -> Result<B>,
) -> Result<(), Failed> {
    let mut lines = Vec::new();
    let mut failed = Vec::new();
    for (number, script) in scripts().iter().enumerate() {
        let begun = Instant::now();
        let report = run_one(script, &mut |_| match open(number) {
            Ok(bench) => Ok(Box::new(bench)),
            Err(error) => Err(format!("{error:#}")),
        });
        lines.push(line(&report, begun.elapsed()));
        match &report.verdict {
            Verdict::Passed => {}
            Verdict::NotApplicable(capability) if lacking.contains(capability) => {}
            Verdict::NotApplicable(_) | Verdict::Failed(_) => failed.push(report.to_string()),
        }
    }
    println!("conformance of {pair}:\n{}", lines.join("\n"));
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n").into()) }
}

fn line(report: &Report, took: Duration) -> String {
    let verdict = match &report.verdict {
        Verdict::Passed => "passed".to_owned(),
        Verdict::NotApplicable(capability) => format!("not applicable: needs {capability}"),
        Verdict::Failed(_) => "FAILED".to_owned(),
    };
    format!("  {:<72} {:>6} ms  {verdict}", report.script, took.as_millis())
}
