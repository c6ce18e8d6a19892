//! The tests beyond one module: against real servers, which are started once for all of them, and against the product's
//! binary.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests have clocks, threads and an environment; the core has none"
)]

mod case;
mod chaos;
mod conformance;
mod crowd;
mod deployment;
mod embedded;
mod restarts;
mod serve;
mod servers;
mod slice;
mod tidy;
mod watch;

use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let cases = [
        tidy::cases(),
        slice::cases(),
        conformance::cases(),
        embedded::cases(),
        chaos::cases(),
        restarts::cases(),
        serve::cases(),
    ];
    case::run(&arguments, cases.into_iter().flatten().collect())
}
