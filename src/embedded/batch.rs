//! Records as they are stored: in batches of those that were appended together. One write, one entry of the
//! database and one look at it then serve many records.
//!
//! A batch has a version, the time of all its records and the offset of the first; then each record's key,
//! value and headers. It is stored under the offset of its last record, so that the first batch from an
//! offset on is the one that holds it.

use bytes::Bytes;

use super::codec::{Decoder, Encoder};
use crate::log::{Header, Offset, OutRecord};

const VERSION: u8 = 2;
/// Bytes of records in a batch; a larger record has one of its own. Whoever looks for a record reads on
/// average half of a batch in vain.
const BATCH_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a record in its batch, beside key, value and headers.
pub(super) const RECORD_BYTES: usize = 12;

/// A record read back; key and value borrow from what was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct StoredRecord<'a> {
    pub time_ms: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: Vec<Header>,
    /// Bytes that it takes in its batch.
    pub size_bytes: usize,
}

/// The records of a batch that is being made.
#[derive(Debug, Default)]
pub(super) struct Records(Encoder);

impl Records {
    pub fn is_empty(&self) -> bool {
        self.0.len() == 0
    }

    /// Whether the batch is to be finished before `record` is added.
    pub fn is_full_for(&self, record: &OutRecord) -> bool {
        !self.is_empty() && self.0.len() + record.size_bytes() > BATCH_BYTES_MAX
    }

    /// With room for records of so many bytes, or for a full batch of them.
    pub fn with_capacity(bytes: usize) -> Self {
        Self(Encoder::with_capacity(bytes.min(BATCH_BYTES_MAX)))
    }

    /// Adds the record at `offset`, the one behind that of the last call. The time is that of the first.
    pub fn push(&mut self, record: &OutRecord, offset: Offset, time_ms: i64) {
        if self.is_empty() {
            self.0.u8(VERSION);
            self.0.i64(time_ms);
            self.0.i64(offset);
        }
        self.0.optional(record.key.as_deref());
        self.0.optional(record.value.as_deref());
        self.0.u32(record.headers.len() as u32);
        for header in &record.headers {
            self.0.optional(Some(header.name.as_bytes()));
            self.0.optional(header.value.as_deref());
        }
    }

    /// The batch as it is stored; what comes next is the first of another one.
    pub fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0).finish()
    }
}

/// A batch that is read.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    pub time_ms: i64,
    next: Offset,
    last: Offset,
    decoder: Decoder<'a>,
}

impl<'a> Batch<'a> {
    /// The batch whose last record is at `last`. `None` when the bytes are no batch of a version that is
    /// known here.
    pub fn open(last: Offset, bytes: &'a [u8]) -> Option<Self> {
        let mut decoder = Decoder::new(bytes);
        if decoder.u8()? != VERSION {
            return None;
        }
        let (time_ms, next) = (decoder.i64()?, decoder.i64()?);
        (0..=last).contains(&next).then_some(Self { time_ms, next, last, decoder })
    }

    /// Whether there is a further record.
    pub fn has_more(&self) -> bool {
        self.next <= self.last
    }

    /// The next record with its offset. `None` when the bytes are damaged, or nothing is left.
    pub fn read(&mut self) -> Option<(Offset, StoredRecord<'a>)> {
        if !self.has_more() {
            return None;
        }
        let (offset, before) = (self.next, self.decoder.left());
        self.next += 1;
        let key = self.decoder.optional()?;
        let value = self.decoder.optional()?;
        let mut headers = Vec::new();
        for _ in 0..self.decoder.u32()? {
            let name = std::str::from_utf8(self.decoder.optional()??).ok()?.to_owned();
            let value = self.decoder.optional()?.map(Bytes::copy_from_slice);
            headers.push(Header { name, value });
        }
        if !self.has_more() && !self.decoder.is_finished() {
            return None;
        }
        let size_bytes = before - self.decoder.left();
        Some((offset, StoredRecord { time_ms: self.time_ms, key, value, headers, size_bytes }))
    }
}

#[cfg(test)]
mod tests;
