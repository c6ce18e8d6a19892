//! `conversations` (conversation; entry): a conversation's head, its members and its recent membership
//! changes.
//!
//! * Static cells: the head. `origin` covers everything in the partition; a reader of several pages reads it
//!   before and after.
//! * Entry `m/<user>`: a member. Entry `r/<by>/<client_id>`: a membership change that may come again, with
//!   the hash of what it said; it is deleted when it is too old to be recognised.
//! * Overwritten in place: timestamp base + offset. All that a batch changed in a conversation is one
//!   mutation, after the rows of its messages: what the head says is readable.
//! * Writer: the owner of the conversation's `sends` partition. Readers: the fold at a conversation's first
//!   record, `/v1/history`, `/v1/members`.

use std::sync::Arc;

use super::{CellError, Column, Kind, Stage, Table, Value, Writing, cells::Cells, column};
use crate::{
    log::Offset,
    store::{Query, Select},
};

pub static CONVERSATIONS: Table = Table {
    name: "conversations",
    partition: &[column("conversation", Kind::Text)],
    clustering: &[column("entry", Kind::Text)],
    statics: STATICS,
    cells: CELLS,
    stage: Stage::Last,
    writing: Writing::InPlaceWhole,
};

const STATICS: &[Column] = &[
    // The number of the last message, and the greatest record time of a message.
    column("latest_seq", Kind::BigInt),
    column("latest_at_ms", Kind::BigInt),
    // The position after the last record that changed the membership, and after the last that changed
    // anything.
    column("members_origin", Kind::BigInt),
    column("origin", Kind::BigInt),
    // Of the input partition: origins are positions of that generation.
    column("generation", Kind::Int),
];

const CELLS: &[Column] = &[
    // Record time of the change.
    column("at_ms", Kind::BigInt),
    // What a recent change said; 0 for a member.
    column("hash", Kind::BigInt),
];

const MEMBER: &str = "m/";
const RECENT: &str = "r/";

/// The static cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConversationHead {
    pub latest_seq: i64,
    /// 0 before the first message.
    pub latest_at_ms: i64,
    pub members_origin: Offset,
    pub origin: Offset,
    pub generation: i32,
}

/// What an entry is, by its clustering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry<'a> {
    Member(&'a str),
    Recent { by: &'a str, client_id: &'a str },
}

impl ConversationHead {
    #[must_use]
    pub fn to_cells(&self) -> Box<[Value]> {
        [
            Value::BigInt(self.latest_seq),
            Value::BigInt(self.latest_at_ms),
            Value::BigInt(self.members_origin),
            Value::BigInt(self.origin),
            Value::Int(self.generation),
        ]
        .into()
    }

    /// Reads the static cells.
    pub fn from_cells(cells: &[Value]) -> Result<Self, CellError> {
        let cells = Cells::of_statics(&CONVERSATIONS, cells);
        Ok(Self {
            latest_seq: cells.big_int(0)?,
            latest_at_ms: cells.big_int(1)?,
            members_origin: cells.big_int(2)?,
            origin: cells.big_int(3)?,
            generation: cells.int(4)?,
        })
    }
}

impl<'a> Entry<'a> {
    #[must_use]
    pub fn to_clustering(self) -> Box<[Value]> {
        let text = match self {
            Self::Member(user) => [MEMBER, user].concat(),
            Self::Recent { by, client_id } => [RECENT, by, "/", client_id].concat(),
        };
        [Value::Text(text.into())].into()
    }

    /// `None` for an entry that this version does not write.
    #[must_use]
    pub fn from_clustering(clustering: &'a [Value]) -> Option<Self> {
        let entry = clustering.first()?.as_text()?;
        if let Some(user) = entry.strip_prefix(MEMBER) {
            return Some(Self::Member(user));
        }
        let (by, client_id) = entry.strip_prefix(RECENT)?.split_once('/')?;
        Some(Self::Recent { by, client_id })
    }

    /// The cells of an entry: record time of the change, and what it said.
    #[must_use]
    pub fn cells(at_ms: i64, hash: u64) -> Box<[Value]> {
        [Value::BigInt(at_ms), Value::BigInt(hash as i64)].into()
    }

    /// Reads an entry's cells: record time and hash.
    pub fn read_cells(cells: &[Value]) -> Result<(i64, u64), CellError> {
        let cells = Cells::of_row(&CONVERSATIONS, cells);
        Ok((cells.big_int(0)?, cells.big_int(1)? as u64))
    }
}

/// The database partition of a conversation.
#[must_use]
pub fn partition(conversation: &str) -> Arc<[Value]> {
    [Value::text(conversation)].into()
}

/// Reads a page of entries behind `after`, with the head.
#[must_use]
pub fn page_query(conversation: &str, after: Option<&Value>, limit: u32) -> Query {
    let select = Select::Page { after: after.cloned(), limit };
    Query { table: &CONVERSATIONS, partition: partition(conversation), select }
}

/// Reads a page of members behind `after`, with the head.
#[must_use]
pub fn members_query(conversation: &str, after: &str, limit: u32) -> Query {
    page_query(conversation, Some(&Value::Text([MEMBER, after].concat().into())), limit)
}

/// Reads a recent membership change.
#[must_use]
pub fn recent_query(conversation: &str, by: &str, client_id: &str) -> Query {
    let select = Select::Keys(vec![Entry::Recent { by, client_id }.to_clustering()]);
    Query { table: &CONVERSATIONS, partition: partition(conversation), select }
}

/// Reads the head alone.
#[must_use]
pub fn head_query(conversation: &str) -> Query {
    Query { table: &CONVERSATIONS, partition: partition(conversation), select: Select::Statics }
}

#[cfg(test)]
mod tests;
