//! The product's side: the worker as the binary that is shipped, in a process of its own, watched from
//! outside.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use heartline::topology::Topology;
use rdkafka::{
    ClientConfig, TopicPartitionList,
    admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer as _},
};
use rustix::process::Signal;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::{
    bare::Positions,
    load::HEARTBEATS,
    proc,
    real::{
        deployment::{Deployment, END_LIMIT, SESSION_TIMEOUT, get, until},
        servers::Servers,
    },
};

const PRESENCE_ONLY: [&str; 2] = ["--processors", "presence"];
const TIMELINE: [&str; 2] = ["--processors", "conversation,inbox"];
/// What is shipped fits a million users. A bucket is a database partition: spread over too many of them,
/// entries become a request each.
const SHIPPED_BUCKETS: &str = "[processors.inbox]\nbuckets = 512";
const BUCKETS: &str = "[processors.inbox]\nbuckets = 16";
const CATCH_UP_LIMIT: Duration = Duration::from_secs(600);
const ASK_LIMIT: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Starts a worker of conversations and inboxes, with as many buckets as 20,000 users need.
pub fn start_timeline(deployment: &mut Deployment) -> Result<(usize, Topology)> {
    let text = include_str!("../topology.toml").replace(SHIPPED_BUCKETS, BUCKETS);
    ensure!(text.contains(BUCKETS), "the buckets of inboxes in {text}");
    let path = deployment.folder.join("topology.toml");
    fs::write(&path, &text)?;
    let path = path.display().to_string();
    let worker = deployment.start_worker_with(&[TIMELINE.as_slice(), &["--topology", &path]].concat())?;
    deployment.wait_ready(worker)?;
    Ok((worker, Topology::parse(&text)?))
}

/// The three processes whose core time counts.
#[derive(Debug, Clone, Copy)]
pub struct Processes {
    pub worker: u32,
    pub broker: u32,
    pub cql: u32,
}

/// Core seconds of the three.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cpu {
    pub worker_s: f64,
    pub broker_s: f64,
    pub cql_s: f64,
}

impl Processes {
    pub fn of(servers: &Servers, worker: u32) -> Result<Self> {
        let (broker, cql) = Self::servers(servers)?;
        Ok(Self { worker, broker, cql })
    }

    /// The broker's and the CQL server's.
    pub fn servers(servers: &Servers) -> Result<(u32, u32)> {
        let no_pid = "figures need servers that are processes of this machine";
        Ok((servers.kafka.pid().context(no_pid)?, servers.cql.pid().context(no_pid)?))
    }

    pub fn cpu(&self) -> Result<Cpu> {
        let [worker_s, broker_s, cql_s] = [self.worker, self.broker, self.cql].map(proc::cpu_s);
        Ok(Cpu { worker_s: worker_s?, broker_s: broker_s?, cql_s: cql_s? })
    }
}

impl Cpu {
    pub fn since(&self, before: &Self) -> Self {
        Self {
            worker_s: self.worker_s - before.worker_s,
            broker_s: self.broker_s - before.broker_s,
            cql_s: self.cql_s - before.cql_s,
        }
    }

    pub fn all_s(&self) -> f64 {
        self.worker_s + self.broker_s + self.cql_s
    }
}

/// Starts a worker of presence alone; it is not ready yet.
pub fn start(deployment: &mut Deployment) -> Result<usize> {
    deployment.start_worker_with(&PRESENCE_ONLY)
}

/// A deployment whose worker may be paused while a backlog is written: its session and its transaction
/// outlive that.
pub fn patient_deployment(servers: &Servers, name: &str) -> Result<Deployment> {
    let deployment = Deployment::bare(servers, name, "")?;
    let config = fs::read_to_string(&deployment.config)?;
    let timeout = |name: &str, from: u64, to: u64| {
        (format!("{name}_timeout = \"{from}s\""), format!("{name}_timeout = \"{to}s\""))
    };
    let changes = [timeout("session", SESSION_TIMEOUT.as_secs(), 300), timeout("transaction", 5, 240)];
    let patient = changes.iter().fold(config, |config, (from, to)| config.replace(from, to));
    ensure!(changes.iter().all(|(_, to)| patient.contains(to)), "the timeouts of {patient}");
    fs::write(&deployment.config, patient)?;
    deployment.succeed(&["topics", "apply"])?;
    deployment.succeed(&["schema", "apply"])?;
    Ok(deployment)
}

/// Asks a worker to end, and waits for it.
pub fn stop(deployment: &mut Deployment, worker: usize) -> Result<()> {
    deployment.workers[worker].signal(Signal::TERM)?;
    deployment.workers[worker].wait(END_LIMIT)?;
    Ok(())
}

/// Writes with the times of the producer, see [`super::load`].
pub fn with_record_time<T>(deployment: &Deployment, write: impl FnOnce() -> Result<T>) -> Result<T> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &deployment.kafka);
    let admin: AdminClient<DefaultClientContext> = config.create()?;
    let change = AlterConfig::new(ResourceSpecifier::Topic(HEARTBEATS));
    let change = change.set("message.timestamp.type", "CreateTime");
    let answers = Runtime::new()?.block_on(admin.alter_configs([&change], &AdminOptions::new()))?;
    for answer in answers {
        answer.map_err(|(_, code)| anyhow::anyhow!("setting the topic's time: {code}"))?;
    }
    let written = write()?;
    deployment.succeed(&["topics", "apply"])?;
    Ok(written)
}

