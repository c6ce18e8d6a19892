//! The tests against real servers. One binary: the servers are started once.

mod restarts;
mod servers;

use std::{process::ExitCode, sync::Arc};

use libtest_mimic::{Arguments, Trial};

use self::servers::Servers;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let servers = match Servers::find_or_start() {
        Ok(servers) => Arc::new(servers),
        Err(unavailable) => {
            eprintln!("{unavailable}");
            return ExitCode::FAILURE;
        }
    };
    let trials: Vec<Trial> = restarts::trials(&servers);
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(servers);
    conclusion.exit_code()
}
