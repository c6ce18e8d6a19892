//! Against a real broker: `HEARTLINE_TEST_KAFKA=host:port cargo test --lib kafka:: -- --ignored`.

use std::{
    collections::BTreeMap,
    env,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;

use super::{
    KafkaLog,
    config::{Connection, KafkaConfig},
    topics::{KafkaTopicAdmin, TopicDifference},
};
use crate::{
    log::{
        AssignmentId, Bounds, Committed, Header, Log, LogCommand, LogEvent, Offset, OutRecord, PartitionId,
        Transaction, TransactionOutcome, TransactionStep,
    },
    topology::{Topic, Topology},
};

mod events;
mod idle;
mod member;
mod reading;
mod starting;
mod topic_client;
mod transactions;
mod measure;

/// Partitions of the topics that the shipped topology makes.
const PARTITIONS: u32 = 8;
/// Nothing that is waited for here takes longer, short of being wrong.
const PATIENCE: Duration = Duration::from_secs(30);

/// The topics are shared: one test at a time.
pub(super) fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    let guard = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let admin = KafkaTopicAdmin::new(connection()).unwrap();
    let differed = runtime().block_on(admin.apply(&Topology::shipped())).unwrap();
    assert!(differed.iter().all(TopicDifference::is_applicable), "{differed:?}");
    guard
}

pub(super) fn connection() -> Connection {
    let broker = env::var("HEARTLINE_TEST_KAFKA").expect("HEARTLINE_TEST_KAFKA names a broker");
    Connection::new(&[broker], BTreeMap::new()).unwrap()
}

pub(super) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A name that no earlier run has used.
fn fresh(what: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos();
    format!("test.{what}.{now}.{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

#[test]
fn a_member_may_be_moved_to_the_thread_that_drives_it() {
    fn is_send<T: Send>() {}
    is_send::<KafkaLog>();
}

/// A member, and the events it has told that no one has asked for yet.
struct Member {
    log: KafkaLog,
    told: Vec<LogEvent>,
    request: u64,
}

impl Member {
    fn new(group: &str) -> Self {
        let (session, transaction) = (Duration::from_secs(10), Duration::from_secs(8));
        let config = KafkaConfig::new(connection(), group, Topic::Heartbeats, session, transaction).unwrap();
        let waiting = thread::current();
        let log = KafkaLog::new(config, Arc::new(move || waiting.unpark())).unwrap();
        Self { log, told: Vec::new(), request: 0 }
    }

    /// A member with a producer of this name that has joined.
    fn joined(group: &str, name: &str) -> (Self, AssignmentId, Vec<PartitionId>) {
        let mut member = Self::new(group);
        member.open(name);
        member.log.submit(LogCommand::Join);
        let (assignment, partitions) = member.assigned();
        (member, assignment, partitions)
    }

    fn submit(&mut self, command: LogCommand) {
        self.log.submit(command);
    }

    /// The next event of the kind that `pick` takes; others stay for later.
    fn wait<T>(&mut self, pick: impl Fn(&LogEvent) -> Option<T>) -> T {
        self.wait_for(PATIENCE, pick).unwrap_or_else(|| panic!("only these were told: {:?}", self.told))
    }

    fn wait_for<T>(&mut self, patience: Duration, pick: impl Fn(&LogEvent) -> Option<T>) -> Option<T> {
        let until = Instant::now() + patience;
        loop {
            while let Some(event) = self.log.poll() {
                self.told.push(event);
            }
            if let Some(at) = self.told.iter().position(|event| pick(event).is_some()) {
                return pick(&self.told.remove(at));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            thread::park_timeout(left);
        }
    }

    fn open(&mut self, name: &str) {
        self.submit(LogCommand::OpenProducer { name: name.to_owned() });
        self.wait(|event| matches!(event, LogEvent::ProducerOpened).then_some(()));
    }

    fn assigned(&mut self) -> (AssignmentId, Vec<PartitionId>) {
        self.wait(|event| match event {
            LogEvent::Assigned { assignment, partitions, member } => {
                assert!(!member.is_empty());
                Some((*assignment, partitions.clone()))
            }
            _ => None,
        })
    }

    fn request(&mut self) -> u64 {
        self.request += 1;
        self.request
    }

    fn bounds(&mut self, partition: PartitionId) -> Bounds {
        let request = self.request();
        self.submit(LogCommand::ReadBounds { request, partitions: vec![partition] });
        let all = self.wait(|event| match event {
            LogEvent::BoundsRead { request: answered, result } if *answered == request => {
                Some(result.clone())
            }
            _ => None,
        });
        all.unwrap()[0].1
    }

    fn offset(&mut self, partition: PartitionId, stable: bool) -> Result<Option<Committed>, String> {
        let request = self.request();
        let partitions = vec![partition];
        self.submit(LogCommand::ReadOffsets { request, partitions, stable, limit_ms: 2_000 });
        let result = self.wait(|event| match event {
            LogEvent::OffsetsRead { request: answered, result } if *answered == request => {
                Some(result.clone())
            }
            _ => None,
        });
        result.map(|mut all| all.remove(0).1).map_err(|error| error.message)
    }

    fn transact(&mut self, assignment: AssignmentId, steps: Vec<TransactionStep>) -> TransactionOutcome {
        let id = self.request();
        self.submit(LogCommand::Transact(Transaction { id, assignment, steps }));
        self.outcome(id)
    }

    fn outcome(&mut self, id: u64) -> TransactionOutcome {
        self.wait(|event| match event {
            LogEvent::TransactionEnded { id: ended, outcome } if *ended == id => Some(outcome.clone()),
            _ => None,
        })
    }

    /// Polls until `count` records were handed out: (partition, offset, key, value, headers) of each.
    fn read(&mut self, count: usize) -> Vec<Read> {
        let mut found = Vec::new();
        let until = Instant::now() + PATIENCE;
        while found.len() < count {
            assert!(Instant::now() < until, "{} of {count} records", found.len());
            found.extend(self.poll(1_000));
        }
        found
    }

    fn poll(&mut self, wait_ms: u64) -> Vec<Read> {
        self.submit(LogCommand::Poll { records_max: 10_000, bytes_max: 1 << 20, wait_ms });
        let chunks = self.wait(|event| match event {
            LogEvent::Polled { chunks } => Some(chunks.clone()),
            _ => None,
        });
        let records = chunks.iter().flat_map(|chunk| {
            (0..chunk.len()).map(|at| {
                let record = chunk.get(at);
                Read {
                    partition: chunk.partition,
                    fetch: chunk.fetch,
                    offset: record.offset,
                    time_ms: record.time_ms,
                    key: record.key.map(<[u8]>::to_vec),
                    value: record.value.map(<[u8]>::to_vec),
                    headers: record.headers.map(<[Header]>::to_vec),
                }
            })
        });
        records.collect()
    }

    fn leave(mut self) {
        self.submit(LogCommand::Leave);
        self.wait(|event| matches!(event, LogEvent::Left).then_some(()));
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Read {
    partition: PartitionId,
    fetch: u64,
    offset: Offset,
    time_ms: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Option<Vec<Header>>,
}

fn heartbeat(partition: PartitionId, value: &str) -> OutRecord {
    OutRecord {
        topic: Topic::Heartbeats,
        partition,
        key: Some(Bytes::from_static(b"alice")),
        value: Some(Bytes::copy_from_slice(value.as_bytes())),
        headers: Vec::new(),
    }
}

fn offsets(partition: PartitionId, offset: Offset, metadata: &str) -> TransactionStep {
    TransactionStep::Offsets(vec![(partition, Committed { offset, metadata: metadata.to_owned() })])
}
