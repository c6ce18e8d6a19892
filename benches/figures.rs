//! The families of figures: what one run measures together.

use std::process::ExitCode;

use anyhow::Result;

use super::suite::Suite;

pub mod catch_up;
pub mod embedded;
pub mod growth;
pub mod latency;
pub mod masses;
pub mod memory;
pub mod requests;
pub mod restore;
pub mod rows;
pub mod sends;
pub mod sync_page;
pub mod takeover;
pub mod transactions;
pub mod warm_up;

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
            "vs_redis",
            "vs_cihangir_presence",
            "vs_kafka_streams",
            "rss_vs_kafka_streams",
        ],
        run: catch_up::run,
    },
    Family { figures: &["requests_per_heartbeat", "requests_per_session"], run: requests::run },
    Family { figures: &["growth_events"], run: growth::run },
    Family { figures: &["transition_p50_vs_echo", "transition_p99_vs_echo"], run: latency::run },
    Family { figures: &["mass_join", "mass_expiry"], run: masses::run },
    Family { figures: &["takeover_minus_session"], run: takeover::run },
    Family { figures: &["restore_vs_floor"], run: restore::run },
    Family { figures: &["transactions_on_vs_off"], run: transactions::run },
    Family {
        figures: &["rows_vs_single", "rows_vs_batches_2", "rows_vs_batches_20", "rows_vs_batches_500"],
        run: rows::run,
    },
    Family { figures: &["send_to_readable_p99_vs_echo", "fairness"], run: sends::run },
    Family { figures: &["inbox_warmup_vs_steady"], run: warm_up::run },
    Family { figures: &["sync_page_vs_select"], run: sync_page::run },
    Family { figures: &["embedded_vs_fjall"], run: embedded::run },
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
