//! The fold of presence alone, in a process of its own for every size: what a session takes in memory, and
//! what a beat costs as they become more.

use std::{env, process::Command, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use heartline::{
    effect::Output,
    limits::STATE_BYTES_MAX,
    log::{Chunk, ChunkSize},
    processor::{Fold as _, Retention, Setup, Step, presence::Presence},
    record::beacon::{Parameters, encode_beacon},
    task::TOUCHED,
    topology::{Topic, Topology},
};

use rustix::time::{ClockId, clock_gettime};

use crate::{
    load::{BEAT_EVERY_S, Changes, Load},
    proc,
    suite::Suite,
};

const GROUP: &str = "heartline.presence";
const START_MS: i64 = 1_760_000_000_000;
const STEP: u64 = 250_000;
const SIZES: u64 = 8;
const GROWTH: [u64; 2] = [125_000, 2_000_000];
/// Beats of every session that are measured, after one that is not.
const ROUNDS: u64 = 2;

pub fn run(suite: &Suite) -> Result<()> {
    if suite.wants("bytes_per_session") {
        let step = suite.scaled(STEP, 20_000);
        let sizes: Vec<u64> = (1..=SIZES).map(|factor| factor * step).collect();
        let bytes = sizes.iter().map(|size| in_child("memory", *size)).collect::<Result<Vec<f64>>>()?;
        let points: Vec<(f64, f64)> = sizes.iter().map(|size| *size as f64).zip(bytes).collect();
        suite.record("bytes_per_session", vec![(slope(&points), 1.0)])?;
    }
    if suite.wants("growth_sessions") {
        let [fewest, most] = GROWTH.map(|sessions| suite.scaled(sessions, 10_000));
        let rounds = (0..suite.rounds())
            .map(|_| Ok((in_child("growth", most)?, in_child("growth", fewest)?)))
            .collect::<Result<_>>()?;
        suite.record("growth_sessions", rounds)?;
    }
    Ok(())
}

fn in_child(name: &str, size: u64) -> Result<f64> {
    let output = Command::new(env::current_exe()?).args(["--child", name, &size.to_string()]).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{name} {size}: {}", String::from_utf8_lossy(&output.stderr));
    said.trim().parse().with_context(|| format!("{name} {size} said '{said}'"))
}

/// The slope of the line that fits best, by least squares.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let above: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let below: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    above / below
}

/// Bytes that `size` sessions take, or nanoseconds that one of their beats takes.
pub fn child(name: &str, size: u64) -> Result<f64> {
    let load = Load::new(size, 0);
    let mut folds = Folds::new(load.partitions)?;
    let before = proc::rss_bytes(std::process::id())?;
    folds.rounds(&load, 0..1)?;
    match name {
        "memory" => {
            folds.rounds(&load, 1..1 + ROUNDS)?;
            Ok(proc::rss_bytes(std::process::id())?.saturating_sub(before) as f64)
        }
        "growth" => {
            folds.rounds(&load, 1..2)?;
            folds.spent = Duration::ZERO;
            folds.rounds(&load, 2..2 + ROUNDS)?;
            Ok(folds.spent.as_nanos() as f64 / (ROUNDS * size) as f64)
        }
        _ => bail!("there is no part '{name}'"),
    }
}

/// The folds of all partitions, one after the other in one thread; their rows are in the store at once.
struct Folds {
    folds: Vec<Presence>,
    offsets: Vec<i64>,
    /// The largest chunk of the last second.
    like: ChunkSize,
    batch: u64,
    spent: Duration,
}

impl Folds {
    fn new(partitions: u32) -> Result<Self> {
        let topology = Arc::new(Topology::shipped());
        let fold = |partition| {
            let (retention, state_bytes_max) = (Retention::default(), STATE_BYTES_MAX);
            let topology = Arc::clone(&topology);
            let setup = Setup {
                topology,
                group: GROUP.into(),
                partition,
                generation: 1,
                retention,
                state_bytes_max,
                large_group: usize::MAX,
            };
            Ok(Presence::new(setup, 0, None)?)
        };
        let folds = (0..partitions).map(fold).collect::<Result<Vec<_>>>()?;
        ensure!(
            Topology::shipped().partitions(Topic::Heartbeats) == partitions,
            "a fold for every partition"
        );
        Ok(Self {
            offsets: vec![0; folds.len()],
            folds,
            like: ChunkSize::default(),
            batch: 0,
            spent: Duration::ZERO,
        })
    }

    fn rounds(&mut self, load: &Load, rounds: std::ops::Range<u64>) -> Result<()> {
        for second in rounds.start * BEAT_EVERY_S..rounds.end * BEAT_EVERY_S {
            let time_ms = START_MS + second as i64 * 1_000;
            // As the reader makes them: with room for as much as the last ones held.
            let mut chunks: Vec<Chunk> =
                (0..load.partitions).map(|partition| Chunk::sized(partition, 1, self.like)).collect();
            for index in load.due(second) {
                let value = load.beat(index, second / BEAT_EVERY_S, Changes::OnePercent);
                let partition = load.partition(index) as usize;
                self.push(&mut chunks, partition, time_ms, Some(&load.user(index)), value.as_bytes());
            }
            let beacon = encode_beacon(GROUP, "bench", second as i64 * 1_000, &Parameters::VERSION_1);
            for partition in 0..chunks.len() {
                self.push(&mut chunks, partition, time_ms, None, &beacon);
            }
            let sizes = || chunks.iter().map(Chunk::size);
            self.like.records = sizes().map(|size| size.records).max().unwrap_or(0);
            self.like.bytes = sizes().map(|size| size.bytes).max().unwrap_or(0);
            chunks.iter().try_for_each(|chunk| self.fold(chunk))?;
        }
        Ok(())
    }

    fn push(
        &mut self,
        chunks: &mut [Chunk],
        partition: usize,
        time_ms: i64,
        key: Option<&str>,
        value: &[u8],
    ) {
        let offset = &mut self.offsets[partition];
        chunks[partition].push(*offset, time_ms, key.map(str::as_bytes), Some(value), Vec::new());
        *offset += 1;
    }

    fn fold(&mut self, chunk: &Chunk) -> Result<()> {
        let fold = &mut self.folds[chunk.partition as usize];
        self.batch += 1;
        fold.begin_batch(self.batch);
        let mut output = Output::new(0);
        let begun = thread_cpu();
        let mut at = 0;
        let mut touched = 0;
        while at < chunk.len() {
            if at == touched {
                touched = chunk.len().min(at + TOUCHED);
                fold.touch((at..touched).filter_map(|at| chunk.key(at)));
            }
            let record = chunk.get(at);
            output.begin(record.offset, true);
            match fold.fold(&record, &mut output) {
                Step::Applied => at += 1,
                Step::Wanting => {
                    for query in fold.wanted(&mut (at..chunk.len()).map(|at| chunk.get(at))) {
                        fold.load(&query, Vec::new())?;
                    }
                }
                step => bail!("a beat became {step:?}"),
            }
        }
        self.spent += thread_cpu().saturating_sub(begun);
        drop(output);
        fold.acknowledged(self.batch);
        Ok(())
    }
}

/// Core time of this thread, which others on the machine do not lengthen.
fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}
