//! Dead letters: the original record with headers that say why it, or a part of it, was refused.
//!
//! A dead letter must always be producible, else one record could block its partition: whatever of the
//! original would make it too large is cut, and a header says so.

use bytes::Bytes;

use super::{Refusal, heartbeats::RefusedPart, json_writer::JsonWriter};
use crate::{
    limits::DEAD_LETTER_VALUE_BYTES_MAX,
    log::{Header, OutRecord, PartitionId, RecordRef},
    topology::{Topic, Topology},
};

/// Bytes of key, value and headers together: a producer's default is to refuse a request above 1,000,000.
const RECORD_BYTES_MAX: usize = 960 * 1024;
/// Bytes of the original key and of the original headers that are kept; real ones are far smaller.
const KEY_BYTES_MAX: usize = 16 * 1024;
const ORIGINAL_HEADERS_BYTES_MAX: usize = 16 * 1024;
/// Bytes of the list of refused parts; a batch can have tens of thousands of them.
const REFUSED_BYTES_MAX: usize = 24 * 1024;
/// Bytes of a message, of a sender and of a client id.
const TEXT_BYTES_MAX: usize = 1024;

// What is not the value has its bound, and beside it a value of the full size has its place.
const _: () = assert!(
    KEY_BYTES_MAX + ORIGINAL_HEADERS_BYTES_MAX + REFUSED_BYTES_MAX + 4 * TEXT_BYTES_MAX
        <= RECORD_BYTES_MAX - DEAD_LETTER_VALUE_BYTES_MAX
);

/// Names of the headers; those of an original that was a dead letter before give way.
pub const TOPIC: &str = "__connect.errors.topic";
pub const PARTITION: &str = "__connect.errors.partition";
pub const OFFSET: &str = "__connect.errors.offset";
pub const MESSAGE: &str = "__connect.errors.exception.message";
pub const REASON: &str = "heartline.reason";
pub const SENDER: &str = "heartline.sender";
pub const CLIENT_ID: &str = "heartline.client_id";
/// A JSON list of `{"index":…,"reason":…,"detail":…}`.
pub const REFUSED: &str = "heartline.refused";
/// How many refused parts the list leaves off, where it had to be cut.
pub const REFUSED_LEFT_OFF: &str = "heartline.refused_left_off";
/// Bytes of the original value, where key, value or headers had to be cut.
pub const TRUNCATED: &str = "heartline.truncated";

const OWN: [&str; 10] =
    [TOPIC, PARTITION, OFFSET, MESSAGE, REASON, SENDER, CLIENT_ID, REFUSED, REFUSED_LEFT_OFF, TRUNCATED];

/// Who sent the record, where that is known.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sender<'a> {
    pub sender: Option<&'a str>,
    pub client_id: Option<&'a str>,
}

/// The dead letter of a record that is refused as a whole (`parts` empty) or in parts. The record's headers
/// must have been read.
#[must_use]
pub fn dead_letter(
    topology: &Topology,
    input: Topic,
    partition: PartitionId,
    record: &RecordRef<'_>,
    refusal: &Refusal,
    parts: &[RefusedPart],
    sender: Sender<'_>,
) -> OutRecord {
    let key = record.key.map(|key| &key[..key.len().min(KEY_BYTES_MAX)]);
    let value = record.value.map(|value| &value[..value.len().min(DEAD_LETTER_VALUE_BYTES_MAX)]);
    let original = record.headers.unwrap_or_default();
    let mut headers = original_headers(original);
    let cut = key.map(<[u8]>::len) != record.key.map(<[u8]>::len)
        || value.map(<[u8]>::len) != record.value.map(<[u8]>::len)
        || headers.len() != original.iter().filter(|header| !is_own(header)).count();

    let mut add =
        |name: &str, value: Bytes| headers.push(Header { name: name.to_owned(), value: Some(value) });
    add(TOPIC, Bytes::from_static(input.name().as_bytes()));
    add(PARTITION, partition.to_string().into());
    add(OFFSET, record.offset.to_string().into());
    add(MESSAGE, bounded(&refusal.message));
    add(REASON, Bytes::from_static(refusal.reason.name().as_bytes()));
    for (name, text) in [(SENDER, sender.sender), (CLIENT_ID, sender.client_id)] {
        if let Some(text) = text {
            add(name, bounded(text));
        }
    }
    if !parts.is_empty() {
        let (list, left_off) = refused_list(parts);
        add(REFUSED, list);
        if left_off > 0 {
            add(REFUSED_LEFT_OFF, left_off.to_string().into());
        }
    }
    if cut {
        add(TRUNCATED, record.value.map_or(0, <[u8]>::len).to_string().into());
    }
    OutRecord {
        topic: Topic::DeadLetters,
        partition: match record.key {
            Some(key) => topology.place(Topic::DeadLetters, key),
            None => partition % topology.partitions(Topic::DeadLetters),
        },
        key: key.map(Bytes::copy_from_slice),
        value: value.map(Bytes::copy_from_slice),
        headers,
    }
}

/// The original's headers as far as there is room for them, each whole.
fn original_headers(headers: &[Header]) -> Vec<Header> {
    // A header costs a few bytes of framing even when it is empty.
    const FRAMING_BYTES: usize = 16;
    let mut room = ORIGINAL_HEADERS_BYTES_MAX;
    let mut kept = Vec::new();
    for header in headers.iter().filter(|header| !is_own(header)) {
        let bytes = FRAMING_BYTES + header.name.len() + header.value.as_ref().map_or(0, Bytes::len);
        let Some(rest) = room.checked_sub(bytes) else { break };
        room = rest;
        kept.push(header.clone());
    }
    kept
}

fn is_own(header: &Header) -> bool {
    OWN.contains(&header.name.as_str())
}

/// The list of refused parts, and how many it leaves off.
fn refused_list(parts: &[RefusedPart]) -> (Bytes, usize) {
    let mut writer = JsonWriter::array();
    let mut left_off = 0;
    for (at, part) in parts.iter().enumerate() {
        let before = writer.len();
        writer.begin_part();
        writer.integer("index", i64::from(part.index));
        writer.text("reason", part.refusal.reason.name());
        writer.text("detail", &part.refusal.message);
        writer.end_object();
        if writer.len() >= REFUSED_BYTES_MAX {
            writer.truncate(before);
            left_off = parts.len() - at;
            break;
        }
    }
    writer.end_array();
    (writer.into_bytes(), left_off)
}

fn bounded(text: &str) -> Bytes {
    let end = (0..=text.len().min(TEXT_BYTES_MAX)).rev().find(|at| text.is_char_boundary(*at));
    Bytes::copy_from_slice(&text.as_bytes()[..end.unwrap_or(0)])
}

#[cfg(test)]
mod tests;
