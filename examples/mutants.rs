//! Runs the simulator with each of the mistakes of `heartline::mutant`, seed after seed, until a check sees
//! it.
//!
//! `cargo run --release --no-default-features --features mutants --example mutants`

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "it times the runs, reads its flags and uses all cores"
)]

use std::{
    panic::{self, AssertUnwindSafe},
    process::ExitCode,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use heartline::{
    mutant::{self, Mutant},
    sim::world,
};

/// Seeds that must pass when no mistake is made.
const SOUND_SEEDS: u64 = 40;
/// Columns of what killed it.
const WHAT_COLUMNS: usize = 110;

struct Flags {
    seconds: f64,
    seed: u64,
    only: Option<String>,
}

/// What became of a mutant.
struct Fate {
    mutant: Mutant,
    /// The first line of what killed it, and the seed.
    killed: Option<(String, u64)>,
    seeds: u64,
    took: Duration,
}

fn main() -> ExitCode {
    let Some(flags) = flags() else { return ExitCode::from(2) };
    // A panic is a way to be seen; its message is in the table.
    panic::set_hook(Box::new(|_| {}));
    let start = Instant::now();
    if flags.only.is_none()
        && let Some((what, seed)) = (1..=SOUND_SEEDS).find_map(|seed| Some((seen(None, seed)?, seed)))
    {
        println!("without any mistake, seed {seed}: {what}");
        return ExitCode::FAILURE;
    }
    let name = |mutant: &Mutant| format!("{mutant:?}");
    let wanted = |mutant: &Mutant| flags.only.as_ref().is_none_or(|only| name(mutant).contains(only));
    let mutants: Vec<_> = Mutant::ALL.iter().copied().filter(wanted).collect();
    let fates = run_all(&mutants, &flags);
    let survivors: Vec<_> = fates.iter().filter(|fate| fate.killed.is_none()).collect();
    let mut times: Vec<_> = fates.iter().map(|fate| fate.took).collect();
    times.sort_unstable();
    println!(
        "{} mutants, {} killed, {} survived; median {:.2} s, worst {:.1} s, all {:.0} s",
        fates.len(),
        fates.len() - survivors.len(),
        survivors.len(),
        times.get(times.len() / 2).copied().unwrap_or_default().as_secs_f64(),
        times.last().copied().unwrap_or_default().as_secs_f64(),
        start.elapsed().as_secs_f64()
    );
    for Fate { mutant, .. } in &survivors {
        println!("SURVIVED {mutant:?}");
    }
    if survivors.is_empty() && !fates.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn flags() -> Option<Flags> {
    let mut flags = Flags { seconds: 60.0, seed: 1, only: None };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().unwrap_or_default();
        let known = match name.as_str() {
            "--seconds" => value.parse().map(|number| flags.seconds = number).is_ok(),
            "--seed" => value.parse().map(|number| flags.seed = number).is_ok(),
            "--only" => flags.only.replace(value.clone()).is_none(),
            _ => false,
        };
        if !known {
            eprintln!(
                "usage: mutants [--seconds FOR-EACH] [--seed FIRST] [--only PART-OF-A-NAME]; \
                 cannot use '{name} {value}'"
            );
            return None;
        }
    }
    Some(flags)
}

/// All cores take the mutants one after the other; each line is printed when its mutant is done.
fn run_all(mutants: &[Mutant], flags: &Flags) -> Vec<Fate> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut fates = Vec::new();
        while let Some(mutant) = mutants.get(next.fetch_add(1, Ordering::Relaxed)) {
            let fate = run_one(*mutant, flags);
            print_fate(&fate);
            fates.push(fate);
        }
        fates
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
    })
}

fn run_one(mutant: Mutant, flags: &Flags) -> Fate {
    let (start, mut seed) = (Instant::now(), flags.seed);
    let killed = loop {
        if let Some(what) = seen(Some(mutant), seed) {
            break Some((what, seed));
        }
        seed += 1;
        if start.elapsed().as_secs_f64() >= flags.seconds {
            break None;
        }
    };
    Fate { mutant, killed, seeds: seed - flags.seed, took: start.elapsed() }
}

fn print_fate(Fate { mutant, killed, seeds, took }: &Fate) {
    let (name, seconds) = (format!("{mutant:?}"), took.as_secs_f64());
    match killed {
        Some((what, seed)) => println!("{name:32} {seconds:6.2} s  seed {seed:4}  {what}"),
        None => println!("{name:32} {seconds:6.2} s  SURVIVED {seeds} seeds"),
    }
}

/// What the checks see in one seed while the mistake is made.
fn seen(mutant: Option<Mutant>, seed: u64) -> Option<String> {
    let run = || mutant::with(mutant, || world::run(seed));
    let what = match panic::catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(_)) => return None,
        Ok(Err(violation)) => violation.what,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            format!("panic: {}", text.unwrap_or("of another kind"))
        }
    };
    Some(what.lines().next().unwrap_or_default().chars().take(WHAT_COLUMNS).collect())
}
