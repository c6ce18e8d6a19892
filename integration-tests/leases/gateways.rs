//! The gateways of a great many users, each with the beats of a hundred sessions in one record.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow};
use heartline::{
    record::heartbeats::{Beat, Field, Input, encode},
    topology::{Topic, Topology},
};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};

use super::super::deployment::lasting_client;

/// How many fall silent for good when they are told to, and how their names begin.
pub const LEAVERS: u32 = 300;
pub const LEAVER: &str = "leaver-";
const STEADY: &str = "steady-";
/// Sessions of a gateway; all of one partition, as one record must be.
const BATCH: usize = 100;
const TICK: Duration = Duration::from_millis(25);
const FLUSH_LIMIT: Duration = Duration::from_secs(120);

pub struct Gateways {
    told: Arc<Told>,
    thread: JoinHandle<Result<()>>,
}

#[derive(Default)]
struct Told {
    stop: AtomicBool,
    cut: AtomicBool,
    leave: AtomicBool,
    beats: AtomicU64,
}

impl Gateways {
    /// All come within two beats' time.
    pub fn start(kafka: &str, sessions: u32, beat_every: Duration) -> Result<Self> {
        let producer: ThreadedProducer<DefaultProducerContext> = lasting_client(kafka)
            .set("enable.idempotence", "true")
            .set("compression.codec", "lz4")
            .set("linger.ms", "5")
            .set("message.timeout.ms", "600000")
            // Room for what is beaten while the broker is away for minutes.
            .set("queue.buffering.max.messages", "1000000")
            .create()?;
        let told = Arc::new(Told::default());
        let heard = Arc::clone(&told);
        let thread = thread::spawn(move || run(&producer, &heard, &mut batches(sessions, beat_every)));
        Ok(Self { told, thread })
    }

    /// Leavers beat no more.
    pub fn leave(&self) {
        self.told.leave.store(true, Ordering::Release);
    }

    /// Nobody beats while this is so.
    pub fn cut(&self, is_cut: bool) {
        self.told.cut.store(is_cut, Ordering::Release);
    }

    /// Those that were handed to the client so far.
    pub fn beats(&self) -> u64 {
        self.told.beats.load(Ordering::Acquire)
    }

    /// Ends the beating and waits until everything is in the log.
    pub fn stop(self) -> Result<()> {
        self.told.stop.store(true, Ordering::Release);
        self.thread.join().map_err(|_| anyhow!("the gateways panicked"))?
    }
}

struct Batch {
    gateway: String,
    name: &'static str,
    users: Vec<u32>,
    partition: u32,
    counter: i64,
    next: Instant,
    every: Duration,
}

fn batches(sessions: u32, every: Duration) -> Vec<Batch> {
    let topology = Topology::shipped();
    let mut batches = Vec::new();
    for (name, users) in [(STEADY, sessions), (LEAVER, LEAVERS)] {
        let mut by_partition = vec![Vec::new(); topology.partitions(Topic::Heartbeats) as usize];
        for user in 0..users {
            let partition = topology.place(Topic::Heartbeats, format!("{name}{user}").as_bytes());
            by_partition[partition as usize].push(user);
        }
        for (partition, users) in (0..).zip(&by_partition) {
            for users in users.chunks(BATCH) {
                let (gateway, users) = (format!("gw-{}", batches.len()), users.to_vec());
                batches.push(Batch {
                    gateway,
                    name,
                    users,
                    partition,
                    counter: 0,
                    next: Instant::now(),
                    every,
                });
            }
        }
    }
    // Neighbours are of one partition: a stride spreads them over the time.
    let (count, start) = (batches.len(), Instant::now());
    for (index, batch) in batches.iter_mut().enumerate() {
        batch.next = start + (every * 2).mul_f64((index * 7_919 % count) as f64 / count as f64);
    }
    batches
}

fn run(
    producer: &ThreadedProducer<DefaultProducerContext>,
    told: &Told,
    batches: &mut [Batch],
) -> Result<()> {
    while !told.stop.load(Ordering::Acquire) {
        let now = Instant::now();
        let (is_cut, has_left) = (told.cut.load(Ordering::Acquire), told.leave.load(Ordering::Acquire));
        for batch in batches.iter_mut().filter(|batch| batch.next <= now) {
            batch.next += batch.every;
            if is_cut || (has_left && batch.name == LEAVER) {
                continue;
            }
            batch.counter += 1;
            let value = batch.value();
            let record = BaseRecord::<str, [u8]>::to(Topic::Heartbeats.name());
            let record = record.payload(&value).partition(batch.partition as i32);
            producer.send(record).map_err(|(error, _)| error).context("a gateway's beats")?;
            told.beats.fetch_add(batch.users.len() as u64, Ordering::AcqRel);
        }
        thread::sleep(TICK);
    }
    producer.flush(FLUSH_LIMIT).context("the last beats")
}

impl Batch {
    fn value(&self) -> Vec<u8> {
        let beat = |(number, user): (u32, &u32)| {
            let gateway = Field::Given(self.gateway.as_str().into());
            let user = format!("{}{user}", self.name);
            (number, Beat { gateway, ..Beat::new(user, "s-1", 0, self.counter) })
        };
        let beats = (0..).zip(&self.users).map(beat).collect();
        encode(&Input::Heartbeats { beats, refused: Vec::new() })
    }
}
