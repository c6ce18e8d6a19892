//! A client that beats for many users straight into Kafka, and remembers what each of them did.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow};
use heartline::{
    record::heartbeats::{Beat, End, Field, Input, encode},
    topology::{Topic, Topology},
};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};

use super::deployment::lasting_client;

/// How long a session lives without a beat, and how often it beats.
pub const LEASE: Duration = Duration::from_secs(6);
const BEAT_EVERY: Duration = Duration::from_millis(2_000);
const TICK: Duration = Duration::from_millis(25);
const PROBE_EVERY: Duration = Duration::from_millis(250);
/// Beats that a gateway puts into one record.
const BATCH: usize = 40;
const PROBE_LEASE_MS: i64 = 600_000;

/// How many users do what.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Beat all the time; every third of them through a gateway's batches.
    pub steady: u32,
    /// Beat until their moment, then fall silent for good.
    pub leavers: u32,
    /// Say goodbye and come back, again and again.
    pub comers: u32,
    /// From when to when leavers leave, after the start.
    pub leave: (Duration, Duration),
}

/// What the crowd did.
#[derive(Debug)]
pub struct Deeds {
    pub steady: Vec<String>,
    /// With the moment of their last beat.
    pub leavers: BTreeMap<String, Instant>,
    pub comers: Vec<String>,
    /// Users that beat once, with the moment.
    pub probes: BTreeMap<String, Instant>,
    pub records: u64,
}

pub struct Crowd {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Deeds>>,
}

impl Crowd {
    pub fn start(kafka: &str, sizes: Sizes) -> Result<Self> {
        let producer: ThreadedProducer<DefaultProducerContext> = lasting_client(kafka)
            .set("enable.idempotence", "true")
            .set("linger.ms", "5")
            .set("message.timeout.ms", "600000")
            // Room for what is beaten while the broker is away for minutes.
            .set("queue.buffering.max.messages", "1000000")
            .create()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || Act::new(producer, sizes).run(&stopped));
        Ok(Self { stop, thread })
    }

    /// Ends the beating and waits until everything is in the log.
    pub fn stop(self) -> Result<Deeds> {
        self.stop.store(true, Ordering::Release);
        self.thread.join().map_err(|_| anyhow!("the crowd panicked"))?
    }
}

struct Act {
    producer: ThreadedProducer<DefaultProducerContext>,
    topology: Topology,
    sizes: Sizes,
    start: Instant,
    sessions: Vec<Session>,
    deeds: Deeds,
}

struct Session {
    user: String,
    role: Role,
    epoch: i64,
    counter: i64,
    next: Instant,
    /// Of a comer: how many beats until its goodbye.
    left: u32,
    /// Of a leaver: when it falls silent.
    until: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Steady,
    Batched,
    Leaver,
    Comer,
}

impl Act {
    fn new(producer: ThreadedProducer<DefaultProducerContext>, sizes: Sizes) -> Self {
        let start = Instant::now();
        let mut random = fastrand::Rng::with_seed(7);
        let mut sessions = Vec::new();
        let mut add = |name: &str, number: u32, role: Role| {
            let (from, to) = sizes.leave;
            let moment = from + (to - from).mul_f64(random.f64());
            sessions.push(Session {
                user: format!("{name}-{number}"),
                role,
                epoch: 0,
                counter: 0,
                next: start + BEAT_EVERY.mul_f64(random.f64()),
                left: random.u32(2..6),
                until: (role == Role::Leaver).then_some(start + moment),
            });
        };
        (0..sizes.steady)
            .for_each(|n| add("steady", n, if n % 3 == 0 { Role::Batched } else { Role::Steady }));
        (0..sizes.leavers).for_each(|n| add("leaver", n, Role::Leaver));
        (0..sizes.comers).for_each(|n| add("comer", n, Role::Comer));
        let of = |name: &str, count: u32| (0..count).map(|n| format!("{name}-{n}")).collect();
        let deeds = Deeds {
            steady: of("steady", sizes.steady),
            leavers: BTreeMap::new(),
            comers: of("comer", sizes.comers),
            probes: BTreeMap::new(),
            records: 0,
        };
        Self { producer, topology: Topology::shipped(), sizes, start, sessions, deeds }
    }

