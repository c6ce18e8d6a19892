//! A processor in this process: the library's own worker on the real servers, with its log and its store
//! watched on their way. For figures that need to know what was written, and not only how much.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow, ensure};
use heartline::{
    cql::{self, Cql, CqlConfig, CqlStore},
    engine::{EngineConfig, Exit, Pace},
    kafka::{
        KafkaLog,
        config::{Connection, KafkaConfig},
    },
    limits::{LARGE_GROUP_RECIPIENTS, STATE_BYTES_MAX},
    log::RequestId,
    processor::{Fold, Retention},
    record::beacon::Parameters,
    store::{Store, StoreCommand, StoreEvent, WriteBatch},
    topology::Topology,
    worker::{Waker, Worker},
};
use tokio::runtime::Runtime;

use crate::{
    bare::Positions,
    real::{deployment::until, servers::Servers},
};
use log::WatchedLog;
pub use log::{Gate, Transactions};

mod log;

const SESSION_TIMEOUT: Duration = Duration::from_secs(45);
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(30);
const READY_LIMIT: Duration = Duration::from_secs(60);
/// What happens after the last row is acknowledged is within this.
const QUIET: Duration = Duration::from_millis(300);
const SETTLE_LIMIT: Duration = Duration::from_secs(300);
/// Tables of positions, which no reader of the product's reads.
const NOT_FOR_READERS: [&str; 3] = ["progress", "progress_owners", "presence_checkpoints"];

/// What a processor does, as its log and its store see it.
#[derive(Default)]
pub struct Seen {
    pub commits: AtomicU64,
    /// Records that transactions published.
    pub published: AtomicU64,
    /// Writes that were not answered yet.
    open: AtomicU64,
    batches: AtomicU64,
    keep: AtomicBool,
    kept: Mutex<Kept>,
}

/// What the store acknowledged since this was last taken.
#[derive(Default)]
pub struct Kept {
    pub batches: Vec<Arc<WriteBatch>>,
    /// When rows of a table were acknowledged, and how many.
    pub written: Vec<(Instant, &'static str, usize)>,
    /// When a partition was first read.
    pub fetched: Option<Instant>,
}

impl Seen {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps batches from now on.
    pub fn keep(&self) {
        self.keep.store(true, Ordering::Release);
    }

    pub fn take(&self) -> Kept {
        std::mem::take(&mut *self.kept())
    }

    /// Rows of a table that were acknowledged, and when the last row of any was.
    pub fn written(&self, table: &str) -> (usize, Option<Instant>) {
        let kept = self.kept();
        let rows = kept.written.iter().filter(|(_, name, _)| *name == table).map(|(.., rows)| rows).sum();
        (rows, kept.written.last().map(|(at, ..)| *at))
    }
}

/// What all processors of this process share.
pub struct Inside {
    pub runtime: Runtime,
    kafka: String,
    cql: String,
}

impl Inside {
    pub fn new(servers: &Servers) -> Result<Self> {
        let (kafka, cql) = (servers.kafka.address().to_owned(), servers.cql.address().to_owned());
        Ok(Self { runtime: Runtime::new()?, kafka, cql })
    }

    /// A session with a keyspace, which is made where it is not there.
    pub fn connect(&self, keyspace: &str) -> Result<Cql> {
        let config = CqlConfig::new(vec![self.cql.clone()], keyspace)?;
        self.runtime.block_on(async {
            let cql = cql::connect(&config).await?;
            cql::schema::apply(&cql).await?;
            Ok(cql)
        })
    }

    /// Starts a processor of the group `prefix` and waits until all its partitions are live.
    pub fn start<F: Fold>(&self, prefix: &str, cql: &Cql, transactions: Transactions) -> Result<Processor> {
        let processor = self.start_at_once::<F>(prefix, cql, transactions)?;
        until("the processor is ready", READY_LIMIT, || {
            let status = processor.worker.status();
            ensure!(!processor.worker.is_finished(), "the processor ended: {:?}", status.last_trouble);
            let live = status.partitions.len() == processor.partitions as usize && status.missing.is_empty();
            Ok(live.then_some(()))
        })?;
        Ok(processor)
    }

