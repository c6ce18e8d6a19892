//! `presence` (bucket; user, session): what readers see of a user and of its live sessions.
//!
//! * Session `''` is the user's own row: no TTL, since versions must never restart. Other rows are live sessions: TTL
//!   one day, refreshed by record time, deleted when the session ends.
//! * Overwritten in place: timestamp base + offset of the record that caused the change.
//! * Writer: the owner of the bucket's `heartbeats` partition. Readers: `/v1/presence`, `heartline presence`, and the
//!   fold at a user's first record, by slice (bucket, user); never a whole bucket.

use super::{Column, Kind, Table, column};

/// Both kinds of row have all columns; those of the other kind are null.
pub static PRESENCE: Table = Table {
    name: "presence",
    partition: &[column("bucket", Kind::Int)],
    clustering: &[column("user", Kind::Text), column("session", Kind::Text)],
    statics: &[],
    cells: CELLS,
};

const CELLS: &[Column] = &[
    // The position after the record that wrote this row.
    column("origin", Kind::BigInt),
    // Of a user its public status, of a session its own: offline, away, online, busy.
    column("status", Kind::Text),
    // The user's own choice (auto is null), and the record time until which it holds.
    column("choice", Kind::Text),
    column("until_ms", Kind::BigInt),
    column("status_text", Kind::Text),
    column("activity", Kind::Text),
    column("version", Kind::BigInt),
    column("last_seen_ms", Kind::BigInt),
    column("device", Kind::Text),
    column("gateway", Kind::Text),
    column("metadata", Kind::Text),
];
