//! The bench of the embedded log and store.

use std::{
    cell::Cell,
    collections::BTreeMap,
    rc::Rc,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use heartline::{
    client::{TailFrom, TopicClient as _},
    conformance::{Bench, BenchRecord, Capability, INPUT},
    embedded::{Database, EmbeddedLog, EmbeddedStore, EmbeddedTopics, Waker},
    log::{Committed, Log, Offset, OutRecord, PartitionId},
    store::Store,
    topology::{Topic, Topology},
};
use tempfile::TempDir;
use tokio::{runtime::Runtime, time::timeout};

/// How long a record that is known to be there may take to be read.
const READ_LIMIT: Duration = Duration::from_secs(10);

/// What all scripts share: one folder.
pub struct Suite {
    topology: Topology,
    runtime: Rc<Runtime>,
    database: Arc<Database>,
    numbers: Rc<Cell<i32>>,
    /// Last, so that the database is closed before its folder is removed.
    folder: Rc<TempDir>,
}

pub struct EmbeddedBench {
    topology: Topology,
    runtime: Rc<Runtime>,
    group: String,
    logs: BTreeMap<String, EmbeddedLog>,
    store: EmbeddedStore,
    topics: EmbeddedTopics,
    database: Arc<Database>,
    numbers: Rc<Cell<i32>>,
    begun: Instant,
    _folder: Rc<TempDir>,
}

impl Suite {
    pub fn prepare() -> Result<Self> {
        let folder = Rc::new(tempfile::tempdir()?);
        let topology = Topology::shipped();
        let database = Database::open(folder.path(), &topology)?;
        let runtime = Rc::new(Runtime::new()?);
        Ok(Self { topology, runtime, database, numbers: Rc::default(), folder })
    }

    pub fn bench(&self, script: usize) -> Result<EmbeddedBench> {
        Ok(EmbeddedBench {
            topology: self.topology.clone(),
            runtime: Rc::clone(&self.runtime),
            group: format!("conformance-{script}"),
            logs: BTreeMap::new(),
            store: EmbeddedStore::start(&self.database, nobody())?,
            topics: EmbeddedTopics::new(&self.database),
            database: Arc::clone(&self.database),
            numbers: Rc::clone(&self.numbers),
            begun: Instant::now(),
            _folder: Rc::clone(&self.folder),
        })
    }
}

impl Bench for EmbeddedBench {
    fn has(&self, capability: Capability) -> bool {
        matches!(capability, Capability::Log | Capability::Store)
    }

    fn topology(&self) -> &Topology {
        &self.topology
    }

    fn log(&mut self, pod: &str) -> Result<&mut dyn Log, String> {
        if !self.logs.contains_key(pod) {
            let log = EmbeddedLog::start(&self.database, &self.group, INPUT, nobody());
            self.logs.insert(pod.to_owned(), log.map_err(|error| error.to_string())?);
        }
        self.logs.get_mut(pod).map(|log| log as &mut dyn Log).ok_or_else(|| format!("no log for {pod}"))
    }

    fn store(&mut self) -> Result<&mut dyn Store, String> {
        Ok(&mut self.store)
    }

    fn append(&mut self, records: Vec<OutRecord>) -> Result<(), String> {
        self.runtime.block_on(self.topics.append(records)).map_err(|error| error.to_string())
    }

    fn committed(
        &mut self,
        topic: Topic,
        partition: PartitionId,
        from: Offset,
    ) -> Result<Vec<BenchRecord>, String> {
        self.runtime.block_on(committed(&self.topics, topic, partition, from))
    }

    fn hold_transaction(&mut self, _: &str, _: PartitionId, _: Committed) -> Result<(), String> {
        Err("a transaction of the embedded log is one write and is never open".to_owned())
    }

    fn wait(&mut self) {
        thread::sleep(Duration::from_millis(2));
    }

    fn elapsed_ms(&self) -> u64 {
        self.begun.elapsed().as_millis() as u64
    }

    fn fresh_number(&mut self) -> i32 {
        self.numbers.set(self.numbers.get() + 1);
        self.numbers.get()
    }
}

/// Offsets of the embedded log have no gaps at the end: the last record is the one before the next offset.
async fn committed(
    topics: &EmbeddedTopics,
    topic: Topic,
    partition: PartitionId,
    from: Offset,
) -> Result<Vec<BenchRecord>, String> {
    let bounds = topics.bounds(topic).await.map_err(|error| error.to_string())?;
    let bounds = bounds.into_iter().find(|(of, _)| *of == partition);
    let (_, bounds) = bounds.ok_or_else(|| format!("there is no {topic}/{partition}"))?;
    let from = from.max(bounds.first);
    let tail = topics.tail(topic, TailFrom::Positions(vec![(partition, from)])).await;
    let mut tail = tail.map_err(|error| error.to_string())?;
    let mut records: Vec<BenchRecord> = Vec::new();
    while records.last().map_or(from, |last| last.offset + 1) < bounds.end {
        let record = timeout(READ_LIMIT, tail.next()).await.map_err(|_| {
            format!("{topic}/{partition} ends at {}, and was silent after {records:?}", bounds.end)
        })?;
        let record = record.ok_or("the tail ended")?.map_err(|error| error.to_string())?;
        if record.partition == partition {
            let (offset, key, value, headers) = (record.offset, record.key, record.value, record.headers);
            records.push(BenchRecord { offset, key, value, headers });
        }
    }
    Ok(records)
}

/// Scripts ask again and again, so that nobody has to be woken.
fn nobody() -> Waker {
    Arc::new(|| {})
}
