//! The rows of `presence` that the fold writes.

use std::sync::Arc;

use super::people::People;
use crate::{
    effect::{Output, Refresh},
    limits::SESSION_ROW_TTL_S,
    mutant::{self, Mutant},
    processor::Refreshed,
    record::heartbeats::Choice,
    store::{Change, Row, Statement},
    table::{
        Value,
        presence::{PRESENCE, SessionRow, UserRow, clustering, metadata_hash},
    },
};

pub(super) fn write_user(
    bucket: &Arc<[Value]>,
    people: &People,
    user: u32,
    generation: i32,
    output: &mut Output,
) {
    let (one, extra) = (people.user(user), people.extra(user));
    let row = UserRow {
        origin: output.origin(),
        status: one.public(),
        choice: extra.and_then(|extra| extra.choice).filter(|choice| *choice != Choice::Auto),
        until_ms: extra.and_then(|extra| extra.until_ms),
        status_text: extra.and_then(|extra| extra.status_text.as_deref()),
        activity: extra.and_then(|extra| extra.activity.as_deref()),
        version: one.version(),
        last_seen_ms: people.last_seen_ms(user),
        generation,
    };
    output.upsert(&PRESENCE, Arc::clone(bucket), clustering(people.user_id(user), ""), row.to_cells(), None);
}

/// Writes a session's row. Where its metadata is only in the store, the row is read and written again with
/// it.
pub(super) fn write_session(
    bucket: &Arc<[Value]>,
    people: &People,
    session: u32,
    metadata: Option<&str>,
    generation: i32,
    output: &mut Output,
) {
    let one = people.session(session);
    let hash = people.session_extra(session).metadata;
    let row = SessionRow {
        origin: output.origin(),
        status: one.status(),
        device: people.device(session),
        gateway: people.gateway(session),
        metadata: metadata.filter(|_| hash.is_some()),
        generation,
    };
    let cells = row.to_cells();
    let key = clustering(people.user_id(people.user_of(session)), people.session_id(session));
    match hash.filter(|_| metadata.is_none()) {
        None => output.upsert(&PRESENCE, Arc::clone(bucket), key, cells, Some(SESSION_ROW_TTL_S)),
        Some(hash) => output.rewrite(&PRESENCE, Arc::clone(bucket), key, cells, hash, SESSION_ROW_TTL_S),
    }
}

pub(super) fn delete_session(bucket: &Arc<[Value]>, people: &People, session: u32, output: &mut Output) {
    let user = people.user_id(people.user_of(session));
    output.delete(&PRESENCE, Arc::clone(bucket), clustering(user, people.session_id(session)));
}

/// Decides about a session's row that was read because the fold has only the hash of its metadata.
pub(super) fn refreshed(refresh: &Refresh, row: Option<&Row>) -> Refreshed {
    let Some(row) = row else { return Refreshed::Skip };
    let Ok(old) = SessionRow::from_cells(&row.cells) else { return Refreshed::Restore };
    let known = refresh.cells.as_deref().unwrap_or(&row.cells);
    let Ok(new) = SessionRow::from_cells(known) else { return Refreshed::Restore };
    if old.generation == new.generation && old.origin > refresh.offset {
        return Refreshed::Skip;
    }
    if old.metadata.map(metadata_hash) != Some(refresh.hash) {
        return Refreshed::Restore;
    }
    let metadata = old.metadata.filter(|_| !mutant::is(Mutant::RefreshWithoutMetadata));
    let new = SessionRow { origin: refresh.offset + 1, metadata, ..new };
    Refreshed::Write(Statement {
        clustering: refresh.clustering.clone(),
        change: Change::Upsert(new.to_cells()),
        timestamp_us: refresh.timestamp_us,
        ttl_s: Some(refresh.ttl_s),
    })
}

#[cfg(test)]
mod tests;
