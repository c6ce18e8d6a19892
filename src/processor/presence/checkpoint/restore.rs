//! Reading a checkpoint. Whatever the bytes are, the answer is a bucket that keeps its invariants, or a
//! refusal.

use super::{
    ACTIVITY, BUSY, END, EXTRA, METADATA, PENDING, SILENT, STATUS_TEXT, UNTIL, VERSION, cause_code,
    codec::{Read, Reader},
    time_base_ms,
};
use crate::{
    id::{bucket_of, check_id},
    limits::{SESSIONS_PER_USER_MAX, TOMBSTONES_PER_USER_MAX},
    log::Offset,
    mutant::{self, Mutant},
    processor::presence::{
        brake::Brake,
        bucket::Bucket,
        clock::LeaseClock,
        people::{People, ScheduledEnd, SessionExtra},
        session::{TIME_MS_MAX, Terms},
        user::{Extra, Origin, Pending, Tombstone, VERSION_MAX},
    },
    record::{
        heartbeats::Choice,
        transition::{Cause, Status},
    },
};

/// Times that a record can bring about, deadlines included, are far below; sums of them cannot overflow.
const FAR_MS: i64 = 1 << 60;

pub(super) fn restore(
    number: u32,
    buckets: u32,
    origin: Offset,
    bytes: &[u8],
) -> Result<(Bucket, LeaseClock), String> {
    let mut reader = Reader::new(bytes);
    let version = reader.byte()?;
    if version != VERSION {
        return Err(format!("its version is {version}, this build knows {VERSION}"));
    }
    let clock = LeaseClock::from_resume(reader.text()?).map_err(|error| error.0)?;
    let mut bucket = Bucket::new(number, origin, clock.now_ms);
    if reader.signed()? != origin {
        return Err("it is of another position".to_owned());
    }
    let brake = read_brake(&mut reader)?;
    if !mutant::is(Mutant::BrakeNotInCheckpoint) {
        bucket.brake = brake;
    }
    let names = read_names(&mut reader)?;
    let (users, mut last) = (reader.count()?, "");
    bucket.people = People::with_room_for(users);
    for _ in 0..users {
        let id = read_id(&mut reader, last)?;
        last = id;
        if bucket_of(id.as_bytes(), buckets) != number {
            return Err("a user is of another bucket".to_owned());
        }
        read_user(&mut reader, id, &clock, &names, &mut bucket)?;
    }
    reader.end()?;
    if !mutant::is(Mutant::DeadlinesNotRestored) {
        bucket.file_all(clock.now_ms, &clock.parameters);
    }
    Ok((bucket, clock))
}

fn read_brake(reader: &mut Reader<'_>) -> Read<Brake> {
    let brake = Brake {
        heard_ms: near(reader.signed()?)?,
        returned_ms: reader.optional()?.map(near).transpose()?,
        holding_since_ms: reader.optional()?.map(near).transpose()?,
        window: reader.signed()?,
        allowed: reader.unsigned()?,
        gone: reader.unsigned()?,
    };
    if brake.gone <= brake.allowed { Ok(brake) } else { Err("more sessions are gone than were allowed to") }
}

fn read_names<'a>(reader: &mut Reader<'a>) -> Read<Vec<&'a str>> {
    let mut names = Vec::new();
    for _ in 0..reader.count()? {
        names.push(read_id(reader, names.last().copied().unwrap_or_default())?);
    }
    Ok(names)
}

fn read_user(
    reader: &mut Reader<'_>,
    id: &str,
    clock: &LeaseClock,
    names: &[&str],
    bucket: &mut Bucket,
) -> Read<()> {
    let flags = reader.byte()?;
    let version = reader.unsigned()?;
    let last_seen_ms = time(reader.signed()?)?;
    if flags & !(0b11 | EXTRA) != 0 || version > VERSION_MAX {
        return Err("a user has unknown marks or no possible version");
    }
    let user = bucket.people.add_user(id);
    let one = bucket.people.user_mut(user);
    one.set_version(version);
    one.set_public(status(flags));
    bucket.people.see(user, last_seen_ms);
    if flags & EXTRA != 0 {
        let extra = read_extra(reader, clock)?;
        bucket.people.edit(user, |place| *place = extra);
    }
    let sessions = reader.count()?;
    if sessions > SESSIONS_PER_USER_MAX {
        return Err("a user has too many sessions");
    }
    let mut last = "";
    for _ in 0..sessions {
        let id = read_id(reader, last)?;
        last = id;
        read_session(reader, user, id, clock, names, bucket)?;
    }
    Ok(())
}

