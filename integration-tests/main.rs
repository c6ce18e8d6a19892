//! The tests beyond one module: against real servers, which are started once for all of them, and against the
//! product's binary.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests have clocks, threads and an environment; the core has none"
)]

mod bad_input;
mod bad_records;
mod case;
mod chaos;
mod chat;
mod commands;
mod conformance;
mod crowd;
mod deployment;
mod embedded;
mod events;
mod fanout;
mod halts;
mod idle;
mod leases;
mod memory;
mod paging;
mod proxy;
mod refusals;
mod restarts;
mod rows;
mod rights;
mod serve;
mod servers;
mod shutdown;
mod slice;
mod tidy;
mod timeline;
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
        bad_input::cases(),
        refusals::cases(),
        halts::cases(),
        idle::cases(),
        leases::cases(),
        commands::cases(),
        memory::cases(),
        events::cases(),
        fanout::cases(),
        paging::cases(),
        restarts::cases(),
        rights::cases(),
        serve::cases(),
        shutdown::cases(),
    ];
    case::run(&arguments, cases.into_iter().flatten().collect())
}
