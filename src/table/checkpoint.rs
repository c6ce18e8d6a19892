//! `presence_checkpoints` (bucket; slot, chunk): what a successor loads instead of a bucket's rows.
//!
//! * Two slots alternate; chunk -1 is the slot's header and is written last, after its chunks 0.. are
//!   acknowledged. The newest slot whose chunks are all there, carry the header's origin and match its
//!   checksum counts.
//! * Overwritten in place: timestamp base + origin. No TTL.
//! * Writer: the owner of the bucket's `heartbeats` partition, after the rows below the origin are
//!   acknowledged. Reader: the next owner.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::{Column, Kind, Stage, Table, Value, Writing, column};
use crate::{
    limits::CHECKPOINT_CHUNK_BYTES,
    processor::Checkpoint,
    store::{Change, Query, Row, Select, Statement, WriteBatch},
};

pub static CHECKPOINTS: Table = Table {
    name: "presence_checkpoints",
    partition: &[column("bucket", Kind::Int)],
    clustering: &[column("slot", Kind::Int), column("chunk", Kind::Int)],
    statics: &[],
    cells: CELLS,
    stage: Stage::First,
    writing: Writing::InPlace,
};

/// The clustering value of a slot's header.
pub const HEADER: i32 = -1;

const CELLS: &[Column] = &[
    // The position after the last record that changed the bucket.
    column("origin", Kind::BigInt),
    // Of a header: the timestamp base of the topic's generation, how many chunks, the CRC-32 of all their
    // bytes, and what the fold needs at the origin.
    column("base_us", Kind::BigInt),
    column("chunks", Kind::Int),
    column("crc", Kind::BigInt),
    column("resume", Kind::Text),
    // Of a chunk.
    column("data", Kind::Blob),
];

/// The header of a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotHeader {
    pub slot: i32,
    pub origin: i64,
    pub base_us: i64,
    pub chunks: i32,
    pub crc: u32,
    pub resume: String,
}

impl SlotHeader {
    #[must_use]
    pub fn from_row(row: &Row) -> Option<Self> {
        let ([slot, _], [origin, base_us, chunks, crc, resume, _]) = (&*row.clustering, &*row.cells) else {
            return None;
        };
        Some(Self {
            slot: slot.as_int()?,
            origin: origin.as_big_int()?,
            base_us: base_us.as_big_int()?,
            chunks: chunks.as_int()?,
            crc: u32::try_from(crc.as_big_int()?).ok()?,
            resume: resume.as_text()?.to_owned(),
        })
    }
}

fn bucket_key(bucket: u32) -> Arc<[Value]> {
    Arc::new([Value::Int(bucket as i32)])
}

fn clustering(slot: i32, chunk: i32) -> Box<[Value]> {
    Box::new([Value::Int(slot), Value::Int(chunk)])
}

/// Reads the headers of both slots.
#[must_use]
pub fn headers_query(bucket: u32) -> Query {
    let keys = vec![clustering(0, HEADER), clustering(1, HEADER)];
    Query { table: &CHECKPOINTS, partition: bucket_key(bucket), select: Select::Keys(keys) }
}

/// Reads the chunks that a header names.
#[must_use]
pub fn chunks_query(bucket: u32, header: &SlotHeader) -> Query {
    let select = Select::Slice {
        prefix: Box::new([Value::Int(header.slot)]),
        after: Some(Value::Int(HEADER)),
        descending: false,
        limit: header.chunks.max(0) as u32,
    };
    Query { table: &CHECKPOINTS, partition: bucket_key(bucket), select }
}

/// The checkpoint's bytes, if the chunks are exactly those that the header names.
#[must_use]
pub fn assemble(header: &SlotHeader, chunks: &[Row]) -> Option<Bytes> {
    if chunks.len() != usize::try_from(header.chunks).ok()? {
        return None;
    }
    let mut bytes = BytesMut::new();
    for (index, row) in chunks.iter().enumerate() {
        let ([slot, chunk], [origin, .., data]) = (&*row.clustering, &*row.cells) else { return None };
        let same = slot.as_int()? == header.slot
            && usize::try_from(chunk.as_int()?) == Ok(index)
            && origin.as_big_int()? == header.origin;
        if !same {
            return None;
        }
        bytes.extend_from_slice(data.as_blob()?);
    }
    (crc32fast::hash(&bytes) == header.crc).then(|| bytes.freeze())
}

/// The writes of a checkpoint: its chunks, each a batch of its own, and the header that must follow them.
#[must_use]
pub fn checkpoint_writes(
    bucket: u32,
    slot: i32,
    base_us: i64,
    checkpoint: &Checkpoint,
) -> (Vec<WriteBatch>, WriteBatch) {
    let Checkpoint { origin, resume, bytes } = checkpoint;
    let batch = |chunk: i32, cells: [Value; 6]| {
        WriteBatch::new(
            &CHECKPOINTS,
            bucket_key(bucket),
            vec![Statement {
                clustering: clustering(slot, chunk),
                change: Change::Upsert(Box::new(cells)),
                timestamp_us: base_us + origin,
                ttl_s: None,
            }],
        )
    };
    let origin = Value::BigInt(*origin);
    let starts = (0..bytes.len()).step_by(CHECKPOINT_CHUNK_BYTES);
    let chunks: Vec<_> = starts
        .enumerate()
        .map(|(index, start)| {
            let data = bytes.slice(start..bytes.len().min(start + CHECKPOINT_CHUNK_BYTES));
            let cells =
                [origin.clone(), Value::Null, Value::Null, Value::Null, Value::Null, Value::blob(data)];
            batch(index as i32, cells)
        })
        .collect();
    let crc = Value::BigInt(i64::from(crc32fast::hash(bytes)));
    let count = Value::Int(chunks.len() as i32);
    let cells = [origin.clone(), Value::BigInt(base_us), count, crc, Value::text(resume), Value::Null];
    let header = batch(HEADER, cells);
    (chunks, header)
}

#[cfg(test)]
mod tests;
