//! The worker catching up on a backlog, against bare drains of the same records.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use rustix::process::Signal;

use crate::{
    bare::{self, Positions},
    load::{BATCH_BEATS, BEAT_EVERY_S, Backlog, Changes, Form, HEARTBEATS, Load},
    product::{self, CaughtUp, Processes},
    real::deployment::Deployment,
    redis::Redis,
    suite::Suite,
};

const SESSIONS: u64 = 200_000;
/// Seconds of record time in a round's backlog: 3 M beats.
const SECONDS: u64 = 450;
/// Batched beats go by faster, so that more of them are written: 9 M.
const BATCHED_SECONDS: u64 = 1_350;
const REDIS_BEATS: u64 = 2_000_000;
/// How long ago the record clock begins.
const AGO_MS: i64 = 12 * 3_600_000;

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
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as i64;
        let load = Load::new(sessions, 0);
        let backlog = Backlog::new(&deployment.kafka, &deployment.group, load, now_ms - AGO_MS)?;
        let worker = product::start(&mut deployment)?;
        deployment.wait_ready(worker)?;
        let processes = Processes::of(suite.servers()?, deployment.workers[worker].pid())?;
        let mut world = Self { deployment, backlog, worker, processes };
        // Everybody joins; and once more, so that both servers are warm.
        for _ in 0..2 {
            let (_, until) = world.write(BEAT_EVERY_S, Form::Single, Changes::OnePercent)?;
            world.catch_up(&until)?;
        }
        Ok(world)
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

pub fn run(suite: &Suite) -> Result<()> {
    let mut world = World::new(suite, "catch_up", SESSIONS)?;
    let broker = world.processes.broker;
    let (seconds, batched_seconds) = (suite.scaled(SECONDS, 30), suite.scaled(BATCHED_SECONDS, 60));
    let (mut singles, mut batches, mut workers, mut all) = (vec![], vec![], vec![], vec![]);
    let (mut rss, mut redis) = (Vec::new(), Vec::new());
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
        singles.push((worker.records / worker.seconds, poll.per_second()));
        let bare_records = batch.records as f64;
        workers.push((us(worker.cpu.worker_s, worker.records), us(batch.own_cpu_s, bare_records)));
        let bare_all = batch.own_cpu_s + batch.broker_cpu_s;
        all.push((us(worker.cpu.all_s(), worker.records), us(bare_all, bare_records)));
        rss.push(worker.rss_bytes as f64 / 1e6);
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
        if suite.wants("vs_redis") && Redis::is_installed() {
            let expired =
                Redis::start()?.expire(world.backlog.load.sessions, suite.scaled(REDIS_BEATS, 100_000))?;
            redis.push((worker.records / (cpu.worker_s + cpu.broker_s), expired));
        }
        if suite.wants("batched_beats_vs_poll") {
            let (_, until) = world.write(batched_seconds, Form::Batched, Changes::OnePercent)?;
            let batched = world.catch_up(&until)?;
            let beats = batched.records * BATCH_BEATS as f64 / batched.seconds;
            batches.push((beats, poll.per_second()));
        }
    }
    suite.record("heartbeats_vs_poll", singles)?;
    if !batches.is_empty() {
        suite.record("batched_beats_vs_poll", batches)?;
    }
    if redis.is_empty() {
        suite.note("vs_redis: not measured, there is no redis-server on the path".to_owned());
    } else {
        suite.record("vs_redis", redis)?;
    }
    suite.record("worker_us_per_heartbeat", workers)?;
    suite.record("all_us_per_heartbeat", all)?;
    product::stop(&mut world.deployment, world.worker)?;
    suite.note(format!("worker while catching up: {:.0} MB in memory", crate::table::median(rss)));
    Ok(())
}
