//! A log and a store in memory, for tests of what stands on them.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, watch};

use crate::{
    client::{StoreClient, Tail, TailEvent, TailFrom, TailRecord, TopicClient},
    log::{Bounds, LogError, Offset, OutRecord, PartitionId},
    sim::SimStore,
    store::{Query, Row, StoreError, StoreErrorClass, WriteBatch},
    topology::Topic,
};

/// A log whose record time is the offset.
pub struct FakeTopics {
    partitions: u32,
    records: Mutex<BTreeMap<(Topic, PartitionId), Vec<OutRecord>>>,
    /// Where every partition begins: what was before is kept no longer.
    pub first: Mutex<Offset>,
    /// What the next appends answer.
    pub failure: Mutex<Option<LogError>>,
    /// Topics that were tailed.
    pub tailed: Mutex<Vec<(Topic, TailFrom)>>,
    grown: watch::Sender<u64>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FakeTopics {
    pub fn new(partitions: u32) -> Self {
        Self {
            partitions,
            records: Mutex::default(),
            first: Mutex::default(),
            failure: Mutex::default(),
            tailed: Mutex::default(),
            grown: watch::channel(0).0,
        }
    }

    pub fn put(&self, records: Vec<OutRecord>) {
        let mut held = lock(&self.records);
        for record in records {
            held.entry((record.topic, record.partition)).or_default().push(record);
        }
        drop(held);
        self.grown.send_modify(|count| *count += 1);
    }

    /// Deletes a topic and makes it again.
    pub fn make_anew(&self, topic: Topic) {
        lock(&self.records).retain(|(other, _), _| *other != topic);
        self.grown.send_modify(|count| *count += 1);
    }

    /// Values of a topic in the order of partitions.
    pub fn values(&self, topic: Topic) -> Vec<String> {
        let held = lock(&self.records);
        let of_topic = held.iter().filter(|((other, _), _)| *other == topic);
        let text =
            |record: &OutRecord| String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into();
        of_topic.flat_map(|(_, records)| records.iter().map(text)).collect()
    }

    fn since(&self, topic: Topic, partition: PartitionId, from: Offset) -> Vec<TailRecord> {
        let held = lock(&self.records);
        let records = held.get(&(topic, partition)).map_or(&[][..], Vec::as_slice);
        let tail = |(offset, record): (usize, &OutRecord)| TailRecord {
            partition,
            offset: offset as Offset,
            time_ms: offset as i64,
            key: record.key.clone(),
            value: record.value.clone(),
            headers: record.headers.clone(),
        };
        records.iter().enumerate().skip(from as usize).map(tail).collect()
    }

    fn end(&self, topic: Topic, partition: PartitionId) -> Offset {
        lock(&self.records).get(&(topic, partition)).map_or(0, |records| records.len() as Offset)
    }
}

/// The fake is shared between the server and the test.
pub struct Shared<T>(pub std::sync::Arc<T>);

impl TopicClient for Shared<FakeTopics> {
    fn append(&self, records: Vec<OutRecord>) -> BoxFuture<'_, Result<(), LogError>> {
        Box::pin(async move {
            if let Some(error) = lock(&self.0.failure).clone() {
                return Err(error);
            }
            self.0.put(records);
            Ok(())
        })
    }

    fn tail(&self, topic: Topic, from: TailFrom) -> BoxFuture<'_, Result<Tail, LogError>> {
        Box::pin(async move {
            lock(&self.0.tailed).push((topic, from.clone()));
            let start = |partition| match &from {
                TailFrom::Start => 0,
                TailFrom::End => self.0.end(topic, partition),
                TailFrom::Positions(positions) => positions
                    .iter()
                    .find(|(named, _)| *named == partition)
                    .map_or_else(|| self.0.end(topic, partition), |(_, offset)| *offset),
            };
            let positions: Vec<_> = (0..self.0.partitions).map(|p| (p, start(p))).collect();
            let (sender, events) = mpsc::channel(16);
            let (fake, mut next) = (self.0.clone(), positions.clone());
            tokio::spawn(async move {
                let mut grown = fake.grown.subscribe();
                loop {
                    for (partition, offset) in &mut next {
                        if *offset > fake.end(topic, *partition) {
                            let _ = sender.send(Err(LogError::fatal("there is no such position"))).await;
                            return;
                        }
                        for record in fake.since(topic, *partition, *offset) {
                            *offset = record.offset + 1;
                            if sender.send(Ok(TailEvent::Record(record))).await.is_err() {
                                return;
                            }
                        }
                    }
                    tokio::select! {
                        changed = grown.changed() => if changed.is_err() { return },
                        () = sender.closed() => return,
                    }
                }
            });
            Ok(Tail { positions, events })
        })
    }

    fn bounds(&self, topic: Topic) -> BoxFuture<'_, Result<Vec<(PartitionId, Bounds)>, LogError>> {
        let first = *lock(&self.0.first);
        let bounds =
            move |partition| (partition, Bounds { first, end: self.0.end(topic, partition).max(first) });
        Box::pin(async move { Ok((0..self.0.partitions).map(bounds).collect()) })
    }
}

/// The simulated store at time 0, which can be made unreadable, or change between two reads.
#[derive(Default)]
pub struct FakeStore {
    store: Mutex<SimStore>,
    pub unreadable: Mutex<Option<&'static str>>,
    /// Applied after the next read of their table, the first one first.
    pub afterwards: Mutex<Vec<WriteBatch>>,
    /// What was read.
    pub reads: Mutex<Vec<Query>>,
}

impl FakeStore {
    pub fn put(&self, batch: WriteBatch) {
        lock(&self.store).apply(0, batch);
    }
}

impl StoreClient for Shared<FakeStore> {
    fn read(&self, query: Query) -> BoxFuture<'_, Result<Vec<Row>, StoreError>> {
        Box::pin(async move {
            if *lock(&self.0.unreadable) == Some(query.table.name) {
                return Err(StoreError {
                    class: StoreErrorClass::Retriable,
                    message: "no node answers".into(),
                });
            }
            let rows = lock(&self.0.store).read(0, &query);
            let mut afterwards = lock(&self.0.afterwards);
            if let Some(at) = afterwards.iter().position(|batch| batch.table == query.table) {
                self.0.put(afterwards.remove(at));
            }
            lock(&self.0.reads).push(query);
            Ok(rows)
        })
    }

    fn write(&self, batch: WriteBatch) -> BoxFuture<'_, Result<(), StoreError>> {
        self.0.put(batch);
        Box::pin(async { Ok(()) })
    }
}

/// An appended transition, as the fold would publish it.
pub fn transition(partition: PartitionId, user: &str, version: u64, detected_at: i64) -> OutRecord {
    let value = serde_json::json!({"v": 1, "type": "transition", "user": user, "version": version,
        "detected_at": detected_at, "origin": {"partition": partition, "offset": 1}});
    OutRecord {
        topic: Topic::Presence,
        partition,
        key: Some(Bytes::copy_from_slice(user.as_bytes())),
        value: Some(Bytes::from(value.to_string())),
        headers: Vec::new(),
    }
}
