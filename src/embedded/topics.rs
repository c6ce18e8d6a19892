//! Topics: appending through a group commit, reading from a snapshot, trimming.
//!
//! A partition's [`Position`] is part of every commit that moves it, so a snapshot always has the position
//! that belongs to its records.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    ops::ControlFlow,
};

use fjall::{Readable, Snapshot};

use super::{
    batch::{Batch, RECORD_BYTES, Records, StoredRecord},
    codec::{Decoder, Encoder},
    layout,
    pending::Pending,
    spaces::{Spaces, StorageError},
};
use crate::{
    log::{Bounds, Committed, Offset, OutRecord, PartitionId},
    topology::{Cleanup, Topic},
};

/// Bytes of one record: what a Kafka topic takes by default, so that both logs refuse the same.
const RECORD_BYTES_MAX: usize = 1_048_588;
/// Bytes of a key in a compacted topic: it becomes part of a key of the database, which has 65,535.
const COMPACTED_KEY_BYTES_MAX: usize = 60_000;

/// A topic as it is recorded on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TopicEntry {
    pub id: String,
    pub partitions: u32,
    pub cleanup: Cleanup,
}

pub(super) type Catalog = BTreeMap<Topic, TopicEntry>;

/// Where a partition stands. A partition without one is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub bounds: Bounds,
    /// The time of the last record: times never decrease within a partition.
    pub last_time_ms: i64,
}

/// Why records were not appended.
#[derive(Debug)]
pub(super) enum AppendError {
    /// These records can't be in the log: what is wrong with them.
    Unacceptable(String),
    Storage(StorageError),
}

impl From<StorageError> for AppendError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

/// A partition that is appended to: where it will stand, and the records of its next batch.
struct Appending {
    position: Position,
    records: Records,
}

impl Appending {
    /// Finishes the batch; its last record is the last of the partition.
    fn finish(&mut self, pending: &mut Pending<'_>, topic: Topic, partition: PartitionId) {
        if !self.records.is_empty() {
            let key = layout::record_key(topic, partition, self.position.bounds.end - 1);
            pending.insert(&pending.spaces.records, key, self.records.finish());
        }
    }
}

/// Appends records in their order, with the wall clock as their time. In a compacted topic, which loses
/// them one by one, each is a batch of its own.
pub(super) fn append(
    pending: &mut Pending<'_>,
    catalog: &Catalog,
    records: &[OutRecord],
    now_ms: i64,
) -> Result<(), AppendError> {
    let bytes = records.iter().map(|record| record.size_bytes() + RECORD_BYTES).sum();
    let mut appended: BTreeMap<(Topic, PartitionId), Appending> = BTreeMap::new();
    for record in records {
        let (topic, partition) = (record.topic, record.partition);
        let entry = acceptable(catalog, record).map_err(AppendError::Unacceptable)?;
        let appending = match appended.entry((topic, partition)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let mut position = pending_position(pending, topic, partition)?;
                position.last_time_ms = position.last_time_ms.max(now_ms);
                new.insert(Appending { position, records: Records::with_capacity(bytes) })
            }
        };
        if appending.records.is_full_for(record) {
            appending.finish(pending, topic, partition);
        }
        let offset = appending.position.bounds.end;
        appending.position.bounds.end += 1;
        appending.records.push(record, offset, appending.position.last_time_ms);
        if entry.cleanup == Cleanup::Compact {
            appending.finish(pending, topic, partition);
            supersede(pending, record, offset)?;
        }
    }
    for ((topic, partition), mut appending) in appended {
        appending.finish(pending, topic, partition);
        let key = layout::partition_key(topic, partition);
        pending.insert(&pending.spaces.positions, key, appending.position.encode());
    }
    Ok(())
}

