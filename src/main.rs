//! The binary: flags in, exit code out.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    heartline::cli::Cli::parse().main()
}
