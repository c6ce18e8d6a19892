//! The keys of the log's keyspaces. Numbers are big endian, so that the order of keys is the order of
//! offsets.
//!
//! | keyspace | key | value |
//! |---|---|---|
//! | `records` | topic, partition, offset of the last record | [`super::batch`] |
//! | `positions` | topic, partition | [`super::topics::Position`] |
//! | `latest` | 0, topic, partition, record key | offset of the key's last record (compacted topics) |
//! | `latest` | 1, topic, partition, offset | record key of a tombstone that is still there |
//! | `commits` | topic, partition, group | [`crate::log::Committed`] |

use std::ops::RangeInclusive;

use crate::{
    log::{Offset, PartitionId},
    topology::Topic,
};

const LATEST: u8 = 0;
const TOMBSTONE: u8 = 1;

/// A topic's number on disk: never given to another topic.
const fn code(topic: Topic) -> u8 {
    match topic {
        Topic::Heartbeats => 1,
        Topic::Sends => 2,
        Topic::Receipts => 3,
        Topic::Deliveries => 4,
        Topic::Presence => 5,
        Topic::PresenceState => 6,
        Topic::Sessions => 7,
        Topic::Inbox => 8,
        Topic::Cursors => 9,
        Topic::DeadLetters => 10,
    }
}

pub(super) fn partition_key(topic: Topic, partition: PartitionId) -> [u8; 5] {
    let [a, b, c, d] = partition.to_be_bytes();
    [code(topic), a, b, c, d]
}

/// Offsets are never negative, so that their bytes are in their order.
pub(super) fn record_key(topic: Topic, partition: PartitionId, offset: Offset) -> [u8; 13] {
    let mut key = [0; 13];
    key[..5].copy_from_slice(&partition_key(topic, partition));
    key[5..].copy_from_slice(&offset.to_be_bytes());
    key
}

/// The keys of all batches that hold a record at or above `from`.
pub(super) fn batches_from(topic: Topic, partition: PartitionId, from: Offset) -> RangeInclusive<[u8; 13]> {
    record_key(topic, partition, from)..=record_key(topic, partition, Offset::MAX)
}

/// The offset at the end of a record's or a tombstone's key.
pub(super) fn offset_of(key: &[u8]) -> Option<Offset> {
    key.last_chunk::<8>().map(|bytes| Offset::from_be_bytes(*bytes))
}

pub(super) fn latest_key(topic: Topic, partition: PartitionId, record_key: &[u8]) -> Vec<u8> {
    [&[LATEST][..], &partition_key(topic, partition), record_key].concat()
}

pub(super) fn tombstone_key(topic: Topic, partition: PartitionId, offset: Offset) -> Vec<u8> {
    [&[TOMBSTONE][..], &record_key(topic, partition, offset)].concat()
}

/// All tombstones of a partition start so.
pub(super) fn tombstone_prefix(topic: Topic, partition: PartitionId) -> Vec<u8> {
    [&[TOMBSTONE][..], &partition_key(topic, partition)].concat()
}

pub(super) fn commit_key(topic: Topic, partition: PartitionId, group: &str) -> Vec<u8> {
    [&partition_key(topic, partition)[..], group.as_bytes()].concat()
}
