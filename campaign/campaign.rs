//! Plays a fixed set of seeds on all cores. A violation is told with the line that repeats it.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "it uses all cores; what it plays has neither clocks nor threads"
)]

use std::{
    panic::{self, AssertUnwindSafe},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use heartline::sim::world::{self, Summary};
use mimalloc::MiMalloc;

/// A world makes and drops small things most of its time.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const FIRST_SEED: u64 = 1;
const SEEDS: u64 = 2_100;
/// What they do at least: fewer steps or faults would mean that a deployment does less than it did.
const STEPS_MIN: u64 = 50_000_000;
const FAULTS_MIN: u64 = 100_000;

#[test]
fn no_seed_of_a_campaign_breaks_an_invariant() {
    let (sum, violations) = play();
    println!("{SEEDS} seeds, {} steps, {} faults", sum.steps, sum.faults);
    for (seed, what) in &violations {
        println!("VIOLATION {what}");
        println!(
            "repeat with: cargo run --release --no-default-features --example sim -- --seed {seed} --seeds 1"
        );
    }
    assert!(violations.is_empty(), "{} of {SEEDS} seeds break an invariant", violations.len());
    assert!(sum.steps >= STEPS_MIN, "{} steps, of {STEPS_MIN}", sum.steps);
    assert!(sum.faults >= FAULTS_MIN, "{} faults, of {FAULTS_MIN}", sum.faults);
    let Summary { transitions, messages, entries, rows_read, restores, lives, .. } = sum;
    assert!(transitions > 100_000 && restores > 5_000 && lives > 5_000, "vacuous: {sum:?}");
    assert!(messages > 100_000 && entries > 500_000 && rows_read > 1_000_000, "vacuous: {sum:?}");
}

/// What all seeds did, and what was seen to be false in which.
fn play() -> (Summary, Vec<(u64, String)>) {
    let (next, told) = (AtomicU64::new(FIRST_SEED), Mutex::new((Summary::default(), Vec::new())));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= FIRST_SEED + SEEDS {
                return;
            }
            let run = panic::catch_unwind(AssertUnwindSafe(|| world::run(seed)));
            let Ok(mut told) = told.lock() else { return };
            match run {
                Ok(Ok(summary)) => told.0.add(&summary),
                Ok(Err(violation)) => told.1.push((seed, violation.to_string())),
                Err(_) => told.1.push((seed, format!("seed {seed} panicked"))),
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    told.into_inner().unwrap_or_else(|error| error.into_inner())
}