/// Checks a record against the catalog: nothing of it may fail later.
fn acceptable<'a>(catalog: &'a Catalog, record: &OutRecord) -> Result<&'a TopicEntry, String> {
    let topic = record.topic;
    let Some(entry) = catalog.get(&topic) else {
        return Err(format!("there is no topic '{topic}' in this topology"));
    };
    if record.partition >= entry.partitions {
        let (partition, partitions) = (record.partition, entry.partitions);
        return Err(format!(
            "topic '{topic}' has {partitions} partitions, there is no partition {partition}"
        ));
    }
    let size = record.size_bytes();
    if size > RECORD_BYTES_MAX {
        return Err(format!(
            "a record of '{topic}' has at most {RECORD_BYTES_MAX} bytes, this one has {size}"
        ));
    }
    if entry.cleanup == Cleanup::Compact {
        match &record.key {
            None => return Err(format!("topic '{topic}' is compacted: its records need a key")),
            Some(key) if key.len() > COMPACTED_KEY_BYTES_MAX => {
                let (limit, bytes) = (COMPACTED_KEY_BYTES_MAX, key.len());
                return Err(format!("a key of '{topic}' has at most {limit} bytes, this one has {bytes}"));
            }
            Some(_) => {}
        }
    }
    Ok(entry)
}

/// The record at `offset` is its key's last one: the one before it goes, in the same commit.
fn supersede(pending: &mut Pending<'_>, record: &OutRecord, offset: Offset) -> Result<(), StorageError> {
    let (topic, partition, spaces) = (record.topic, record.partition, pending.spaces);
    let key = record.key.as_deref().unwrap_or_default();
    let latest = layout::latest_key(topic, partition, key);
    if let Some(old) = pending.get(&spaces.latest, &latest)?.as_deref().and_then(layout::offset_of) {
        pending.remove(&spaces.records, layout::record_key(topic, partition, old));
        pending.remove(&spaces.latest, layout::tombstone_key(topic, partition, old));
    }
    pending.insert(&spaces.latest, latest, offset.to_be_bytes());
    if record.value.is_none() {
        pending.insert(&spaces.latest, layout::tombstone_key(topic, partition, offset), key);
    }
    Ok(())
}

/// Removes the records below `below`; the first offset moves there. Of a batch that reaches beyond, the
/// records below are only no longer seen.
pub(super) fn trim(
    pending: &mut Pending<'_>,
    topic: Topic,
    partition: PartitionId,
    below: Offset,
) -> Result<(), StorageError> {
    let spaces = pending.spaces;
    let mut position = pending_position(pending, topic, partition)?;
    let Bounds { first, end } = position.bounds;
    let below = below.clamp(first, end);
    let keys = [first, below].map(|offset| layout::record_key(topic, partition, offset));
    for entry in spaces.records.range(keys[0]..keys[1]) {
        pending.remove(&spaces.records, entry.key()?);
    }
    position.bounds.first = below;
    pending.insert(&spaces.positions, layout::partition_key(topic, partition), position.encode());
    Ok(())
}

/// Removes tombstones of a compacted topic that are still their key's last record.
pub(super) fn forget(
    pending: &mut Pending<'_>,
    topic: Topic,
    partition: PartitionId,
    tombstones: &[Offset],
) -> Result<(), StorageError> {
    let spaces = pending.spaces;
    for offset in tombstones {
        let tombstone = layout::tombstone_key(topic, partition, *offset);
        // A newer record of the key has removed it in the meantime.
        let Some(key) = pending.get(&spaces.latest, &tombstone)? else {
            continue;
        };
        pending.remove(&spaces.records, layout::record_key(topic, partition, *offset));
        pending.remove(&spaces.latest, layout::latest_key(topic, partition, &key));
        pending.remove(&spaces.latest, tombstone);
    }
    Ok(())
}

/// Commits a group's offset.
pub(super) fn commit_offset(
    pending: &mut Pending<'_>,
    topic: Topic,
    partition: PartitionId,
    group: &str,
    committed: &Committed,
) {
    let mut encoder = Encoder::with_capacity(13 + committed.metadata.len());
    encoder.u8(1);
    encoder.i64(committed.offset);
    encoder.optional(Some(committed.metadata.as_bytes()));
    let spaces = pending.spaces;
    pending.insert(&spaces.commits, layout::commit_key(topic, partition, group), encoder.finish());
}

