//! Runs seeds of the simulator until the time is over or an invariant breaks; what breaks is made small.
//!
//! `cargo run --release --no-default-features --example sim -- --minutes 10 --seed 1`

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "it times the runs, reads its flags and uses several cores"
)]

use std::{
    fs, panic,
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use heartline::{
    mutant::Mutant,
    sim::leases::{Leases, Stop},
    sim::world::{self, Summary, Violation, case::Case, plan::Plan, shrink::shrink},
};
use mimalloc::MiMalloc;

/// A world makes and drops small things most of its time.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Lines of a transcript that are shown before a violation.
const LAST_EVENTS: usize = 20;

struct Flags {
    minutes: f64,
    seed: u64,
    seeds: u64,
    threads: usize,
    transcript: Option<String>,
    /// A case to be played instead of seeds.
    case: Option<String>,
    /// Where a small case is written.
    out: Option<String>,
    shrink_seconds: f64,
    mutant: Option<Mutant>,
    /// So many live leases instead of seeds.
    leases: Option<u32>,
}

fn main() -> ExitCode {
    let Some(flags) = flags() else { return ExitCode::from(2) };
    let verdict = match (&flags.case, &flags.transcript, flags.leases) {
        (_, _, Some(leases)) => with(&flags, || play_leases(flags.seed, leases)),
        (Some(path), ..) => play_case(path, &flags),
        (None, Some(path), _) => trace(path, &flags),
        (None, None, None) => play_seeds(&flags),
    };
    verdict.unwrap_or_else(|error| {
        eprintln!("{error}");
        ExitCode::from(2)
    })
}

fn flags() -> Option<Flags> {
    let mut flags = Flags {
        minutes: 1.0,
        seed: 1,
        seeds: u64::MAX,
        threads: 1,
        transcript: None,
        case: None,
        out: None,
        shrink_seconds: 60.0,
        mutant: None,
        leases: None,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().unwrap_or_default();
        let known = match name.as_str() {
            "--minutes" => value.parse().map(|number| flags.minutes = number).is_ok(),
            "--seed" => value.parse().map(|number| flags.seed = number).is_ok(),
            "--seeds" => value.parse().map(|number| flags.seeds = number).is_ok(),
            "--threads" => value.parse().map(|number| flags.threads = number).is_ok(),
            "--transcript" => flags.transcript.replace(value.clone()).is_none(),
            "--case" => flags.case.replace(value.clone()).is_none(),
            "--out" => flags.out.replace(value.clone()).is_none(),
            "--shrink-seconds" => value.parse().map(|number| flags.shrink_seconds = number).is_ok(),
            "--leases" => value.parse().map(|number| flags.leases = Some(number)).is_ok(),
            "--mutant" => {
                flags.mutant = Mutant::ALL.iter().copied().find(|mutant| format!("{mutant:?}") == value);
                flags.mutant.is_some() && cfg!(feature = "mutants")
            }
            _ => false,
        };
        if !known {
            eprintln!(
                "usage: sim [--minutes N] [--seed FIRST] [--seeds HOW-MANY] [--threads N] \
                 [--transcript FILE] [--case FILE] [--shrink-seconds N] [--out FILE] [--leases N] \
                 [--mutant NAME (with --features mutants)]; cannot use '{name} {value}'"
            );
            return None;
        }
    }
    Some(flags)
}

/// Does `work` with the mistake that the flags ask for.
#[cfg(feature = "mutants")]
fn with<T>(flags: &Flags, work: impl FnOnce() -> T) -> T {
    heartline::mutant::with(flags.mutant, work)
}

#[cfg(not(feature = "mutants"))]
fn with<T>(_flags: &Flags, work: impl FnOnce() -> T) -> T {
    work()
}

fn play_seeds(flags: &Flags) -> Result<ExitCode, String> {
    let (start, limit) = (Instant::now(), Duration::from_secs_f64(flags.minutes * 60.0));
    let (next, sum) = (AtomicU64::new(0), Mutex::new((Summary::default(), 0_u64, None::<u64>)));
    let work = || {
        while start.elapsed() < limit {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let is_over = sum.lock().is_ok_and(|sum| sum.2.is_some());
            if number >= flags.seeds || is_over {
                return;
            }
            let seed = flags.seed + number;
            let run = || with(flags, || world::run(seed));
            let result = panic::catch_unwind(run);
            let Ok(mut sum) = sum.lock() else { return };
            match result {
                Ok(Ok(summary)) => {
                    sum.0.add(&summary);
                    sum.1 += 1;
                }
                // The least failing seed of those under way.
                _ => sum.2 = Some(sum.2.map_or(seed, |other| other.min(seed))),
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..flags.threads.max(1) {
            scope.spawn(work);
        }
    });
    let (sum, runs, failed) = sum.into_inner().map_err(|error| error.to_string())?;
    if let Some(seed) = failed {
        report_seed(seed, flags)?;
        return Ok(ExitCode::FAILURE);
    }
    if runs > 1 {
        print!("{}", sum.coverage);
        sum.coverage.empty().iter().for_each(|cell| println!("EMPTY {cell}"));
    }
    let contradictions = sum.coverage.contradictions();
    contradictions.iter().for_each(|cell| println!("CONTRADICTION {cell}"));
    let Summary { steps, faults, transitions, messages, entries, recovery_ms, .. } = sum;
    let rate = steps as f64 / start.elapsed().as_secs_f64();
    println!(
        "{runs} seeds, {steps} steps ({rate:.0} a second), {faults} faults, {transitions} transitions, \
         {messages} messages, {entries} entries, recovered within {recovery_ms} ms, 0 violations"
    );
    Ok(if contradictions.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Plays a seed that failed once more, says what failed and makes it small.
fn report_seed(seed: u64, flags: &Flags) -> Result<(), String> {
    panic::set_hook(Box::new(|_| {}));
    let (mut case, result) = with(flags, || Case::record(Plan::draw(seed)));
    case.mutant = flags.mutant.map(|mutant| format!("{mutant:?}"));
    let Err(violation) = result else {
        return Err(format!("seed {seed} fails, but not while it is recorded"));
    };
    println!("VIOLATION {violation}");
    println!(
        "repeat with: cargo run --release --no-default-features --example sim -- --seed {seed} --seeds 1"
    );
    let default = format!("seed-{seed}.case");
    report_case(case, flags, flags.out.as_ref().unwrap_or(&default))
}

/// Makes a failing case small, shows how it ends and writes it.
fn report_case(case: Case, flags: &Flags, out: &str) -> Result<(), String> {
    let (start, limit) = (Instant::now(), Duration::from_secs_f64(flags.shrink_seconds));
    let (events, mut runs) = (case.events.len(), 0_u64);
    let mut fails = |case: &Case| {
        runs += 1;
        with(flags, || case.run()).err().map(|violation| violation.at_ms)
    };
    let small = shrink(case, &mut fails, &mut || start.elapsed() < limit);
    let (lines, result) = with(flags, || small.trace());
    let lines: Vec<_> = lines.lines().collect();
    println!("the last events:");
    lines[lines.len().saturating_sub(LAST_EVENTS)..].iter().for_each(|line| println!("  {line}"));
    match result {
        Err(Violation { what, .. }) => println!("VIOLATION {what}"),
        Ok(_) => println!("the small case passes when it is traced: a run depends on more than its case"),
    }
    fs::write(out, small.to_string()).map_err(|error| format!("cannot write {out}: {error}"))?;
    println!(
        "{events} events shrank to {} in {runs} runs and {:.0} s: {out}",
        small.events.len(),
        start.elapsed().as_secs_f64()
    );
    Ok(())
}

fn play_case(path: &str, flags: &Flags) -> Result<ExitCode, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))?;
    let case: Case = text.parse().map_err(|error| format!("{path}: {error}"))?;
    panic::set_hook(Box::new(|_| {}));
    match with(flags, || case.run()) {
        Ok(_) => {
            println!("{path}: {} events, 0 violations", case.events.len());
            Ok(ExitCode::SUCCESS)
        }
        Err(violation) => {
            println!("VIOLATION {violation}");
            let small = format!("{path}.small");
            report_case(case, flags, flags.out.as_ref().unwrap_or(&small))?;
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Plays one seed and writes what happened, line by line.
fn trace(path: &str, flags: &Flags) -> Result<ExitCode, String> {
    let (lines, result) = with(flags, || world::trace(flags.seed));
    fs::write(path, lines).map_err(|error| format!("cannot write the transcript to {path}: {error}"))?;
    match result {
        Ok(_) => Ok(ExitCode::SUCCESS),
        Err(violation) => {
            println!("VIOLATION {violation}");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Lets everything stand still, one after the other, while a great many leases live.
fn play_leases(seed: u64, leases: u32) -> Result<ExitCode, String> {
    let start = Instant::now();
    let mut deployment = Leases::new(seed, leases)?;
    println!("{leases} sessions are online after {:.0} s", start.elapsed().as_secs_f64());
    let mut good = true;
    for stop in Stop::ALL {
        let outcome = deployment.stop(stop)?;
        good &= outcome.is_good(leases);
        println!("{outcome}; {:.0} s", start.elapsed().as_secs_f64());
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
