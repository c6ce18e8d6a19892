//! Sessions end: by goodbye, with their gateway, by silence.

use super::Bucket;
use crate::{
    mutant::{self, Mutant},
    processor::presence::{
        people::{ScheduledEnd, SessionExtra},
        turn::Now,
        user::Tombstone,
    },
    record::{
        heartbeats::{Choice, End},
        transition::Cause,
    },
};

impl Bucket {
    pub(super) fn goodbye(&mut self, now: &Now<'_>, user: u32, end: &End<'_>) {
        let pair = (end.epoch, end.counter);
        let Some(session) = self.people.find_session(user, &end.session) else {
            // Beats that it overtook must not begin the session.
            let tombstone = self.people.extra(user).and_then(|extra| extra.tombstone(&end.session));
            if tombstone.is_none_or(|last| pair > (last.epoch, last.counter)) {
                self.bury(user, &end.session, pair, now.clock_ms.saturating_add(now.parameters.lease_ms));
            }
            return;
        };
        if pair <= self.people.pair(session) && !mutant::is(Mutant::OlderGoodbyeAccepted) {
            return;
        }
        self.people.set_pair(session, end.epoch, end.counter);
        let visible = self.people.choice(user) != Some(Choice::Invisible);
        if visible && !self.people.silent(user, now.offset) {
            self.people.see(user, now.time_ms);
        }
        if end.after_ms > 0 {
            self.schedule(now, session, end.after_ms);
        } else if self.end_with_tombstone(now, session, Cause::Goodbye, now.time_ms) {
            self.turn.touch(user).at_once = true;
        }
    }

    /// The session lives until then, whatever its lease says, unless a greater pair arrives.
    fn schedule(&mut self, now: &Now<'_>, session: u32, after_ms: i64) {
        if self.people.session(session).held() {
            self.unhold(session);
        }
        let end = ScheduledEnd { due_ms: now.clock_ms.saturating_add(after_ms), said_ms: now.time_ms };
        let extra = self.people.session_extra(session);
        self.people.set_session_extra(session, SessionExtra { end: Some(end), ..extra });
        self.file(session, now.parameters);
    }

    /// Ends a session that was not silent, so that beats of before may still be on their way; says whether
    /// the user's status changed.
    pub(super) fn end_with_tombstone(
        &mut self,
        now: &Now<'_>,
        session: u32,
        cause: Cause,
        said_ms: i64,
    ) -> bool {
        let (user, pair) = (self.people.user_of(session), self.people.pair(session));
        let due_ms = now.clock_ms.saturating_add(self.people.lease_ms(session));
        let changed = self.end(session, cause, said_ms);
        let id: Box<str> = self.people.session_id(session).into();
        self.bury(user, &id, pair, due_ms);
        changed
    }

    /// Every session last heard through `gateway`, of a connection older than `before`, ends: in the order of
    /// users and sessions.
    pub fn gateway_gone(&mut self, now: &Now<'_>, gateway: &str, before: Option<i64>) {
        let Some(name) = self.people.name(gateway) else { return };
        let mut gone: Vec<u32> = self.people.live_sessions().collect();
        gone.retain(|session| {
            let older = |before| self.people.pair(*session).0 < before;
            self.people.linked(*session).gateway == name && before.is_none_or(older)
        });
        let key = |session: &u32| {
            let user = self.people.user_of(*session);
            (self.people.user_bytes(user), self.people.session_bytes(*session))
        };
        gone.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
        for session in gone {
            if mutant::is(Mutant::GatewayGoneWithoutTombstone) {
                self.end(session, Cause::GatewayGone, now.time_ms);
            } else {
                self.end_with_tombstone(now, session, Cause::GatewayGone, now.time_ms);
            }
        }
    }

    /// Ends a live session; says whether that changed its user's status.
    pub(super) fn end(&mut self, session: u32, cause: Cause, occurred_at_ms: i64) -> bool {
        let user = self.people.user_of(session);
        if self.people.session(session).held() {
            self.unhold(session);
        }
        let before = self.people.status(user);
        self.people.end_session(session);
        let live = self.people.live(user);
        let change = self.turn.change(user, session, live);
        (change.ended, change.live_after) = (Some(cause), live);
        self.touched(session, cause, occurred_at_ms, before);
        // An invisible user leaves without a change of status; it may still have to leave memory.
        self.turn.touch(user);
        self.people.status(user) != before
    }

    fn bury(&mut self, user: u32, session: &str, (epoch, counter): (i64, i64), due_ms: i64) {
        let tombstone = Tombstone { session: session.into(), epoch, counter, due_ms };
        if !mutant::is(Mutant::GoodbyeWithoutTombstone) {
            self.people.edit(user, |extra| extra.bury(tombstone));
        }
    }
}