    /// The same without waiting.
    pub fn start_at_once<F: Fold>(
        &self,
        prefix: &str,
        cql: &Cql,
        transactions: Transactions,
    ) -> Result<Processor> {
        let topology = Arc::new(Topology::shipped());
        let partitions = topology.partitions(F::KIND.input());
        let group = format!("{prefix}.{}", F::KIND);
        let engine = EngineConfig {
            topology,
            group: group.as_str().into(),
            name: format!("{group}.bench"),
            incarnation: format!("bench-{prefix}"),
            parameters: Parameters::VERSION_1,
            retention: Retention::default(),
            state_bytes_max: STATE_BYTES_MAX,
            large_group: LARGE_GROUP_RECIPIENTS,
            session_timeout_ms: SESSION_TIMEOUT.as_millis() as i64,
            pace: Pace::default(),
        };
        let connection = Connection::new(std::slice::from_ref(&self.kafka), Default::default())?;
        let (session, transaction) = (SESSION_TIMEOUT, TRANSACTION_TIMEOUT);
        let member = KafkaConfig::new(connection, group.clone(), F::KIND.input(), session, transaction)?;
        let (seen, gate) = (Arc::<Seen>::default(), Arc::<Gate>::default());
        let (cql, runtime) = (cql.clone(), self.runtime.handle().clone());
        let (watch, open, kafka) = (Arc::clone(&seen), Arc::clone(&gate), self.kafka.clone());
        let worker = Worker::spawn::<F, _, _, _>(engine, move |waker: Waker| {
            open.wakes(&waker);
            let log = KafkaLog::new(member, waker.clone()).map_err(|error| error.message)?;
            let log = WatchedLog::new(log, Arc::clone(&watch), open, waker.clone());
            let log = match transactions {
                Transactions::On => log,
                Transactions::Off => log
                    .without_transactions(&kafka, &group, F::KIND.input())
                    .map_err(|error| format!("{error:#}"))?,
            };
            let store =
                WatchedStore { store: CqlStore::new(cql, runtime, waker), seen: watch, sent: HashMap::new() };
            Ok((log, store))
        })?;
        Ok(Processor { worker, seen, gate, partitions })
    }
}

/// A running one.
pub struct Processor {
    pub worker: Worker,
    pub seen: Arc<Seen>,
    pub gate: Arc<Gate>,
    partitions: u32,
}

impl Processor {
    /// Waits until so many rows of a table are acknowledged and nothing is under way.
    pub fn wait_written(&self, table: &str, rows: usize) -> Result<()> {
        let begun = Instant::now();
        loop {
            let (written, last) = self.seen.written(table);
            let quiet = last.is_some_and(|last| last.elapsed() > QUIET);
            if written >= rows && quiet && self.seen.open.load(Ordering::Acquire) == 0 {
                return Ok(());
            }
            let trouble = self.worker.status().last_trouble;
            ensure!(begun.elapsed() < SETTLE_LIMIT, "{written} of {rows} rows of {table}: {trouble:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until all up to these positions is committed and stored.
    pub fn wait_committed(&self, until: &Positions) -> Result<()> {
        let begun = Instant::now();
        loop {
            let status = self.worker.status();
            let there = status.partitions.iter().all(|partition| {
                partition.committed.is_some_and(|offset| offset >= until[partition.partition as usize])
            });
            if there && status.partitions.len() == until.len() && status.unstored_bytes == 0 {
                return Ok(());
            }
            ensure!(begun.elapsed() < SETTLE_LIMIT, "not committed: {:?}", status.last_trouble);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn stop(self) -> Result<()> {
        self.gate.open();
        self.worker.stop();
        match self.worker.join() {
            Exit::Left => Ok(()),
            Exit::Fatal(sentence) => Err(anyhow!(sentence)),
        }
    }
}

/// The product's store, with a note of what it acknowledged.
struct WatchedStore {
    store: CqlStore,
    seen: Arc<Seen>,
    sent: HashMap<RequestId, Arc<WriteBatch>>,
}

impl Store for WatchedStore {
    fn submit(&mut self, command: StoreCommand) {
        if let StoreCommand::Write { request, batch } = &command
            && !NOT_FOR_READERS.contains(&batch.table.name)
        {
            self.sent.insert(*request, Arc::clone(batch));
            self.seen.open.fetch_add(1, Ordering::AcqRel);
        }
        self.store.submit(command);
    }

    fn poll(&mut self) -> Option<StoreEvent> {
        let event = self.store.poll()?;
        let request = match &event {
            StoreEvent::Written { request }
            | StoreEvent::Rows { request, .. }
            | StoreEvent::Failed { request, .. } => request,
        };
        if let Some(batch) = self.sent.remove(request) {
            if matches!(event, StoreEvent::Written { .. }) {
                self.seen.batches.fetch_add(1, Ordering::Relaxed);
                let mut kept = self.seen.kept();
                kept.written.push((Instant::now(), batch.table.name, batch.statements.len()));
                if self.seen.keep.load(Ordering::Acquire) {
                    kept.batches.push(batch);
                }
            }
            self.seen.open.fetch_sub(1, Ordering::AcqRel);
        }
        Some(event)
    }
}
