//! `messages` (conversation, block; kind, seq, key): the history, one copy of every message.
//!
//! * A block is 1,000 numbers, so that a partition has at most 2,000 rows and some 64 MiB.
//! * Kind 0: a message; its key is `''`. Kind 1: the (sender, client_id) of a message of this block, by which
//!   a message that comes again is recognised without reading the block; its key is `sender/client_id`, its
//!   seq the day of the message's record time, so that an id that is used again after a day has another row.
//! * Written once: timestamp = record time, TTL on every cell, time-window compaction. Null cells are unset.
//! * Writer: the owner of the conversation's `sends` partition, before the conversation's head. Readers: the
//!   fold (kind 1), `/v1/history`, `/v1/sends`, `/v1/sync` for bodies that are too large for an inbox entry.

use std::sync::Arc;

use super::{CellError, Column, Kind, Stage, Table, Value, Writing, cells::Cells, column};
use crate::{
    limits::{BLOCK_MESSAGES, IDEMPOTENCE_DAYS_MAX, IDEMPOTENCE_MS},
    store::{Query, Select},
};

pub static MESSAGES: Table = Table {
    name: "messages",
    partition: &[column("conversation", Kind::Text), column("block", Kind::BigInt)],
    clustering: &[column("kind", Kind::Int), column("seq", Kind::BigInt), column("key", Kind::Text)],
    statics: &[],
    cells: CELLS,
    stage: Stage::First,
    writing: Writing::Append,
};

const CELLS: &[Column] = &[
    // Of both kinds: record time of the send.
    column("accepted_at_ms", Kind::BigInt),
    // Of a message. The body is JSON, byte for byte as it was sent.
    column("sender", Kind::Text),
    column("client_id", Kind::Text),
    column("session", Kind::Text),
    column("sent_at_ms", Kind::BigInt),
    column("body", Kind::Text),
    // Of a key: the message's number, and the hash of what was sent.
    column("number", Kind::BigInt),
    column("hash", Kind::BigInt),
];

const MESSAGE: i32 = 0;
const SENT: i32 = 1;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageRow<'a> {
    pub sender: &'a str,
    pub client_id: &'a str,
    pub session: Option<&'a str>,
    pub sent_at_ms: Option<i64>,
    pub accepted_at_ms: i64,
    pub body: &'a str,
}

/// What is known of a (sender, client_id) of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentRow {
    pub seq: i64,
    pub hash: u64,
    pub accepted_at_ms: i64,
}

impl<'a> MessageRow<'a> {
    #[must_use]
    pub fn to_cells(&self) -> Box<[Value]> {
        [
            Value::BigInt(self.accepted_at_ms),
            Value::text(self.sender),
            Value::text(self.client_id),
            Value::optional_text(self.session),
            Value::optional_big_int(self.sent_at_ms),
            Value::text(self.body),
            Value::Null,
            Value::Null,
        ]
        .into()
    }

    /// Reads a message's cells.
    pub fn from_cells(cells: &'a [Value]) -> Result<Self, CellError> {
        let cells = Cells::of_row(&MESSAGES, cells);
        Ok(Self {
            accepted_at_ms: cells.big_int(0)?,
            sender: cells.required_text(1)?,
            client_id: cells.required_text(2)?,
            session: cells.text(3)?,
            sent_at_ms: cells.optional_big_int(4)?,
            body: cells.required_text(5)?,
        })
    }
}

impl SentRow {
    #[must_use]
    pub fn to_cells(&self) -> Box<[Value]> {
        let mut cells = vec![Value::Null; CELLS.len()];
        cells[0] = Value::BigInt(self.accepted_at_ms);
        cells[6] = Value::BigInt(self.seq);
        cells[7] = Value::BigInt(self.hash as i64);
        cells.into()
    }

    /// Reads a key's cells.
    pub fn from_cells(cells: &[Value]) -> Result<Self, CellError> {
        let cells = Cells::of_row(&MESSAGES, cells);
        Ok(Self { accepted_at_ms: cells.big_int(0)?, seq: cells.big_int(6)?, hash: cells.big_int(7)? as u64 })
    }
}

/// The block of a message.
#[must_use]
pub fn block_of(seq: i64) -> i64 {
    seq / BLOCK_MESSAGES
}

/// The database partition of a block.
#[must_use]
pub fn partition(conversation: &str, block: i64) -> Arc<[Value]> {
    [Value::text(conversation), Value::BigInt(block)].into()
}

/// The key of a message within its block.
#[must_use]
pub fn message_clustering(seq: i64) -> Box<[Value]> {
    [Value::Int(MESSAGE), Value::BigInt(seq), Value::text("")].into()
}

/// What a sender and an id are together; neither has a `/`.
#[must_use]
pub fn sent_key(sender: &str, client_id: &str) -> Box<str> {
    [sender, "/", client_id].concat().into()
}

/// The key within a block of what was sent under such a key at this record time.
#[must_use]
pub fn sent_clustering(key: &str, accepted_at_ms: i64) -> Box<[Value]> {
    [Value::Int(SENT), Value::BigInt(day_of(accepted_at_ms)), Value::text(key)].into()
}

/// Where to look for what was sent under such a key and still counts at `time_ms`, when no message was
/// accepted after `latest_ms`.
pub fn sent_clusterings(key: &str, time_ms: i64, latest_ms: i64) -> impl Iterator<Item = Box<[Value]>> {
    let first = day_of(time_ms.saturating_sub(IDEMPOTENCE_MS));
    let last = day_of(latest_ms).min(first.saturating_add(IDEMPOTENCE_DAYS_MAX));
    (first..=last).map(move |day| [Value::Int(SENT), Value::BigInt(day), Value::text(key)].into())
}

/// The sender and the id of a row's clustering, as [`sent_key`] has them.
#[must_use]
pub fn sent_key_of(clustering: &[Value]) -> Option<&str> {
    match clustering {
        [Value::Int(SENT), _, key] => key.as_text(),
        _ => None,
    }
}

fn day_of(time_ms: i64) -> i64 {
    time_ms.div_euclid(IDEMPOTENCE_MS)
}

/// The number of a message, from its clustering.
#[must_use]
pub fn seq_of(clustering: &[Value]) -> Option<i64> {
    match clustering {
        [Value::Int(MESSAGE), Value::BigInt(seq), _] => Some(*seq),
        _ => None,
    }
}

/// Reads messages of a block behind `after`, forward or backward.
#[must_use]
pub fn messages_query(
    conversation: &str,
    block: i64,
    after: Option<i64>,
    descending: bool,
    limit: u32,
) -> Query {
    let prefix = [Value::Int(MESSAGE)].into();
    let select = Select::Slice { prefix, after: after.map(Value::BigInt), descending, limit };
    Query { table: &MESSAGES, partition: partition(conversation, block), select }
}

/// Reads single messages of a block.
#[must_use]
pub fn bodies_query(conversation: &str, block: i64, seqs: &[i64]) -> Query {
    let select = Select::Keys(seqs.iter().map(|seq| message_clustering(*seq)).collect());
    Query { table: &MESSAGES, partition: partition(conversation, block), select }
}

/// Reads what senders sent under ids, of one block.
#[must_use]
pub fn sent_query(conversation: &str, block: i64, keys: Vec<Box<[Value]>>) -> Query {
    Query { table: &MESSAGES, partition: partition(conversation, block), select: Select::Keys(keys) }
}

#[cfg(test)]
mod tests;
