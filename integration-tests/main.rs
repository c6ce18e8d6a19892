//! The tests beyond one module: against real servers, which are started once for all of them, and against the product's
//! binary.

mod bad_input;
mod bad_records;
mod case;
mod commands;
mod deployment;
mod events;
mod halts;
mod refusals;
mod restarts;
mod serve;
mod servers;
mod slice;

use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let cases = [
        slice::cases(),
        bad_input::cases(),
        refusals::cases(),
        halts::cases(),
        commands::cases(),
        events::cases(),
        restarts::cases(),
        serve::cases(),
    ];
    case::run(&arguments, cases.into_iter().flatten().collect())
}
