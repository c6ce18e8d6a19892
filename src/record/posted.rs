//! `deliveries` and `inbox`: messages that have their numbers, with whom they go to.
//!
//! `deliveries` says what one batch owes to the recipients of one partition, in order; `inbox` says the same
//! with the number that each entry got in its recipient's inbox.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{
    Refusal,
    json::{self, ANY_INTEGER, Object},
};
use crate::limits::{
    BODY_BYTES_MAX, DELIVERIES_BYTES_MAX, INTEGER_MAX, POSTED_HEAD_BYTES_MAX, RECIPIENTS_MAX,
};

mod scan;
mod writer;

pub use writer::{DeliveriesWriter, InboxWriter};

/// Objects and arrays around a field of a message, and around a field of an entry.
const MESSAGE_DEPTH: usize = 3;
const ENTRY_DEPTH: usize = 4;
/// Bytes of a `deliveries` value: where it is closed, and what may go beyond that.
const DELIVERIES_VALUE_BYTES_MAX: usize = DELIVERIES_BYTES_MAX + POSTED_HEAD_BYTES_MAX + BODY_BYTES_MAX;

/// A message with its number in its conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted<'a> {
    pub conversation: Cow<'a, str>,
    /// From 1 on, without a gap.
    pub seq: i64,
    pub sender: Cow<'a, str>,
    pub client_id: Cow<'a, str>,
    pub session: Option<Cow<'a, str>>,
    /// By the sender's own clock.
    pub sent_at: Option<i64>,
    /// Record time of the send.
    pub accepted_at: i64,
    /// The JSON value as it was written, byte for byte.
    pub body: &'a str,
}

/// A message and those who are to get it, all of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery<'a> {
    pub posted: Posted<'a>,
    pub recipients: Vec<Cow<'a, str>>,
}

/// Decodes a value of `deliveries`: all of it is valid, or none. At most [`RECIPIENTS_MAX`] recipients are in
/// it, so that what becomes of it in `inbox` has its bound.
pub fn decode_deliveries(value: Option<&[u8]>) -> Result<Vec<Delivery<'_>>, Refusal> {
    match value.and_then(scan::deliveries) {
        Some(deliveries) => Ok(deliveries),
        None => judge_deliveries(value),
    }
}

fn judge_deliveries(value: Option<&[u8]>) -> Result<Vec<Delivery<'_>>, Refusal> {
    json::check_size("record", value.map_or(0, <[u8]>::len), DELIVERIES_VALUE_BYTES_MAX)?;
    let mut count = 0;
    read_messages(value, "deliveries", "recipients", |posted, message| {
        let recipients = message.ids("recipients")?;
        count += recipients.len();
        if count > RECIPIENTS_MAX {
            return Err(json::oversize(format!(
                "`recipients`: more than {RECIPIENTS_MAX} in one record, which is the most"
            )));
        }
        Ok(Delivery { posted, recipients })
    })
}

/// A record of `inbox` as its reader gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxView<'a> {
    pub messages: Vec<InboxMessage<'a>>,
}

/// A message and the entries that it became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxMessage<'a> {
    pub posted: Posted<'a>,
    pub entries: Vec<Entry<'a>>,
}

/// The message in one inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    pub user: Cow<'a, str>,
    /// From 1 on, without a gap.
    pub seq: i64,
}

impl<'a> InboxView<'a> {
    /// Reads a record's value.
    pub fn decode(value: &'a [u8]) -> Result<Self, Refusal> {
        let messages = read_messages(Some(value), "inbox", "entries", |posted, message| {
            let entries = message.parts("entries")?.into_iter().map(|raw| {
                let entry = Object::read_nested("entry", raw, ENTRY_DEPTH)?;
                Ok(Entry { user: entry.id("user")?, seq: entry.integer("seq", 1..=INTEGER_MAX)? })
            });
            Ok(InboxMessage { posted, entries: entries.collect::<Result<_, Refusal>>()? })
        })?;
        Ok(Self { messages })
    }
}

/// The messages of a record; `recipients` names the field that `rest` is to judge.
fn read_messages<'a, T>(
    value: Option<&'a [u8]>,
    kind: &str,
    recipients: &str,
    mut rest: impl FnMut(Posted<'a>, &Object<'a>) -> Result<T, Refusal>,
) -> Result<Vec<T>, Refusal> {
    let record = Object::read_record(value, kind, Some("messages"))?;
    let read = |raw: &'a RawValue| {
        let message = Object::read_part("message", raw)?;
        message.check_nested(&["body", recipients], MESSAGE_DEPTH)?;
        rest(read_posted(&message)?, &message)
    };
    record.parts("messages")?.into_iter().map(read).collect()
}

fn read_posted<'a>(message: &Object<'a>) -> Result<Posted<'a>, Refusal> {
    Ok(Posted {
        conversation: message.conversation("conversation")?,
        seq: message.integer("seq", 1..=INTEGER_MAX)?,
        sender: message.id("sender")?,
        client_id: message.id("client_id")?,
        session: message.id_field("session")?.optional("session")?,
        sent_at: message.integer_field("sent_at", ANY_INTEGER)?.optional("sent_at")?,
        accepted_at: message.integer("accepted_at", ANY_INTEGER)?,
        body: message.opaque("body", BODY_BYTES_MAX)?,
    })
}

#[cfg(test)]
mod tests;