fn read_extra(reader: &mut Reader<'_>, clock: &LeaseClock) -> Read<Extra> {
    let flags = reader.byte()?;
    let has = |flag: u8| flags & flag != 0;
    let mut extra = Extra {
        choice: [None, Some(Choice::Away), Some(Choice::Busy), Some(Choice::Invisible)]
            [usize::from(flags & 0b11)],
        ..Extra::default()
    };
    if has(UNTIL) {
        extra.until_ms = Some(reader.signed()?);
    }
    if has(STATUS_TEXT) {
        extra.status_text = Some(reader.text()?.into());
    }
    if has(ACTIVITY) {
        extra.activity = Some(reader.text()?.into());
    }
    if has(PENDING) {
        extra.pending = Some(read_pending(reader, clock)?);
    }
    if has(SILENT) {
        extra.silent_below = reader.signed()?.max(0);
    }
    let tombstones = reader.count()?;
    if tombstones > TOMBSTONES_PER_USER_MAX {
        return Err("a user has too many tombstones");
    }
    for _ in 0..tombstones {
        let last = extra.tombstones.last().map_or("", |last: &Tombstone| &last.session);
        let session = read_id(reader, last)?.into();
        let (epoch, counter) = (integer(reader.signed()?)?, integer(reader.signed()?)?);
        let due_ms = clock.now_ms + far(reader.signed()?)?;
        extra.tombstones.push(Tombstone { session, epoch, counter, due_ms });
    }
    Ok(extra)
}

fn read_pending(reader: &mut Reader<'_>, clock: &LeaseClock) -> Read<Pending> {
    let due_ms = clock.now_ms + far(reader.signed()?)?;
    let code = reader.byte()?;
    let causes =
        [Cause::Heartbeat, Cause::Goodbye, Cause::Expired, Cause::Idle, Cause::GatewayGone, Cause::Status];
    let cause = causes.into_iter().find(|cause| cause_code(*cause) == code).ok_or("a cause is unknown")?;
    let mut text = || reader.text().map(|text| Some(text).filter(|text| !text.is_empty()).map(Into::into));
    let (session, device) = (text()?, text()?);
    let occurred_at_ms = reader.signed()?;
    Ok(Pending { due_ms, origin: Origin { cause, session, device, occurred_at_ms } })
}

fn read_session(
    reader: &mut Reader<'_>,
    user: u32,
    id: &str,
    clock: &LeaseClock,
    names: &[&str],
    bucket: &mut Bucket,
) -> Read<()> {
    let flags = reader.byte()?;
    if flags & !(0b11 | BUSY | METADATA | END) != 0 || status(flags) == Status::Offline {
        return Err("a session has unknown marks");
    }
    let terms = Terms {
        epoch: integer(reader.signed()?)?,
        counter: integer(reader.signed()?)?,
        beat_clock_ms: time(clock.now_ms.saturating_sub(reader.signed()?))?,
        beat_time_ms: time(time_base_ms(clock).saturating_add(reader.signed()?))?,
        lease_ms: u32::try_from(reader.unsigned()?).map_err(|_| "a lease is too long")?.into(),
        idle_ms: u32::try_from(reader.unsigned()?).map_err(|_| "a span is too long")?.into(),
        busy: flags & BUSY != 0,
    };
    let (device, gateway) = (read_name(reader, names)?, read_name(reader, names)?);
    let row_s = (time_base_ms(clock) / 1_000).saturating_sub(reader.signed()?);
    let metadata = if flags & METADATA != 0 { Some(reader.fixed()?) } else { None };
    let end = if flags & END != 0 {
        let due_ms = clock.now_ms + far(reader.signed()?)?;
        Some(ScheduledEnd { due_ms, said_ms: time(reader.signed()?)? })
    } else {
        None
    };
    let people = &mut bucket.people;
    let session = people.add_session(user, id, &terms, false);
    people.set_device(session, device);
    people.set_gateway(session, gateway);
    people.set_session_extra(session, SessionExtra { metadata, end });
    let one = people.session_mut(session);
    one.set_status(status(flags));
    one.set_row_s(u32::try_from(row_s).map_err(|_| "a row was written at no possible time")?);
    Ok(())
}

fn read_name<'a>(reader: &mut Reader<'_>, names: &[&'a str]) -> Read<Option<&'a str>> {
    match reader.unsigned()? {
        0 => Ok(None),
        place => {
            let name = usize::try_from(place - 1).ok().and_then(|at| names.get(at));
            name.copied().map(Some).ok_or("a name is not in the list")
        }
    }
}

/// An id that comes after `last` in the order of bytes.
fn read_id<'a>(reader: &mut Reader<'a>, last: &str) -> Read<&'a str> {
    let id = reader.text()?;
    if check_id(id).is_err() {
        return Err("an id is none");
    }
    if id > last { Ok(id) } else { Err("ids are out of order") }
}

fn status(flags: u8) -> Status {
    [Status::Offline, Status::Away, Status::Online, Status::Busy][usize::from(flags & 0b11)]
}

/// A record time, or a lease clock, that the fold can keep.
fn time(ms: i64) -> Read<i64> {
    if (0..=TIME_MS_MAX).contains(&ms) { Ok(ms) } else { Err("a time is out of range") }
}

fn near(ms: i64) -> Read<i64> {
    time(ms)
}

fn far(ms: i64) -> Read<i64> {
    if (-FAR_MS..=FAR_MS).contains(&ms) { Ok(ms) } else { Err("a deadline is out of range") }
}

/// An integer of a record.
fn integer(number: i64) -> Read<i64> {
    let max = crate::limits::INTEGER_MAX;
    if (-max..=max).contains(&number) { Ok(number) } else { Err("an integer is out of range") }
}
