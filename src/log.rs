//! The log as the engine sees it: commands out, events in, no I/O.
//!
//! Three implementations stand behind this seam: Kafka, the embedded log and the simulated one; one
//! conformance suite runs against all three. A [`Log`] is the view of one group member: one consumer of one
//! input topic, one transactional producer, one plain idempotent producer for beacons.
//!
//! # The order of calls
//! 1. `OpenProducer`, then `Join`; `Assigned` follows, and `Revoking` or `Lost` end that assignment.
//! 2. For an assigned partition: `ReadOffsets`, `FirstOffsets`, then `Fetch` from a position. Every `Poll` is
//!    answered by exactly one `Polled`, which may be empty. Chunks of an older `Fetch` of the partition are
//!    to be ignored. Headers are read where the `Fetch` asks for them.
//! 3. At most one `Transact` is under way at a time; it is answered by exactly one `TransactionEnded`.
//! 4. `Revoking` is answered by `Release`, at once or after the transaction under way has ended: the member
//!    stays in the group's old generation until then.
//!
//! All positions are exclusive: a position of 7 means that everything below 7 is included and 7 is the next.

use std::fmt;

use bytes::Bytes;

use crate::{
    mutant::{self, Mutant},
    topology::Topic,
};

pub type PartitionId = u32;
/// A position in a partition.
pub type Offset = i64;
/// Distinguishes the fetches of one partition; chosen by the engine, never reused.
pub type FetchId = u64;
/// Distinguishes assignments; chosen by the log, never reused. Stands for the group metadata that was
/// captured then.
pub type AssignmentId = u64;
/// Pairs an answer with its question; chosen by the engine, never reused.
pub type RequestId = u64;

/// A header of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub name: String,
    pub value: Option<Bytes>,
}

/// One record as it was read. Borrowed from its [`Chunk`].
#[derive(Debug, Clone, Copy)]
pub struct RecordRef<'a> {
    pub offset: Offset,
    /// Milliseconds since 1970, given by the log when it appended the record.
    pub time_ms: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    /// `None` where they were not read.
    pub headers: Option<&'a [Header]>,
}

/// Consecutive records of one partition, in offset order, in one allocation.
#[derive(Debug, Clone)]
pub struct Chunk {
    pub partition: PartitionId,
    pub fetch: FetchId,
    bytes: Vec<u8>,
    spans: Vec<Span>,
    /// Headers are rare: (index of the record, its headers), ascending; `None` where they were not read.
    headers: Option<Vec<(u32, Vec<Header>)>>,
}

/// How much a chunk holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChunkSize {
    pub records: usize,
    /// Of keys and values.
    pub bytes: usize,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    offset: Offset,
    time_ms: i64,
    start: u32,
    /// Length + 1; 0 stands for null.
    key: u32,
    value: u32,
}

impl Chunk {
    #[must_use]
    pub fn new(partition: PartitionId, fetch: FetchId) -> Self {
        Self::sized(partition, fetch, ChunkSize::default())
    }

    /// With room for as much as `like` holds: polls that follow each other bring about as much.
    #[must_use]
    pub fn sized(partition: PartitionId, fetch: FetchId, like: ChunkSize) -> Self {
        let (bytes, spans) = (Vec::with_capacity(like.bytes), Vec::with_capacity(like.records));
        Self { partition, fetch, bytes, spans, headers: Some(Vec::new()) }
    }

    /// An empty chunk that keeps its records' headers, or drops them.
    #[must_use]
    pub fn keeping_headers(self, keeping: bool) -> Self {
        Self { headers: keeping.then(Vec::new), ..self }
    }

    #[must_use]
    pub fn size(&self) -> ChunkSize {
        ChunkSize { records: self.spans.len(), bytes: self.bytes.len() }
    }

    /// Appends a record; offsets must ascend.
    pub fn push(
        &mut self,
        offset: Offset,
        time_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: Vec<Header>,
    ) {
        debug_assert!(
            self.spans.last().is_none_or(|last| last.offset < offset),
            "offsets ascend within a chunk"
        );
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(key.unwrap_or_default());
        self.bytes.extend_from_slice(value.unwrap_or_default());
        if let Some(kept) = &mut self.headers
            && !headers.is_empty()
        {
            kept.push((self.spans.len() as u32, headers));
        }
        let length = |part: Option<&[u8]>| part.map_or(0, |bytes| bytes.len() as u32 + 1);
        self.spans.push(Span { offset, time_ms, start, key: length(key), value: length(value) });
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Bytes that this chunk holds in memory, spans included.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.bytes.len() + self.spans.len() * size_of::<Span>()
    }

