//! The records that presence publishes: transitions and where to route.

use super::{
    people::People,
    turn::{Change, Now, Route},
    user::Origin,
};
use crate::{
    effect::Output,
    log::OutRecord,
    mutant::{self, Mutant},
    processor::Setup,
    record::{
        RecordOrigin,
        arena::Arena,
        session::{SessionEvent, SessionRecord, end_headers, session_key_in},
        transition::{Status, Transition},
    },
    topology::Topic,
};

/// Publishes that a user went over from `from` to what is public now.
pub(super) fn transition(
    people: &People,
    user: u32,
    from: Status,
    origin: &Origin,
    now: &Now<'_>,
    setup: &Setup,
    output: &mut Output,
) {
    let (one, id) = (people.user(user), people.user_id(user));
    let to = one.public();
    // While a user looks offline, what it says of itself is not public.
    let texts = people.extra(user).filter(|_| to != Status::Offline);
    let value = Transition {
        user: id,
        version: one.version(),
        from,
        to,
        cause: origin.cause,
        session: origin.session.as_deref(),
        device: origin.device.as_deref(),
        sessions: people.live(user).into(),
        status_text: texts.and_then(|extra| extra.status_text.as_deref()),
        activity: texts.and_then(|extra| extra.activity.as_deref()),
        occurred_at: origin.occurred_at_ms,
        detected_at: now.time_ms,
        last_seen: people.last_seen_ms(user),
        origin: record_origin(now, setup),
    }
    .encode_in(&mut output.arena);
    let key = output.arena.copy(id.as_bytes());
    let kept = to != Status::Offline || mutant::is(Mutant::OfflineStateKept);
    let state = kept.then(|| value.clone());
    for (topic, value) in [(Topic::Presence, Some(value)), (Topic::PresenceState, state)] {
        let partition = setup.topology.place(topic, &key);
        output.publish(OutRecord { topic, partition, key: Some(key.clone()), value, headers: Vec::new() });
    }
}

/// What a session's change means for routing; a session that stays where it is says nothing.
pub(super) fn session(
    people: &People,
    now: &Now<'_>,
    setup: &Setup,
    change: &Change,
    arena: &mut Arena,
) -> Option<OutRecord> {
    let (user, session) = (people.user_id(change.user), people.session_id(change.session));
    let (device, gateway) = (people.device(change.session), people.gateway(change.session));
    let (value, headers) = if let Some(cause) = change.ended {
        (None, end_headers(change.live_after == 0, cause))
    } else {
        let moved = |left: &Route| (left.device.as_deref(), left.gateway.as_deref()) != (device, gateway);
        let event = match (change.began, change.live_after) {
            (true, 1) => SessionEvent::Join,
            (true, _) => SessionEvent::Add,
            (false, _) if mutant::is(Mutant::MoveUnannounced) => return None,
            (false, _) if change.left.as_ref().is_some_and(moved) => SessionEvent::Move,
            (false, _) => return None,
        };
        let sessions = change.live_after.into();
        let origin = record_origin(now, setup);
        let record = SessionRecord { event, user, session, device, gateway, sessions, origin };
        (Some(record.encode_in(arena)), Vec::new())
    };
    let partition = setup.topology.place(Topic::Sessions, user.as_bytes());
    Some(OutRecord {
        topic: Topic::Sessions,
        partition,
        key: Some(session_key_in(arena, user, session)),
        value,
        headers,
    })
}

fn record_origin(now: &Now<'_>, setup: &Setup) -> RecordOrigin {
    RecordOrigin { partition: setup.partition, offset: now.offset }
}
