//! The families of figures: what one run measures together.

use std::process::ExitCode;

use anyhow::Result;

use super::suite::Suite;

pub mod catch_up;
pub mod memory;
pub mod requests;

pub struct Family {
    pub figures: &'static [&'static str],
    pub run: fn(&Suite) -> Result<()>,
}

pub const FAMILIES: &[Family] = &[
    Family {
        figures: &[
            "heartbeats_vs_poll",
            "batched_beats_vs_poll",
            "worker_us_per_heartbeat",
            "all_us_per_heartbeat",
        ],
        run: catch_up::run,
    },
    Family { figures: &["requests_per_heartbeat", "requests_per_session"], run: requests::run },
    Family { figures: &["bytes_per_session", "growth_sessions"], run: memory::run },
];

/// Runs a part of a figure that has this process for itself; prints its result.
pub fn run_child(name: &str, size: u64) -> ExitCode {
    match memory::child(name, size) {
        Ok(result) => {
            println!("{result}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