    fn run(mut self, stop: &AtomicBool) -> Result<Deeds> {
        let mut next_probe = self.start;
        while !stop.load(Ordering::Acquire) {
            let now = Instant::now();
            self.beat(now)?;
            if next_probe <= now {
                next_probe += PROBE_EVERY;
                self.probe(now)?;
            }
            thread::sleep(TICK);
        }
        self.producer.flush(Duration::from_secs(60)).context("the last beats")?;
        anyhow::ensure!(self.deeds.leavers.len() == self.sizes.leavers as usize, "not every leaver has left");
        Ok(self.deeds)
    }

    fn beat(&mut self, now: Instant) -> Result<()> {
        let mut batches: BTreeMap<u32, Vec<(u32, Beat<'static>)>> = BTreeMap::new();
        let mut single = Vec::new();
        for session in self.sessions.iter_mut().filter(|session| session.next <= now) {
            if session.until.is_some_and(|until| until <= now) {
                // Its last beat was the one before.
                session.next = now + Duration::from_secs(86_400);
                continue;
            }
            session.next += BEAT_EVERY;
            session.counter += 1;
            match session.role {
                Role::Steady => single.push(Input::Heartbeat(beat(session))),
                Role::Leaver => {
                    self.deeds.leavers.insert(session.user.clone(), now);
                    single.push(Input::Heartbeat(beat(session)));
                }
                Role::Batched => {
                    let partition = self.topology.place(Topic::Heartbeats, session.user.as_bytes());
                    let batch = batches.entry(partition).or_default();
                    batch.push((batch.len() as u32, beat(session)));
                }
                Role::Comer if session.left == 0 => {
                    single.push(Input::Goodbye(goodbye(session)));
                    session.epoch += 1;
                    session.counter = 0;
                    session.left = 5;
                    session.next = now + BEAT_EVERY * 2;
                }
                Role::Comer => {
                    session.left -= 1;
                    single.push(Input::Heartbeat(beat(session)));
                }
            }
        }
        for input in single {
            let user = heartline::record::heartbeats::routing_user(&input).unwrap_or_default().to_owned();
            self.send(&user, &input)?;
        }
        for (partition, beats) in batches {
            for beats in beats.chunks(BATCH) {
                let input = Input::Heartbeats { beats: beats.to_vec(), refused: Vec::new() };
                self.send_to(partition, None, &input)?;
            }
        }
        Ok(())
    }

    fn probe(&mut self, now: Instant) -> Result<()> {
        let user = format!("probe-{}", self.deeds.probes.len());
        let session = Session {
            user: user.clone(),
            role: Role::Steady,
            epoch: 0,
            counter: 1,
            next: now,
            left: 0,
            until: None,
        };
        let probe = Beat { lease_ms: Field::Given(PROBE_LEASE_MS), ..beat(&session) };
        self.send(&user, &Input::Heartbeat(probe))?;
        self.deeds.probes.insert(user, now);
        Ok(())
    }

    fn send(&mut self, user: &str, input: &Input<'_>) -> Result<()> {
        let partition = self.topology.place(Topic::Heartbeats, user.as_bytes());
        self.send_to(partition, Some(user), input)
    }

    fn send_to(&mut self, partition: u32, key: Option<&str>, input: &Input<'_>) -> Result<()> {
        let value = encode(input);
        let mut record = BaseRecord::<str, [u8]>::to(Topic::Heartbeats.name());
        record = record.payload(&value).partition(partition as i32);
        if let Some(key) = key {
            record = record.key(key);
        }
        self.deeds.records += 1;
        self.producer.send(record).map_err(|(error, _)| error).context("a beat")
    }
}

fn beat(session: &Session) -> Beat<'static> {
    Beat {
        gateway: Field::Given("gw-1".into()),
        lease_ms: Field::Given(LEASE.as_millis() as i64),
        ..Beat::new(session.user.clone(), "s", session.epoch, session.counter)
    }
}

fn goodbye(session: &Session) -> End<'static> {
    End {
        user: session.user.clone().into(),
        session: "s".into(),
        epoch: session.epoch,
        counter: session.counter,
        after_ms: 0,
    }
}
