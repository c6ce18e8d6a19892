//! The figures: what the worker costs, measured against the client libraries that it stands on, in the same
//! run. `cargo bench -- [NAME…] [--quick] [--results]`; README.md says how each is measured.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "measuring needs clocks, threads and an environment; the core has none"
)]

mod bare;
mod chat;
mod disk;
mod echo;
mod figures;
mod hops;
mod http;
mod inside;
mod load;
mod peers;
mod proc;
mod product;
mod redis;
mod results;
mod rows;
mod suite;
mod table;
mod warmth;

/// The real servers of the tests, and workers on them.
#[path = "../integration-tests"]
#[allow(dead_code, unused_imports, reason = "the tests use the rest")]
mod real {
    pub mod deployment;
    pub mod servers;
}

use std::process::ExitCode;

use mimalloc::MiMalloc;
use suite::{Arguments, Suite};

/// As the product has it, of which some figures run the workers and the folds in this process.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(problem) => {
            eprintln!(
                "{problem}\nusage: cargo bench -- [NAME…] [--rounds N] [--scale F] [--quick] [--results]"
            );
            return ExitCode::from(2);
        }
    };
    if let Some((child, size)) = &arguments.child {
        return figures::run_child(child, *size);
    }
    let suite = Suite::new(arguments);
    println!("{}", suite.head());
    let mut failed = false;
    for family in figures::FAMILIES {
        if !family.figures.iter().any(|name| suite.wants(name)) {
            continue;
        }
        eprintln!("measuring {} (load average {})", family.figures.join(", "), proc::load_average());
        if let Err(error) = (family.run)(&suite) {
            eprintln!("{} could not be measured: {error:#}", family.figures.join(", "));
            failed = true;
        }
    }
    println!("\n{}", suite.table());
    if let Err(error) = suite.write_results() {
        eprintln!("the results could not be written: {error:#}");
        failed = true;
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
