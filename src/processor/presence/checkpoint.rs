//! A bucket's state as bytes: compact, versioned and canonical, so that equal states have equal bytes.
//!
//! It holds every user who is not announced offline or has a live session, a tombstone or an offline that
//! waits; of all others the row in the store says everything. Users and sessions are in the order of their
//! bytes; names that sessions share are written once; numbers are varints, times as differences to the clock
//! of the checkpoint.

use bytes::Bytes;

use super::{bucket::Bucket, clock::LeaseClock, names::NO_NAME, people::People, session::code, user::Extra};
use crate::{
    log::Offset,
    mutant::{self, Mutant},
    processor::RestoreError,
    record::{
        heartbeats::Choice,
        transition::{Cause, Status},
    },
};
use codec::Writer;

mod codec;
mod restore;

const VERSION: u8 = 1;

// Of a user.
const EXTRA: u8 = 1 << 2;
// Of its extra, beside the choice in the two low bits.
const UNTIL: u8 = 1 << 2;
const STATUS_TEXT: u8 = 1 << 3;
const ACTIVITY: u8 = 1 << 4;
const PENDING: u8 = 1 << 5;
const SILENT: u8 = 1 << 6;
// Of a session, beside its status in the two low bits.
const BUSY: u8 = 1 << 2;
const METADATA: u8 = 1 << 3;
const END: u8 = 1 << 4;

/// The bytes of a bucket as of its origin; `clock` is the lease clock there.
pub(super) fn encode(bucket: &mut Bucket, clock: &LeaseClock) -> Bytes {
    let mut users: Vec<u32> = bucket.people.users().collect();
    for user in &users {
        bucket.wake(*user, bucket.origin);
    }
    let people = &bucket.people;
    users.retain(|user| !people.may_leave(*user));
    if mutant::is(Mutant::InvisibleNotInCheckpoint) {
        users.retain(|user| people.user(*user).public() != Status::Offline);
    }
    users.sort_unstable_by_key(|user| people.user_bytes(*user));
    let mut names: Vec<(&str, u32)> = people.names().map(|(name, text)| (text, name)).collect();
    names.sort_unstable();

    let mut writer = Writer::default();
    writer.byte(VERSION);
    writer.text(&clock.to_resume());
    writer.signed(bucket.origin);
    encode_brake(bucket, &mut writer);
    writer.unsigned(names.len() as u64);
    names.iter().for_each(|(text, _)| writer.text(text));
    writer.unsigned(users.len() as u64);
    // Where each name stands in the list, counted from 1.
    let mut places = vec![0; names.iter().map(|(_, name)| *name as usize + 1).max().unwrap_or(1)];
    names.iter().zip(1..).for_each(|((_, name), place)| places[*name as usize] = place);
    for user in users {
        encode_user(people, user, clock, &places, &mut writer);
    }
    writer.into_bytes()
}

/// The bucket that [`encode`] wrote, and the lease clock at its origin. Nothing in the bytes is trusted.
pub(super) fn decode(
    bucket: u32,
    buckets: u32,
    origin: Offset,
    bytes: &[u8],
) -> Result<(Bucket, LeaseClock), RestoreError> {
    restore::restore(bucket, buckets, origin, bytes).map_err(|what| {
        RestoreError(format!(
            "the checkpoint of bucket {bucket} at {origin} of heartbeats cannot be used ({what}); start the \
             version that wrote it, or begin without it with `heartline adopt heartbeats --reason backup`"
        ))
    })
}

fn encode_brake(bucket: &Bucket, writer: &mut Writer) {
    let brake = bucket.brake;
    writer.signed(brake.heard_ms);
    writer.optional(brake.returned_ms);
    writer.optional(brake.holding_since_ms);
    writer.signed(brake.window);
    writer.unsigned(brake.allowed);
    writer.unsigned(brake.gone);
}

fn encode_user(people: &People, user: u32, clock: &LeaseClock, places: &[u64], writer: &mut Writer) {
    let (one, extra) = (people.user(user), people.extra(user));
    writer.text(people.user_id(user));
    writer.byte(code(one.public()) | if extra.is_some() { EXTRA } else { 0 });
    writer.unsigned(one.version());
    writer.signed(people.last_seen_ms(user));
    if let Some(extra) = extra {
        encode_extra(extra, clock, writer);
    }
    let mut sessions: Vec<u32> = people.sessions_of(user).collect();
    sessions.sort_unstable_by_key(|session| people.session_bytes(*session));
    writer.unsigned(sessions.len() as u64);
    for session in sessions {
        encode_session(people, session, clock, places, writer);
    }
}