/// A group's committed offset.
pub(super) fn committed(
    spaces: &Spaces,
    snapshot: &Snapshot,
    (topic, partition): (Topic, PartitionId),
    group: &str,
) -> Result<Option<Committed>, StorageError> {
    let key = layout::commit_key(topic, partition, group);
    let Some(bytes) = snapshot.get(&spaces.commits, key)? else {
        return Ok(None);
    };
    let mut decoder = Decoder::new(&bytes);
    let mut decode = || {
        let (1, offset) = (decoder.u8()?, decoder.i64()?) else {
            return None;
        };
        let metadata = String::from_utf8(decoder.optional()??.to_vec()).ok()?;
        decoder.is_finished().then_some(Committed { offset, metadata })
    };
    let committed = decode().ok_or_else(|| {
        StorageError(format!("the offset of group {group} in {topic}/{partition} is damaged"))
    })?;
    Ok(Some(committed))
}

pub(super) fn position(
    spaces: &Spaces,
    snapshot: &Snapshot,
    topic: Topic,
    partition: PartitionId,
) -> Result<Position, StorageError> {
    let bytes = snapshot.get(&spaces.positions, layout::partition_key(topic, partition))?;
    Position::decode(bytes.as_deref(), topic, partition)
}

/// Hands the records from `from` on to `take`, in offset order, until it breaks.
pub(super) fn scan(
    spaces: &Spaces,
    snapshot: &Snapshot,
    (topic, partition): (Topic, PartitionId),
    from: Offset,
    mut take: impl FnMut(Offset, StoredRecord<'_>) -> ControlFlow<()>,
) -> Result<(), StorageError> {
    let damaged = || StorageError(format!("a record of {topic}/{partition} from {from} on is damaged"));
    for entry in snapshot.range(&spaces.records, layout::batches_from(topic, partition, from)) {
        let (key, value) = entry.into_inner()?;
        let batch = layout::offset_of(&key).and_then(|last| Batch::open(last, &value));
        let mut batch = batch.ok_or_else(damaged)?;
        while batch.has_more() {
            let (offset, record) = batch.read().ok_or_else(damaged)?;
            if offset >= from && take(offset, record).is_break() {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn pending_position(
    pending: &Pending<'_>,
    topic: Topic,
    partition: PartitionId,
) -> Result<Position, StorageError> {
    let bytes = pending.get(&pending.spaces.positions, &layout::partition_key(topic, partition))?;
    Position::decode(bytes.as_deref(), topic, partition)
}

impl Position {
    const EMPTY: Self = Self { bounds: Bounds { first: 0, end: 0 }, last_time_ms: 0 };

    fn encode(self) -> Vec<u8> {
        let mut encoder = Encoder::with_capacity(25);
        encoder.u8(1);
        encoder.i64(self.bounds.first);
        encoder.i64(self.bounds.end);
        encoder.i64(self.last_time_ms);
        encoder.finish()
    }

    fn decode(bytes: Option<&[u8]>, topic: Topic, partition: PartitionId) -> Result<Self, StorageError> {
        let Some(bytes) = bytes else {
            return Ok(Self::EMPTY);
        };
        let mut decoder = Decoder::new(bytes);
        let mut decode = || {
            let (1, first, end, last_time_ms) =
                (decoder.u8()?, decoder.i64()?, decoder.i64()?, decoder.i64()?)
            else {
                return None;
            };
            let bounds = Bounds { first, end };
            (0 <= first && first <= end && decoder.is_finished()).then_some(Self { bounds, last_time_ms })
        };
        decode().ok_or_else(|| StorageError(format!("the position of {topic}/{partition} is damaged")))
    }
}

#[cfg(test)]
mod tests;