    /// The record at `index`.
    ///
    /// # Panics
    /// When `index` is not below [`Chunk::len`].
    #[must_use]
    pub fn get(&self, index: usize) -> RecordRef<'_> {
        let span = self.spans[index];
        let part = |start: u32, length: u32| {
            length.checked_sub(1).map(|length| &self.bytes[start as usize..(start + length) as usize])
        };
        let headers = self.headers.as_ref().map(|kept| match kept.is_empty() {
            true => &[][..],
            false => kept
                .binary_search_by_key(&(index as u32), |(at, _)| *at)
                .map_or(&[][..], |found| &kept[found].1),
        });
        RecordRef {
            offset: span.offset,
            time_ms: span.time_ms,
            key: part(span.start, span.key),
            value: part(span.start + span.key.saturating_sub(1), span.value),
            headers,
        }
    }

    /// The key of the record at `index`.
    ///
    /// # Panics
    /// When `index` is not below [`Chunk::len`].
    #[must_use]
    pub fn key(&self, index: usize) -> Option<&[u8]> {
        let Span { start, key, .. } = self.spans[index];
        key.checked_sub(1).map(|length| &self.bytes[start as usize..(start + length) as usize])
    }

    /// The offset of the last record.
    #[must_use]
    pub fn last_offset(&self) -> Option<Offset> {
        self.spans.last().map(|span| span.offset)
    }
}

/// A record to be published. The partition is explicit, so that placement is a decision of the core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutRecord {
    pub topic: Topic,
    pub partition: PartitionId,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<Header>,
}

impl OutRecord {
    /// Bytes of key, value and headers.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let part = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let headers: usize = self.headers.iter().map(|header| header.name.len() + part(&header.value)).sum();
        part(&self.key) + part(&self.value) + headers
    }
}

/// An offset commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    pub offset: Offset,
    pub metadata: String,
}

/// One transaction: its steps are carried out in this order, then it is committed.
#[derive(Debug, Clone)]
pub struct Transaction {
    pub id: u64,
    pub assignment: AssignmentId,
    pub steps: Vec<TransactionStep>,
}

#[derive(Debug, Clone)]
pub enum TransactionStep {
    Offsets(Vec<(PartitionId, Committed)>),
    Records(Vec<OutRecord>),
}

/// How a transaction ended. Anything but the first means: not known to be out, drop and restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransactionOutcome {
    Committed,
    /// The broker confirmed the abort; the producer may be used again.
    Aborted {
        reason: String,
    },
    /// A newer producer has this name.
    Fenced {
        reason: String,
    },
    /// A call timed out or failed unclearly: the transaction may have been committed, and the producer is
    /// tainted.
    Unclear {
        reason: String,
    },
    Fatal {
        reason: String,
    },
}

