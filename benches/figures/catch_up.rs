//! The worker catching up on a backlog, against bare drains of the same records.

use anyhow::Result;
use rustix::process::Signal;

use crate::{
    bare::{self, Positions},
    load::{BATCH_BEATS, BEAT_EVERY_S, Backlog, Changes, Form, HEARTBEATS, Load, ago_ms},
    peers::{Cihangir, Streams, StreamsRun},
    product::{self, CaughtUp, Processes},
    real::deployment::Deployment,
    redis::Redis,
    suite::Suite,
    warmth::WarmUp,
};

const SESSIONS: u64 = 200_000;
/// Seconds of record time in a round's backlog: 3 M beats.
const SECONDS: u64 = 450;
/// Batched beats go by faster, so that more of them are written: 9 M.
const BATCHED_SECONDS: u64 = 1_350;
const REDIS_BEATS: u64 = 2_000_000;

/// A worker whose sessions have all joined, and its log.
pub struct World {
    pub deployment: Deployment,
    pub backlog: Backlog,
    pub worker: usize,
    pub processes: Processes,
}

impl World {
    pub fn new(suite: &Suite, name: &str, sessions: u64) -> Result<Self> {
        let mut deployment = product::patient_deployment(suite.servers()?, name)?;
        let load = Load::new(sessions, 0);
        let backlog = Backlog::new(&deployment.kafka, &deployment.group, load, ago_ms()?)?;
        let worker = product::start(&mut deployment)?;
        deployment.wait_ready(worker)?;
        let processes = Processes::of(suite.servers()?, deployment.workers[worker].pid())?;
        let mut world = Self { deployment, backlog, worker, processes };
        // Everybody joins, and beats once more.
        for _ in 0..2 {
            let (_, until) = world.write(BEAT_EVERY_S, Form::Single, Changes::OnePercent)?;
            world.catch_up(&until)?;
        }
        Ok(world)
    }

    /// Catches up on backlogs that do not count, until the servers are warm. Each round has one of every
    /// form, since they keep the servers busy with different things.
    pub fn warm_up(&mut self, suite: &Suite, forms: &[Form]) -> Result<()> {
        let mut warm_up = WarmUp::new(suite)?;
        while !warm_up.is_over()? {
            for form in forms {
                let (_, until) = self.write(suite.scaled(SECONDS, 30), *form, Changes::OnePercent)?;
                self.catch_up(&until)?;
            }
        }
        Ok(())
    }

    pub fn ends(&self) -> Result<Positions> {
        bare::ends(&self.deployment.kafka, HEARTBEATS, self.backlog.load.partitions)
    }

    /// Writes a backlog while the worker is paused; from where to where it goes.
    pub fn write(&mut self, seconds: u64, form: Form, changes: Changes) -> Result<(Positions, Positions)> {
        self.deployment.workers[self.worker].signal(Signal::STOP)?;
        let from = self.ends()?;
        product::with_record_time(&self.deployment, || self.backlog.write(seconds, form, changes))?;
        Ok((from, self.ends()?))
    }

    /// Lets the worker go on until it has caught up.
    pub fn catch_up(&mut self, until: &Positions) -> Result<CaughtUp> {
        product::catch_up(&self.deployment, self.worker, &self.processes, until)
    }
}

/// The rounds of the family.
#[derive(Default)]
struct Rounds {
    singles: Vec<(f64, f64)>,
    batches: Vec<(f64, f64)>,
    workers: Vec<(f64, f64)>,
    all: Vec<(f64, f64)>,
    redis: Vec<(f64, f64)>,
    cihangir: Vec<(f64, f64)>,
    streams: Vec<(f64, f64)>,
    streams_rss: Vec<(f64, f64)>,
    rss: Vec<f64>,
}

pub fn run(suite: &Suite) -> Result<()> {
    let mut world = World::new(suite, "catch_up", SESSIONS)?;
    let (seconds, batched_seconds) = (suite.scaled(SECONDS, 30), suite.scaled(BATCHED_SECONDS, 60));
    let batched = suite.wants("batched_beats_vs_poll");
    world.warm_up(suite, if batched { &[Form::Single, Form::Batched] } else { &[Form::Single] })?;
    let peers = Peers::prepare(suite, &mut world)?;
    let broker = world.processes.broker;
    let mut rounds = Rounds::default();
    for round in 0..suite.rounds() {
        let (from, until) = world.write(seconds, Form::Single, Changes::OnePercent)?;
        let kafka = world.deployment.kafka.clone();
        let bare = || {
            anyhow::Ok((
                bare::poll_drain(&kafka, HEARTBEATS, &from, &until, broker)?,
                bare::batch_drain(&kafka, HEARTBEATS, &from, &until, broker)?,
            ))
        };
        // Who comes first changes, so that neither always finds the caches warm.
        let (worker, (poll, batch)) = match round % 2 {
            0 => (world.catch_up(&until)?, bare()?),
            _ => {
                let bare = bare()?;
                (world.catch_up(&until)?, bare)
            }
        };
        let us = |seconds: f64, records: f64| seconds * 1e6 / records;
        rounds.singles.push((worker.records / worker.seconds, poll.per_second()));
        let bare_records = batch.records as f64;
        rounds.workers.push((us(worker.cpu.worker_s, worker.all_records), us(batch.own_cpu_s, bare_records)));
        let bare_all = batch.own_cpu_s + batch.broker_cpu_s;
        rounds.all.push((us(worker.cpu.all_s(), worker.all_records), us(bare_all, bare_records)));
        rounds.rss.push(worker.rss_bytes as f64 / 1e6);
        let cpu = worker.cpu;
        eprintln!(
            "  round {round}: worker {:.0}/s, cpu {:.2} + {:.2} + {:.2} s; poll {:.0}/s; batch {:.0}/s",
            worker.records / worker.seconds,
            cpu.worker_s,
            cpu.broker_s,
            cpu.cql_s,
            poll.per_second(),
            batch.per_second()
        );
        peers.measure(suite, &world, &until, &worker, &mut rounds)?;
        if batched {
            let (_, until) = world.write(batched_seconds, Form::Batched, Changes::OnePercent)?;
            let batched = world.catch_up(&until)?;
            peers.pass(&world, &until)?;
            let beats = batched.records * BATCH_BEATS as f64 / batched.seconds;
            rounds.batches.push((beats, poll.per_second()));
        }
    }
    drop(peers);
    product::stop(&mut world.deployment, world.worker)?;
    record(suite, rounds)
}

