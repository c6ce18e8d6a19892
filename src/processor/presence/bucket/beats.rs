//! Heartbeats: sessions begin, go on and change.

use std::borrow::Cow;

use super::Bucket;
use crate::{
    limits::SESSIONS_PER_USER_MAX,
    mutant::{self, Mutant},
    processor::presence::{
        links::{Linked, clamped},
        people::{People, SessionExtra},
        session::Terms,
        turn::{Now, Route},
        user::Origin,
    },
    record::{
        heartbeats::{Beat, Choice, Field},
        transition::{Cause, Status},
    },
    table::presence::metadata_hash,
};

impl Bucket {
    pub(super) fn beat(&mut self, now: &Now<'_>, user: u32, beat: &Beat<'_>) {
        // Whatever becomes of it, the producers are there.
        self.brake.hear(now.clock_ms, now.parameters);
        let pair = (beat.epoch, beat.counter);
        match self.people.find_session(user, &beat.session) {
            Some(session) if pair <= self.people.pair(session) && !mutant::is(Mutant::OlderPairAccepted) => {}
            Some(session) => self.renew(now, session, beat),
            None if self.is_buried(user, beat) => {}
            None => self.begin(now, user, beat),
        }
    }

    /// A session goes on. This is nearly every record: when nothing but the lease changed it is a few stores.
    fn renew(&mut self, now: &Now<'_>, session: u32, beat: &Beat<'_>) {
        let user = self.people.user_of(session);
        let one = self.people.session(session);
        let (before, held, idle_ms) = (one.status(), one.held(), one.idle_ms());
        let linked = self.people.linked(session);
        let terms = terms(now, beat, linked.lease_ms.into());
        // While somebody lives, offline is what an invisible user looks like.
        let seen =
            self.people.user(user).public() != Status::Offline && !self.people.silent(user, now.offset);
        self.people.set_terms(session, &terms, seen);
        let one = self.people.session(session);
        let status = one.status_at(now.clock_ms, now.parameters);
        let stale = one.row_is_stale(now.time_ms);
        if held {
            self.unhold(session);
        }
        let extra = self.people.session_extra(session);
        if extra.end.is_some() {
            self.people.set_session_extra(session, SessionExtra { end: None, ..extra });
        }
        let lease_ms = clamped(terms.lease_ms);
        if lease_ms != linked.lease_ms {
            self.people.relink(session, Linked { lease_ms, ..linked });
        }
        let moved = self.reroute(session, beat);
        let dressed = self.dress(session, beat);
        if status != before {
            let public_before = self.people.status(user);
            self.people.session_mut(session).set_status(status);
            self.touched(session, Cause::Heartbeat, now.time_ms, public_before);
        }
        if stale || moved || dressed || status != before {
            self.write_row(session, beat);
        }
        // Where the deadline can only have moved away, its block fires in time as it is filed.
        let nearer = lease_ms < linked.lease_ms || terms.idle_ms > idle_ms;
        if nearer || held || extra.end.is_some() || status != before {
            self.file(session, now.parameters);
        }
        debug_assert!(self.is_filed(session, now.parameters), "whatever may be due is looked at in time");
    }

    /// A session begins; above the cap the oldest goes, the one whose last beat is furthest back on the lease
    /// clock (of several the first in the order of session bytes).
    fn begin(&mut self, now: &Now<'_>, user: u32, beat: &Beat<'_>) {
        if usize::from(self.people.live(user)) >= SESSIONS_PER_USER_MAX {
            let age =
                |one: &u32| (self.people.session(*one).beat_clock_ms(), self.people.session_bytes(*one));
            if let Some(oldest) = self.people.sessions_of(user).min_by_key(age) {
                self.end(oldest, Cause::Heartbeat, now.time_ms);
            }
        }
        if self.people.extra(user).is_some() {
            self.people.edit(user, |extra| extra.unbury(&beat.session));
        }
        let before = self.people.status(user);
        let visible = self.people.choice(user) != Some(Choice::Invisible);
        let seen = visible && !self.people.silent(user, now.offset);
        let terms = terms(now, beat, now.parameters.lease_ms);
        let session = self.people.add_session(user, &beat.session, &terms, seen);
        let status = self.people.session(session).status_at(now.clock_ms, now.parameters);
        self.people.session_mut(session).set_status(status);
        self.came(user, session);
        self.reroute(session, beat);
        self.dress(session, beat);
        self.write_row(session, beat);
        self.file(session, now.parameters);
        self.touched(session, Cause::Heartbeat, now.time_ms, before);
    }

