//! A row as it is stored, and CQL's rule of which write wins.
//!
//! Cell by cell the greatest timestamp wins, whatever the order of arrival. Among equal ones a tombstone wins
//! over a value, an expiring value over one that stays, the later expiry, at last the greater bytes. A delete
//! covers what is not newer than itself. A cell that has expired still hides older writes, until the whole
//! row is swept.

use bytes::Bytes;

use crate::{
    embedded::codec::{Decoder, Encoder},
    table::{Kind, Value},
};

const VERSION: u8 = 1;
/// For so long after its last change a row without anything alive still hides older writes that arrive late.
pub(in crate::embedded) const GRACE_MS: i64 = 86_400_000;

/// When a cell or a row marker was written and until when it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub timestamp_us: i64,
    /// Wall clock.
    pub expires_ms: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Cell {
    stamp: Stamp,
    /// `None` is a tombstone.
    value: Option<Bytes>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct StoredRow {
    /// Wall clock of the last change.
    written_ms: i64,
    /// Everything up to this timestamp is deleted.
    deleted_us: Option<i64>,
    /// Says that the row exists even if all its cells are null. Static cells have none.
    marker: Option<Stamp>,
    cells: Vec<Option<Cell>>,
}

impl StoredRow {
    /// Applies an upsert of all cells; `marked` for a row, not for static cells.
    pub fn upsert(&mut self, stamp: Stamp, marked: bool, values: Vec<Option<Bytes>>, now_ms: i64) {
        self.written_ms = self.written_ms.max(now_ms);
        if self.covers(stamp) {
            return;
        }
        if marked && self.marker.is_none_or(|marker| marker.rank() < stamp.rank()) {
            self.marker = Some(stamp);
        }
        self.cells.resize(self.cells.len().max(values.len()), None);
        for (cell, value) in self.cells.iter_mut().zip(values) {
            let stamp = if value.is_some() { stamp } else { Stamp { expires_ms: None, ..stamp } };
            let written = Cell { stamp, value };
            if cell.as_ref().is_none_or(|cell| cell.rank() < written.rank()) {
                *cell = Some(written);
            }
        }
    }

    pub fn delete(&mut self, timestamp_us: i64, now_ms: i64) {
        self.written_ms = self.written_ms.max(now_ms);
        self.deleted_us = self.deleted_us.max(Some(timestamp_us));
        if self.marker.is_some_and(|marker| self.covers(marker)) {
            self.marker = None;
        }
        let deleted_us = self.deleted_us;
        for cell in &mut self.cells {
            if cell.as_ref().is_some_and(|cell| Some(cell.stamp.timestamp_us) <= deleted_us) {
                *cell = None;
            }
        }
    }

    /// The values of the live cells, if the row exists; columns beyond those stored are null.
    pub fn live(&self, now_ms: i64) -> Option<impl Iterator<Item = Option<&Bytes>>> {
        let value = move |cell: &Option<Cell>| -> bool {
            cell.as_ref().is_some_and(|cell| cell.value.is_some() && cell.stamp.lives(now_ms))
        };
        let exists = self.marker.is_some_and(|marker| marker.lives(now_ms)) || self.cells.iter().any(value);
        exists.then(|| {
            self.cells
                .iter()
                .map(move |cell| cell.as_ref().filter(|cell| cell.stamp.lives(now_ms))?.value.as_ref())
        })
    }

    /// Whether nothing of it has been alive, and nothing was written, for the grace time.
    pub fn is_garbage(&self, now_ms: i64) -> bool {
        let before_ms = now_ms.saturating_sub(GRACE_MS);
        self.written_ms < before_ms && self.live(before_ms).is_none() && self.live(now_ms).is_none()
    }

    fn covers(&self, stamp: Stamp) -> bool {
        Some(stamp.timestamp_us) <= self.deleted_us
    }
}

impl Stamp {
    fn lives(self, now_ms: i64) -> bool {
        self.expires_ms.is_none_or(|expires_ms| now_ms < expires_ms)
    }

    /// `None` sorts below every expiry: what expires wins over what stays.
    fn rank(self) -> (i64, Option<i64>) {
        (self.timestamp_us, self.expires_ms)
    }
}

impl Cell {
    fn rank(&self) -> (i64, bool, Option<i64>, Option<&Bytes>) {
        let Stamp { timestamp_us, expires_ms } = self.stamp;
        (timestamp_us, self.value.is_none(), expires_ms, self.value.as_ref())
    }
}

/// A value in CQL's binary form; null is `None`.
pub(super) fn value_bytes(value: &Value) -> Option<Bytes> {
    match value {
        Value::Null => None,
        Value::Int(number) => Some(Bytes::copy_from_slice(&number.to_be_bytes())),
        Value::BigInt(number) => Some(Bytes::copy_from_slice(&number.to_be_bytes())),
        Value::Text(text) => Some(Bytes::copy_from_slice(text.as_bytes())),
        Value::Blob(bytes) => Some(Bytes::clone(bytes)),
        Value::Boolean(value) => Some(Bytes::copy_from_slice(&[u8::from(*value)])),
    }
}

/// `None` when the bytes are no value of this kind.
pub(super) fn value_of(kind: Kind, bytes: &Bytes) -> Option<Value> {
    Some(match kind {
        Kind::Int => Value::Int(i32::from_be_bytes(bytes[..].try_into().ok()?)),
        Kind::BigInt => Value::BigInt(i64::from_be_bytes(bytes[..].try_into().ok()?)),
        Kind::Text => Value::text(std::str::from_utf8(bytes).ok()?),
        Kind::Blob => Value::blob(bytes.clone()),
        Kind::Boolean => Value::Boolean(bytes[..] != [0]),
    })
}

/// Of a cell: it is there, has a stamp of its own (else the marker's), has an expiry of its own.
const PRESENT: u8 = 1;
const OWN_STAMP: u8 = 2;
const EXPIRING: u8 = 4;

impl StoredRow {
    pub fn encode(&self) -> Vec<u8> {
        let values: usize = self.cells.iter().flatten().flat_map(|cell| &cell.value).map(Bytes::len).sum();
        let mut encoder = Encoder::with_capacity(40 + self.cells.len() * 5 + values);
        encoder.u8(VERSION);
        encoder.i64(self.written_ms);
        let times =
            [self.deleted_us, self.marker.map(|m| m.timestamp_us), self.marker.and_then(|m| m.expires_ms)];
        for time in times {
            encoder.u8(u8::from(time.is_some()));
            if let Some(time) = time {
                encoder.i64(time);
            }
        }
        encoder.u32(self.cells.len() as u32);
        for cell in &self.cells {
            self.encode_cell(&mut encoder, cell.as_ref());
        }
        encoder.finish()
    }

    /// Most cells were written together with the marker and share its timestamp and expiry.
    fn encode_cell(&self, encoder: &mut Encoder, cell: Option<&Cell>) {
        let Some(cell) = cell else {
            return encoder.u8(0);
        };
        let Stamp { timestamp_us, expires_ms } = cell.stamp;
        let shared = cell.value.is_some() && self.marker == Some(cell.stamp);
        let shared_tombstone =
            cell.value.is_none() && self.marker.is_some_and(|marker| marker.timestamp_us == timestamp_us);
        if shared || shared_tombstone {
            encoder.u8(PRESENT);
        } else {
            encoder.u8(PRESENT | OWN_STAMP | if expires_ms.is_some() { EXPIRING } else { 0 });
            encoder.i64(timestamp_us);
            if let Some(expires_ms) = expires_ms {
                encoder.i64(expires_ms);
            }
        }
        encoder.optional(cell.value.as_deref());
    }

    /// `None` when the bytes are no row of a version that is known here.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut decoder = Decoder::new(bytes);
        if decoder.u8()? != VERSION {
            return None;
        }
        let written_ms = decoder.i64()?;
        let deleted_us = decode_time(&mut decoder)?;
        let marked_us = decode_time(&mut decoder)?;
        let expires_ms = decode_time(&mut decoder)?;
        let marker = marked_us.map(|timestamp_us| Stamp { timestamp_us, expires_ms });
        let mut cells = Vec::new();
        for _ in 0..decoder.u32()? {
            cells.push(decode_cell(&mut decoder, marker)?);
        }
        decoder.is_finished().then_some(Self { written_ms, deleted_us, marker, cells })
    }
}

/// The outer `Option` is the damage.
fn decode_time(decoder: &mut Decoder<'_>) -> Option<Option<i64>> {
    match decoder.u8()? {
        0 => Some(None),
        1 => Some(Some(decoder.i64()?)),
        _ => None,
    }
}

/// The outer `Option` is the damage.
fn decode_cell(decoder: &mut Decoder<'_>, marker: Option<Stamp>) -> Option<Option<Cell>> {
    let flags = decoder.u8()?;
    if flags & PRESENT == 0 {
        return Some(None);
    }
    let stamp = match flags & OWN_STAMP {
        0 => marker?,
        _ => {
            let timestamp_us = decoder.i64()?;
            let expires_ms = if flags & EXPIRING == 0 { None } else { Some(decoder.i64()?) };
            Stamp { timestamp_us, expires_ms }
        }
    };
    let value = decoder.optional()?.map(Bytes::copy_from_slice);
    let stamp = if value.is_some() { stamp } else { Stamp { expires_ms: None, ..stamp } };
    Some(Some(Cell { stamp, value }))
}

#[cfg(test)]
mod tests;