fn record(suite: &Suite, rounds: Rounds) -> Result<()> {
    suite.record("heartbeats_vs_poll", rounds.singles)?;
    suite.record("worker_us_per_heartbeat", rounds.workers)?;
    suite.record("all_us_per_heartbeat", rounds.all)?;
    for (name, measured) in [
        ("batched_beats_vs_poll", rounds.batches),
        ("vs_redis", rounds.redis),
        ("vs_cihangir_presence", rounds.cihangir),
        ("vs_kafka_streams", rounds.streams),
        ("rss_vs_kafka_streams", rounds.streams_rss),
    ] {
        // Those without rounds were not asked for, or have said why they were not run.
        if !measured.is_empty() {
            suite.record(name, measured)?;
        }
    }
    let rss = crate::table::median(rounds.rss);
    suite.note(format!("memory while catching up: {rss:.0} MB resident in the worker"));
    Ok(())
}

/// What a team would use instead, as far as it can be had here.
struct Peers {
    redis: bool,
    cihangir: Option<Cihangir>,
    streams: Option<Streams>,
}

impl Peers {
    fn prepare(suite: &Suite, world: &mut World) -> Result<Self> {
        let redis = suite.wants("vs_redis") && Redis::is_installed();
        if !redis {
            suite.not_run("vs_redis", "there is no redis-server on the path");
        }
        let cihangir = match suite.wants("vs_cihangir_presence").then(Cihangir::build) {
            Some(Err(error)) => {
                suite.not_run("vs_cihangir_presence", &format!("{error:#}"));
                None
            }
            built => built.transpose()?,
        };
        let names = ["vs_kafka_streams", "rss_vs_kafka_streams"];
        let (deployment, processes) = (&world.deployment, world.processes);
        let start = || {
            let name = format!("{}.streams", deployment.keyspace);
            let partitions = world.backlog.load.partitions;
            Streams::start(&deployment.kafka, &name, &deployment.folder, processes.broker, partitions)
        };
        let streams = match names.iter().any(|name| suite.wants(name)).then(start) {
            Some(Err(error)) => {
                names.iter().for_each(|name| suite.not_run(name, &format!("{error:#}")));
                None
            }
            started => started.transpose()?,
        };
        if let Some(streams) = &streams {
            // It warms up with as much as a round has.
            let (_, until) = world.write(suite.scaled(SECONDS, 30), Form::Single, Changes::OnePercent)?;
            world.catch_up(&until)?;
            streams.catch_up(&until)?;
        }
        Ok(Self { redis, cihangir, streams })
    }

    /// Lets the application read what is not for it, so that this is in nothing that is measured.
    fn pass(&self, world: &World, until: &Positions) -> Result<()> {
        let streams = self.streams.as_ref();
        streams.map_or(Ok(()), |streams| beside(world, streams, until).map(drop))
    }

    fn measure(
        &self,
        suite: &Suite,
        world: &World,
        until: &Positions,
        worker: &CaughtUp,
        rounds: &mut Rounds,
    ) -> Result<()> {
        let per_core_s = worker.all_records / (worker.cpu.worker_s + worker.cpu.broker_s);
        let sessions = world.backlog.load.sessions;
        if self.redis {
            let expired = Redis::start()?.expire(sessions, suite.scaled(REDIS_BEATS, 100_000))?;
            rounds.redis.push((per_core_s, expired));
        }
        if let Some(cihangir) = &self.cihangir {
            let beats = cihangir.beats(sessions, suite.scaled(REDIS_BEATS, 100_000))?;
            eprintln!("  cihangir/presence: {beats:.0} beats per core-second");
            rounds.cihangir.push((per_core_s, beats));
        }
        if let Some(streams) = &self.streams {
            let run = beside(world, streams, until)?;
            eprintln!(
                "  Kafka Streams: {:.0} beats per core-second, {:.0}/s, {:.0} MB",
                run.beats_per_core_s,
                run.per_second,
                run.rss_bytes as f64 / 1e6
            );
            rounds.streams.push((per_core_s, run.beats_per_core_s));
            rounds.streams_rss.push((worker.rss_bytes as f64, run.rss_bytes as f64));
        }
        Ok(())
    }
}

/// Lets the application catch up while the worker stands still.
fn beside(world: &World, streams: &Streams, until: &Positions) -> Result<StreamsRun> {
    let worker = &world.deployment.workers[world.worker];
    worker.signal(Signal::STOP)?;
    let run = streams.catch_up(until);
    worker.signal(Signal::CONT)?;
    run
}
