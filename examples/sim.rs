//! Runs seeds of the simulator until the time is over or an invariant breaks.
//!
//! `cargo run --release --no-default-features --example sim -- --minutes 10 --seed 1`

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "it times the runs and reads its flags"
)]

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use heartline::sim::world::{self, Summary};

fn main() -> ExitCode {
    let (mut minutes, mut seed, mut seeds, mut transcript) = (1.0_f64, 1_u64, u64::MAX, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().unwrap_or_default();
        let known = match name.as_str() {
            "--minutes" => value.parse().map(|number| minutes = number).is_ok(),
            "--seed" => value.parse().map(|number| seed = number).is_ok(),
            "--seeds" => value.parse().map(|number| seeds = number).is_ok(),
            "--transcript" => transcript.replace(value.clone()).is_none(),
            _ => false,
        };
        if !known {
            eprintln!(
                "usage: sim [--minutes N] [--seed FIRST] [--seeds HOW-MANY] [--transcript FILE]; \
                 cannot use '{name} {value}'"
            );
            return ExitCode::from(2);
        }
    }
    let start = Instant::now();
    let limit = Duration::from_secs_f64(minutes * 60.0);
    let (mut sum, mut runs) = (Summary::default(), 0);
    while start.elapsed() < limit && runs < seeds {
        let (lines, result) = match &transcript {
            Some(_) => world::trace(seed),
            None => (String::new(), world::run(seed)),
        };
        if let Some(path) = &transcript
            && let Err(error) = std::fs::write(path, lines)
        {
            eprintln!("cannot write the transcript to {path}: {error}");
            return ExitCode::from(2);
        }
        match result {
            Ok(summary) => sum.add(&summary),
            Err(violation) => {
                println!("VIOLATION {violation}");
                println!(
                    "repeat with: cargo run --release --no-default-features --example sim -- --seed {seed} --seeds 1"
                );
                return ExitCode::FAILURE;
            }
        }
        seed += 1;
        runs += 1;
    }
    let Summary { steps, faults, transitions, messages, entries, .. } = sum;
    let rate = steps as f64 / start.elapsed().as_secs_f64();
    println!(
        "{runs} seeds, {steps} steps ({rate:.0} a second), {faults} faults, {transitions} transitions, \
         {messages} messages, {entries} entries, 0 violations"
    );
    ExitCode::SUCCESS
}