    /// Notes that a session began. One that ended in the same record under the same id has rather gone on.
    fn came(&mut self, user: u32, session: u32) {
        let live = self.people.live(user);
        let id = self.people.session_bytes(session);
        let ended = self.turn.changes.iter().position(|change| {
            change.user == user && change.ended.is_some() && self.people.session_bytes(change.session) == id
        });
        let Some(at) = ended else {
            self.turn.change(user, session, live).began = true;
            return;
        };
        let former = self.turn.changes[at].session;
        let route = self.route(former);
        let change = self.turn.resume(at, session);
        (change.ended, change.live_after) = (None, live);
        change.left.get_or_insert(route);
        self.people.free_session(former);
    }

    /// Notes that the session's row must be written; its metadata is at hand if the beat has it.
    fn write_row(&mut self, session: u32, beat: &Beat<'_>) {
        let user = self.people.user_of(session);
        let change = self.turn.change(user, session, self.people.live(user));
        match beat.metadata {
            Field::Given(metadata) => change.metadata = Some(metadata.into()),
            Field::Null => change.metadata = None,
            Field::LeftOut => {}
        }
    }

    /// Takes over device and gateway; says whether the session moved.
    #[inline]
    fn reroute(&mut self, session: u32, beat: &Beat<'_>) -> bool {
        let same = |field: &Field<Cow<'_, str>>, now: fn(&People, u32) -> Option<&str>| match field {
            Field::LeftOut => true,
            Field::Null => now(&self.people, session).is_none(),
            Field::Given(name) => now(&self.people, session) == Some(name.as_ref()),
        };
        let device = same(&beat.device, People::device);
        let gateway = same(&beat.gateway, People::gateway);
        if device && gateway {
            return false;
        }
        let route = self.route(session);
        let user = self.people.user_of(session);
        self.turn.change(user, session, self.people.live(user)).left.get_or_insert(route);
        if !device {
            self.people.set_device(session, given(&beat.device));
        }
        if !gateway {
            self.people.set_gateway(session, given(&beat.gateway));
        }
        true
    }

    /// Takes over the metadata's hash; says whether it changed.
    #[inline]
    fn dress(&mut self, session: u32, beat: &Beat<'_>) -> bool {
        let metadata = match beat.metadata {
            Field::LeftOut => return false,
            Field::Null => None,
            Field::Given(metadata) => Some(metadata_hash(metadata)),
        };
        let extra = self.people.session_extra(session);
        if extra.metadata == metadata {
            return false;
        }
        self.people.set_session_extra(session, SessionExtra { metadata, ..extra });
        true
    }

    fn is_buried(&self, user: u32, beat: &Beat<'_>) -> bool {
        let tombstone = self.people.extra(user).and_then(|extra| extra.tombstone(&beat.session));
        tombstone.is_some_and(|last| (beat.epoch, beat.counter) <= (last.epoch, last.counter))
    }

    /// Notes what a session's record or deadline did to its user's status, which was `before`.
    pub(super) fn touched(&mut self, session: u32, cause: Cause, occurred_at_ms: i64, before: Status) {
        let user = self.people.user_of(session);
        if self.people.status(user) == before {
            return;
        }
        let touch = self.turn.touch(user);
        touch.at_once = false;
        touch.origin = Some(Origin {
            cause,
            session: Some(self.people.session_id(session).into()),
            device: self.people.device(session).map(Into::into),
            occurred_at_ms,
        });
    }

    fn route(&self, session: u32) -> Route {
        Route {
            device: self.people.device(session).map(Into::into),
            gateway: self.people.gateway(session).map(Into::into),
        }
    }
}

/// What a beat says, with what it leaves out: the lease as it was, no idling, not busy.
#[inline]
fn terms(now: &Now<'_>, beat: &Beat<'_>, lease_ms: i64) -> Terms {
    Terms {
        epoch: beat.epoch,
        counter: beat.counter,
        beat_clock_ms: now.clock_ms,
        beat_time_ms: now.time_ms,
        lease_ms: match beat.lease_ms {
            Field::LeftOut => lease_ms,
            Field::Null => now.parameters.lease_ms,
            Field::Given(lease_ms) => lease_ms,
        },
        idle_ms: if let Field::Given(idle_ms) = beat.idle_ms { idle_ms } else { 0 },
        busy: beat.busy == Field::Given(true),
    }
}

fn given<'a>(field: &'a Field<Cow<'_, str>>) -> Option<&'a str> {
    if let Field::Given(name) = field { Some(name.as_ref()) } else { None }
}