fn encode_extra(extra: &Extra, clock: &LeaseClock, writer: &mut Writer) {
    let choice = match extra.choice {
        None | Some(Choice::Auto) => 0,
        Some(Choice::Away) => 1,
        Some(Choice::Busy) => 2,
        Some(Choice::Invisible) => 3,
    };
    let flag = |on: bool, flag: u8| if on { flag } else { 0 };
    let pending = extra.pending.as_ref().filter(|_| !mutant::is(Mutant::PendingNotInCheckpoint));
    let none = mutant::is(Mutant::TombstonesNotInCheckpoint);
    let tombstones = if none { &[][..] } else { &extra.tombstones };
    writer.byte(
        choice
            | flag(extra.until_ms.is_some(), UNTIL)
            | flag(extra.status_text.is_some(), STATUS_TEXT)
            | flag(extra.activity.is_some(), ACTIVITY)
            | flag(pending.is_some(), PENDING)
            | flag(extra.silent_below > 0, SILENT),
    );
    extra.until_ms.iter().for_each(|until_ms| writer.signed(*until_ms));
    extra.status_text.iter().chain(&extra.activity).for_each(|text| writer.text(text));
    if let Some(pending) = pending {
        writer.signed(pending.due_ms - clock.now_ms);
        writer.byte(cause_code(pending.origin.cause));
        for text in [&pending.origin.session, &pending.origin.device] {
            // No id is empty.
            writer.text(text.as_deref().unwrap_or_default());
        }
        writer.signed(pending.origin.occurred_at_ms);
    }
    if extra.silent_below > 0 {
        writer.signed(extra.silent_below);
    }
    writer.unsigned(tombstones.len() as u64);
    for tombstone in tombstones {
        writer.text(&tombstone.session);
        writer.signed(tombstone.epoch);
        writer.signed(tombstone.counter);
        writer.signed(tombstone.due_ms - clock.now_ms);
    }
}

fn encode_session(people: &People, session: u32, clock: &LeaseClock, places: &[u64], writer: &mut Writer) {
    let (one, extra) = (people.session(session), people.session_extra(session));
    let end = extra.end.filter(|_| !mutant::is(Mutant::FarewellsNotInCheckpoint));
    let metadata = extra.metadata.filter(|_| !mutant::is(Mutant::MetadataNotInCheckpoint));
    let row_s = if mutant::is(Mutant::RowTimesNotInCheckpoint) { 0 } else { one.row_s() };
    let (terms, linked) = (one.terms(people.pair(session), people.lease_ms(session)), people.linked(session));
    let flag = |on: bool, flag: u8| if on { flag } else { 0 };
    writer.text(people.session_id(session));
    writer.byte(
        code(one.status())
            | flag(terms.busy, BUSY)
            | flag(metadata.is_some(), METADATA)
            | flag(end.is_some(), END),
    );
    writer.signed(terms.epoch);
    writer.signed(terms.counter);
    writer.signed(clock.now_ms - terms.beat_clock_ms);
    writer.signed(terms.beat_time_ms - time_base_ms(clock));
    writer.unsigned(terms.lease_ms as u64);
    writer.unsigned(terms.idle_ms as u64);
    for name in [linked.device, linked.gateway] {
        writer.unsigned(if name == NO_NAME { 0 } else { places[name as usize] });
    }
    writer.signed(time_base_ms(clock) / 1_000 - i64::from(row_s));
    metadata.iter().for_each(|hash| writer.fixed(*hash));
    if let Some(end) = end {
        writer.signed(end.due_ms - clock.now_ms);
        writer.signed(end.said_ms);
    }
}

/// What record times are written as differences to.
fn time_base_ms(clock: &LeaseClock) -> i64 {
    clock.beacon.as_ref().map_or(0, |beacon| beacon.time_ms)
}

/// The causes that can wait to be announced.
fn cause_code(cause: Cause) -> u8 {
    match cause {
        Cause::Heartbeat => 0,
        Cause::Goodbye => 1,
        Cause::Expired => 2,
        Cause::Idle => 3,
        Cause::GatewayGone => 4,
        Cause::Status => 5,
    }
}
