//! `presence_checkpoints` (bucket; slot, chunk): what a successor loads instead of a bucket's rows.
//!
//! * Two slots alternate; chunk -1 is the slot's header and is written last, after its chunks 0.. are acknowledged. The
//!   newest slot whose chunks are all there, carry the header's origin and match its checksum counts.
//! * Overwritten in place: timestamp base + origin. No TTL.
//! * Writer: the owner of the bucket's `heartbeats` partition, after the rows below the origin are acknowledged. Reader:
//!   the next owner.

use super::{Column, Kind, Table, column};

pub static CHECKPOINTS: Table = Table {
    name: "presence_checkpoints",
    partition: &[column("bucket", Kind::Int)],
    clustering: &[column("slot", Kind::Int), column("chunk", Kind::Int)],
    statics: &[],
    cells: CELLS,
};

/// The clustering value of a slot's header.
pub const HEADER: i32 = -1;

const CELLS: &[Column] = &[
    column("origin", Kind::BigInt),
    // Of a header: how many chunks, and the CRC-32 of all their bytes.
    column("chunks", Kind::Int),
    column("crc", Kind::BigInt),
    // Of a chunk.
    column("data", Kind::Blob),
];
