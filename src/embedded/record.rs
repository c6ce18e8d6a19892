//! A record as it is stored: version, time, key, value, headers.

use bytes::Bytes;

use super::codec::{Decoder, Encoder};
use crate::log::{Header, OutRecord};

const VERSION: u8 = 1;

/// A record read back; key and value borrow from what was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct StoredRecord<'a> {
    pub time_ms: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: Vec<Header>,
}

pub(super) fn encode(record: &OutRecord, time_ms: i64) -> Vec<u8> {
    let mut encoder = Encoder::with_capacity(record.size_bytes() + 21 + 8 * record.headers.len());
    encoder.u8(VERSION);
    encoder.i64(time_ms);
    encoder.optional(record.key.as_deref());
    encoder.optional(record.value.as_deref());
    encoder.u32(record.headers.len() as u32);
    for header in &record.headers {
        encoder.optional(Some(header.name.as_bytes()));
        encoder.optional(header.value.as_deref());
    }
    encoder.finish()
}

/// `None` when the bytes are no record of a version that is known here.
pub(super) fn decode(bytes: &[u8]) -> Option<StoredRecord<'_>> {
    let mut decoder = Decoder::new(bytes);
    if decoder.u8()? != VERSION {
        return None;
    }
    let time_ms = decoder.i64()?;
    let key = decoder.optional()?;
    let value = decoder.optional()?;
    let mut headers = Vec::new();
    for _ in 0..decoder.u32()? {
        let name = std::str::from_utf8(decoder.optional()??).ok()?.to_owned();
        let value = decoder.optional()?.map(Bytes::copy_from_slice);
        headers.push(Header { name, value });
    }
    decoder.is_finished().then_some(StoredRecord { time_ms, key, value, headers })
}

/// The time of a record alone, for retention.
pub(super) fn decode_time_ms(bytes: &[u8]) -> Option<i64> {
    let mut decoder = Decoder::new(bytes);
    (decoder.u8()? == VERSION).then(|| decoder.i64()).flatten()
}

#[cfg(test)]
mod tests;
