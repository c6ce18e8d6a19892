//! Topics: appending through a group commit, reading from a snapshot, trimming.
//!
//! A partition's [`Position`] is part of every commit that moves it, so a snapshot always has the position
//! that belongs to its records.

use std::{collections::BTreeMap, ops::ControlFlow};

use fjall::{Readable, Snapshot};

use super::{
    codec::{Decoder, Encoder},
    layout,
    pending::Pending,
    record::{self, StoredRecord},
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

/// Appends records in their order, with the wall clock as their time.
pub(super) fn append(
    pending: &mut Pending<'_>,
    catalog: &Catalog,
    records: &[OutRecord],
    now_ms: i64,
) -> Result<(), AppendError> {
    let mut moved: BTreeMap<(Topic, PartitionId), Position> = BTreeMap::new();
    let spaces = pending.spaces;
    for record in records {
        let (topic, partition) = (record.topic, record.partition);
        let entry = acceptable(catalog, record).map_err(AppendError::Unacceptable)?;
        let mut position = match moved.get(&(topic, partition)) {
            Some(position) => *position,
            None => pending_position(pending, topic, partition)?,
        };
        position.last_time_ms = position.last_time_ms.max(now_ms);
        let offset = position.bounds.end;
        position.bounds.end += 1;
        let key = layout::record_key(topic, partition, offset);
        pending.insert(&spaces.records, key, record::encode(record, position.last_time_ms));
        if entry.cleanup == Cleanup::Compact {
            supersede(pending, record, offset)?;
        }
        moved.insert((topic, partition), position);
    }
    for ((topic, partition), position) in moved {
        pending.insert(&spaces.positions, layout::partition_key(topic, partition), position.encode());
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

/// Removes the records below `below`; the first offset moves there.
pub(super) fn trim(
    pending: &mut Pending<'_>,
    topic: Topic,
    partition: PartitionId,
    below: Offset,
) -> Result<(), StorageError> {
    let spaces = pending.spaces;
    let mut position = pending_position(pending, topic, partition)?;
    let below = below.min(position.bounds.end);
    for offset in position.bounds.first..below {
        pending.remove(&spaces.records, layout::record_key(topic, partition, offset));
    }
    position.bounds.first = position.bounds.first.max(below);
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
    mut take: impl FnMut(Offset, StoredRecord<'_>, usize) -> ControlFlow<()>,
) -> Result<(), StorageError> {
    let keys = layout::record_key(topic, partition, from)..=layout::record_key(topic, partition, Offset::MAX);
    for entry in snapshot.range(&spaces.records, keys) {
        let (key, value) = entry.into_inner()?;
        let record = layout::offset_of(&key).and_then(|offset| Some((offset, record::decode(&value)?)));
        let Some((offset, record)) = record else {
            return Err(StorageError(format!("a record of {topic}/{partition} from {from} on is damaged")));
        };
        if take(offset, record, value.len()).is_break() {
            break;
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
