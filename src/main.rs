//! The binary: flags in, exit code out.

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;

/// What one thread makes another one frees: records, rows and texts go from a log's reader to the fold and on
/// to the producer and the store. The C library's allocator locks for that, this one does not.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    heartline::cli::Cli::parse().main()
}
