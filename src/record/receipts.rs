//! `read`, the record of `receipts`: how far a user has read.

use std::borrow::Cow;

use super::{
    Refusal,
    json::{self, NOT_NEGATIVE, Object},
    json_writer::JsonWriter,
};
use crate::{limits::RECEIPT_BYTES_MAX, topology::Topic};

mod scan;

/// A user has read its inbox up to `inbox`, or a conversation up to `seq`, or both: at least one of them is
/// there, and `conversation` and `seq` only together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read<'a> {
    pub user: Cow<'a, str>,
    pub inbox: Option<i64>,
    pub conversation: Option<Cow<'a, str>>,
    pub seq: Option<i64>,
}

/// Decodes a value of `receipts`. Nothing is said about the partition, nor about what there is to be read.
pub fn decode(value: Option<&[u8]>) -> Result<Read<'_>, Refusal> {
    match value.and_then(scan::read) {
        Some(read) => Ok(read),
        None => judge(value),
    }
}

fn judge(value: Option<&[u8]>) -> Result<Read<'_>, Refusal> {
    json::check_size("record", value.map_or(0, <[u8]>::len), RECEIPT_BYTES_MAX)?;
    let object = Object::read(json::text(value)?)?;
    object.check_version()?;
    let kind = object.text("type")?;
    if kind != "read" {
        return Err(json::unknown_type(Topic::Receipts, &kind));
    }
    object.check_nested(&[], 1)?;
    let position = |name: &str| object.integer_field(name, NOT_NEGATIVE)?.optional(name);
    let read = Read {
        user: object.id("user")?,
        inbox: position("inbox")?,
        conversation: object.conversation_field("conversation")?.optional("conversation")?,
        seq: position("seq")?,
    };
    match (&read.inbox, &read.conversation, &read.seq) {
        (_, Some(_), None) => Err(json::invalid("`seq` is missing: up to where is `conversation` read?")),
        (_, None, Some(_)) => {
            Err(json::invalid("`conversation` is missing: `seq` is a number in which one?"))
        }
        (None, None, None) => {
            Err(json::invalid("`inbox` is missing, and so are `conversation` and `seq`; give one or both"))
        }
        _ => Ok(read),
    }
}

#[must_use]
pub fn encode(read: &Read<'_>) -> Vec<u8> {
    let mut writer = JsonWriter::record("read", 160);
    writer.text("user", &read.user);
    writer.optional_integer("inbox", read.inbox);
    writer.optional_text("conversation", read.conversation.as_deref());
    writer.optional_integer("seq", read.seq);
    writer.end_object();
    writer.into_vec()
}

#[cfg(test)]
mod tests;
