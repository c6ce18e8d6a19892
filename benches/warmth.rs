//! Whether the servers are warm. Both run on Java, which compiles what is busy: for some minutes of work that
//! takes up to half of a server's core time, whoever asks, and rounds count only when it is over.

use std::fs;

use anyhow::Result;

use super::{proc, product::Processes, suite::Suite};

/// The compilers are done when they had less than this share of what the servers took in so many rounds in a
/// row, or after the most rounds.
const DONE_BELOW: f64 = 0.1;
const DONE_AFTER: usize = 5;
const WARM_UP_MAX: u64 = 40;

/// Core seconds of both servers so far, and how much of them their compilers took.
#[derive(Clone, Copy)]
struct Taken {
    all_s: f64,
    compilers_s: f64,
}

/// Rounds that do not count, as many as it needs.
pub struct WarmUp {
    servers: [u32; 2],
    most: usize,
    before: Option<Taken>,
    rounds: usize,
    done: usize,
}

impl WarmUp {
    pub fn new(suite: &Suite) -> Result<Self> {
        let (broker, cql) = Processes::servers(suite.servers()?)?;
        let most = suite.scaled(WARM_UP_MAX, 1) as usize;
        Ok(Self { servers: [broker, cql], most, before: None, rounds: 0, done: 0 })
    }

    /// Whether it is over: to be asked before each round of it.
    pub fn is_over(&mut self) -> Result<bool> {
        let now = self.taken()?;
        let Some(before) = self.before.replace(now) else { return Ok(false) };
        self.rounds += 1;
        let share =
            (now.compilers_s - before.compilers_s) / (now.all_s - before.all_s).max(f64::MIN_POSITIVE);
        self.done = if share < DONE_BELOW { self.done + 1 } else { 0 };
        let over = self.done == DONE_AFTER || self.rounds == self.most;
        if over {
            eprintln!(
                "  {} rounds of warm-up ({} at most): in the last one the servers' compilers took {:.0} % of what \
                 the servers did",
                self.rounds,
                self.most,
                share * 100.0
            );
        }
        Ok(over)
    }

    fn taken(&self) -> Result<Taken> {
        let mut taken = Taken { all_s: 0.0, compilers_s: 0.0 };
        for server in self.servers {
            taken.all_s += proc::cpu_s(server)?;
            for thread in fs::read_dir(format!("/proc/{server}/task"))? {
                let thread = thread?.path();
                // A thread may have ended since it was listed.
                let name = fs::read_to_string(thread.join("comm")).unwrap_or_default();
                if name.contains("CompilerThre") {
                    taken.compilers_s += proc::core_time_s(&thread.join("stat"))?;
                }
            }
        }
        Ok(taken)
    }
}

/// A round of a figure.
pub struct Round {
    /// From 0 on, those of the warm-up among them.
    pub number: usize,
    /// Which one it is of those that count, from 1 on.
    pub counted: Option<usize>,
}

/// The rounds of a figure: first those of the warm-up, then those that count.
pub struct Rounds {
    warm_up: WarmUp,
    number: usize,
    counted: Option<usize>,
    left: usize,
}

impl Rounds {
    pub fn new(suite: &Suite) -> Result<Self> {
        Ok(Self { warm_up: WarmUp::new(suite)?, number: 0, counted: None, left: suite.rounds() })
    }
}

impl Iterator for Rounds {
    type Item = Result<Round>;

    fn next(&mut self) -> Option<Self::Item> {
        self.counted = match self.counted {
            Some(counted) => Some(counted + 1),
            None => match self.warm_up.is_over() {
                Ok(over) => over.then_some(1),
                Err(error) => return Some(Err(error)),
            },
        };
        if self.counted.is_some() {
            self.left = self.left.checked_sub(1)?;
        }
        let number = self.number;
        self.number += 1;
        Some(Ok(Round { number, counted: self.counted }))
    }
}