/// What a member asks of its log.
#[derive(Debug, Clone)]
pub enum LogCommand {
    /// A new transactional producer of this name (the former one is dropped first); aborts and fences what an
    /// older one of that name has under way. Answered by `ProducerOpened` or `ProducerFailed`.
    OpenProducer {
        name: String,
    },
    /// Joins the consumer group. Answered by `Assigned` when the group has settled.
    Join,
    /// Leaves the group and closes everything; nothing follows but `Left`.
    Leave,
    /// Topic id and partition count of the input. Answered by `Described`.
    Describe {
        request: RequestId,
    },
    /// The group's offsets. A stable read answers only where no transaction with offsets is open. Answered by
    /// `OffsetsRead`; for a stable read within `limit_ms`.
    ReadOffsets {
        request: RequestId,
        partitions: Vec<PartitionId>,
        stable: bool,
        limit_ms: u64,
    },
    /// First and next offset of the input's partitions. Answered by `BoundsRead`.
    ReadBounds {
        request: RequestId,
        partitions: Vec<PartitionId>,
    },
    /// The current members of the group. Answered by `MembersListed`.
    ListMembers {
        request: RequestId,
    },
    /// `init_transactions` under the name of somebody who is gone. Answered by `NameFenced`.
    FenceName {
        request: RequestId,
        name: String,
    },
    /// Reads `partition` from `from` on, with or without headers: to look for them costs a client a tenth of
    /// what it does with a small record, even where there are none.
    Fetch {
        partition: PartitionId,
        from: Offset,
        fetch: FetchId,
        headers: bool,
    },
    /// Reads no more of `partition`; chunks under way may still arrive.
    StopFetch {
        partition: PartitionId,
    },
    /// Asks for what is there, waiting at most `wait_ms` for a first record. Answered by `Polled`.
    Poll {
        records_max: usize,
        bytes_max: usize,
        wait_ms: u64,
    },
    Transact(Transaction),
    /// Appends a beacon to the input with the plain producer. Answered by `BeaconAppended`.
    Beacon {
        partition: PartitionId,
        value: Bytes,
    },
    /// Answers `Revoking`.
    Release,
}

/// What a log tells its member.
#[derive(Debug, Clone)]
pub enum LogEvent {
    ProducerOpened,
    ProducerFailed {
        error: LogError,
    },
    /// The group has settled: these partitions are ours under this assignment; all earlier ones are not.
    Assigned {
        assignment: AssignmentId,
        member: String,
        partitions: Vec<PartitionId>,
    },
    /// These partitions will be taken away when `Release` is sent.
    Revoking {
        partitions: Vec<PartitionId>,
    },
    /// These partitions belong to somebody else already.
    Lost {
        partitions: Vec<PartitionId>,
    },
    Left,
    Described {
        request: RequestId,
        result: Result<TopicDescription, LogError>,
    },
    OffsetsRead {
        request: RequestId,
        result: Result<Vec<(PartitionId, Option<Committed>)>, LogError>,
    },
    BoundsRead {
        request: RequestId,
        result: Result<Vec<(PartitionId, Bounds)>, LogError>,
    },
    MembersListed {
        request: RequestId,
        result: Result<Vec<Member>, LogError>,
    },
    NameFenced {
        request: RequestId,
        name: String,
        result: Result<(), LogError>,
    },
    Polled {
        chunks: Vec<Chunk>,
    },
    /// What `Fetch` asked for is not there.
    OutOfRange {
        partition: PartitionId,
        fetch: FetchId,
    },
    TransactionEnded {
        id: u64,
        outcome: TransactionOutcome,
    },
    BeaconAppended {
        partition: PartitionId,
        result: Result<(), LogError>,
    },
    /// Something went wrong outside of any question.
    Failed {
        error: LogError,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDescription {
    pub topic_id: String,
    pub partitions: u32,
}

/// First offset that is still there, and the next one to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    pub first: Offset,
    pub end: Offset,
}

/// A member of the group. `client_id` is the name of its producer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub id: String,
    pub client_id: String,
}

/// What may be done about an error. What is not known is fatal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// Ask again after a pause.
    Retriable,
    /// The same; it is there, and as much waits for it as may. Only appending outside of an engine says so.
    Behind,
    /// Abort, drop the state and restore.
    Restore,
    /// Exit and say so.
    Fatal,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogError {
    pub class: ErrorClass,
    /// What, where, what to do.
    pub message: String,
}

impl LogError {
    pub fn retriable(message: impl Into<String>) -> Self {
        Self { class: ErrorClass::Retriable, message: message.into() }
    }

    pub fn behind(message: impl Into<String>) -> Self {
        Self { class: ErrorClass::Behind, message: message.into() }
    }

    pub fn fatal(message: impl Into<String>) -> Self {
        Self { class: ErrorClass::Fatal, message: message.into() }
    }

    /// Whether nobody knows what may be done about it.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        self.class == ErrorClass::Fatal && !mutant::is(Mutant::UnknownErrorRetried)
    }
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for LogError {}

/// One group member's view of a log. Neither call blocks.
pub trait Log {
    fn submit(&mut self, command: LogCommand);
    fn poll(&mut self) -> Option<LogEvent>;
}