/// The sum of a metric's samples whose labels contain `label`; 0 while there are none.
pub fn metric(address: &str, name: &str, label: &str) -> Result<f64> {
    let text = get(address, "/metrics")?;
    let samples = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
    samples.map(|line| Ok(line.rsplit_once(' ').context("a sample")?.1.parse::<f64>()?)).sum()
}

/// How far a group has come, as the broker knows it.
pub struct Group {
    consumer: BaseConsumer,
    list: TopicPartitionList,
}

impl Group {
    /// Of a group that reads heartbeats.
    pub fn new(kafka: &str, group: &str, partitions: u32) -> Result<Self> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", kafka)
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            // A transaction under way would hold back the answer.
            .set("isolation.level", "read_uncommitted");
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions as i32 {
            list.add_partition(HEARTBEATS, partition);
        }
        Ok(Self { consumer: config.create()?, list })
    }

    pub fn committed(&self) -> Result<Positions> {
        let committed = self.consumer.committed_offsets(self.list.clone(), ASK_LIMIT)?;
        Ok(committed.elements().iter().map(|element| element.offset().to_raw().unwrap_or(0).max(0)).collect())
    }
}

/// What a worker took to catch up.
#[derive(Debug, Clone, Copy)]
pub struct CaughtUp {
    /// Records between the first commit that was seen and the end.
    pub records: f64,
    pub seconds: f64,
    /// All records of the backlog.
    pub all_records: f64,
    /// Of all records, until their rows were stored too.
    pub cpu: Cpu,
    pub rss_bytes: u64,
}

/// Lets a paused worker go on, and watches it until it has committed all up to `until` and stored its rows.
/// The time before its first commit is no part of it. Core time counts from the beginning and for all
/// records, since the rows of the first commit are written after it.
pub fn catch_up(
    deployment: &Deployment,
    worker: usize,
    processes: &Processes,
    until: &Positions,
) -> Result<CaughtUp> {
    let group = Group::new(&deployment.kafka, &deployment.group, until.len() as u32)?;
    let resume = || deployment.workers[worker].signal(Signal::CONT);
    let before = processes.cpu()?;
    let Followed { records, all_records, seconds, .. } = follow(&group, until, resume, || Ok(()))?;
    let rss_bytes = proc::rss_bytes(processes.worker)?;
    wait_stored(&deployment.workers[worker].address)?;
    let cpu = processes.cpu()?.since(&before);
    Ok(CaughtUp { records, seconds, all_records, cpu, rss_bytes })
}

/// What was seen of a group that caught up.
pub struct Followed<C> {
    /// Records between the first commit that was seen and the end.
    pub records: f64,
    pub all_records: f64,
    pub seconds: f64,
    /// Core time so far, at that first commit.
    pub cpu: C,
}

/// Lets somebody go on and watches the group until it has committed all up to `until`.
pub fn follow<C>(
    group: &Group,
    until: &Positions,
    resume: impl FnOnce() -> Result<()>,
    cpu: impl Fn() -> Result<C>,
) -> Result<Followed<C>> {
    let done = |now: &Positions| now.iter().zip(until).map(|(now, until)| (*now).min(*until)).sum::<i64>();
    let begun = Instant::now();
    let total: i64 = until.iter().sum();
    let before = done(&group.committed()?);
    let mut first = None;
    resume()?;
    loop {
        let committed = done(&group.committed()?);
        if first.is_none() && committed > before {
            first = Some((Instant::now(), committed, cpu()?));
        }
        if committed >= total {
            let (at, from, cpu) = first.context("a first commit")?;
            let seconds = at.elapsed().as_secs_f64();
            let (records, all_records) = ((total - from) as f64, (total - before) as f64);
            return Ok(Followed { records, all_records, seconds, cpu });
        }
        ensure!(begun.elapsed() < CATCH_UP_LIMIT, "the group is at {committed} of {total}");
        thread::sleep(LOOK_EVERY);
    }
}

/// Waits until so many sessions live: `/v1/partitions` says how many each partition has.
pub fn wait_live(address: &str, sessions: u64) -> Result<()> {
    until("all sessions live", Duration::from_secs(300), || {
        let answer: Value = serde_json::from_str(&get(address, "/v1/partitions")?)?;
        let partitions = answer["partitions"].as_array().context("partitions")?;
        let live: u64 = partitions.iter().filter_map(|partition| partition["sessions"].as_u64()).sum();
        Ok((live == sessions).then_some(()))
    })
}

/// Waits until the store owes nothing. The worker says so every quarter of a second.
pub fn wait_stored(address: &str) -> Result<()> {
    until("all rows are stored", Duration::from_secs(120), || {
        let unstored = metric(address, "heartline_unstored_bytes", "")?;
        Ok((unstored == 0.0).then_some(()))
    })
}
