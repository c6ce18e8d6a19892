//! What a beacon brings about: choices end, leases run out, sessions idle, offlines are announced.

use std::collections::VecDeque;

use super::Bucket;
use crate::{
    mutant::{self, Mutant},
    processor::presence::{session::NO_SESSION, turn::Now},
    record::transition::Cause,
};

/// Something that is due. Carried out in the order of due, user and session bytes.
#[derive(Debug, Clone, Copy)]
struct Item {
    /// Lease clock.
    due_ms: i64,
    user: u32,
    session: u32,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// The session is no longer busy, or no longer at the keyboard.
    Status,
    /// The end that a goodbye announced.
    Farewell,
    Silence,
    /// The user has been gone for the dwell.
    Announce,
}

/// Leases that are over, in the order in which they are let go. A session that was heard again, or ended
/// otherwise, leaves its entry behind: an entry counts if the session is held and still due as it says.
#[derive(Debug, Default)]
pub(super) struct Held {
    queue: VecDeque<(i64, u32)>,
    count: u64,
}

impl Held {
    pub fn count(&self) -> u64 {
        self.count
    }
}

impl Bucket {
    /// Looks at everything that the lease clock, or the log's time, has reached. `all`: parameters changed,
    /// on which the status of any session may depend.
    pub fn beacon(&mut self, now: &Now<'_>, all: bool) {
        self.end_choices(now);
        let mut items = Vec::new();
        self.look_at_users(now, &mut items);
        let looked_at = self.look_at_sessions(now, all, &mut items);
        self.release(now, &mut items);
        if !mutant::is(Mutant::EndsUnsorted) {
            self.sort(&mut items);
        }
        for item in items {
            self.carry_out(now, item);
        }
        self.file_blocks(&looked_at, now.parameters);
    }

    fn end_choices(&mut self, now: &Now<'_>) {
        let mut due = self.people.extras.untils_due(now.time_ms);
        due.sort_unstable_by_key(|(until_ms, user)| (*until_ms, self.people.user_bytes(*user)));
        for (until_ms, user) in due {
            self.expire_choice(now, user, until_ms);
        }
    }

    fn look_at_users(&mut self, now: &Now<'_>, items: &mut Vec<Item>) {
        for user in self.people.extras.timers_due(now.clock_ms) {
            let due = self.people.edit(user, |extra| {
                extra.tombstones.retain(|one| one.due_ms > now.clock_ms);
                let due = extra.pending.as_ref().map(|pending| pending.due_ms);
                due.filter(|due_ms| *due_ms <= now.clock_ms)
            });
            if let Some(due_ms) = due {
                items.push(Item { due_ms, user, session: NO_SESSION, what: What::Announce });
            }
            self.offer(user, now.batch);
        }
    }

    /// Judges the sessions that the wheel, or `all`, names, each by its own fields; answers which they were.
    fn look_at_sessions(&mut self, now: &Now<'_>, all: bool, items: &mut Vec<Item>) -> Vec<u32> {
        let mut fired = Vec::new();
        self.wheel.fire(now.clock_ms, &mut fired);
        let looked_at: Vec<u32> = match all {
            true => self.people.live_sessions().collect(),
            false => fired.into_iter().flat_map(|block| self.people.live_among(block)).collect(),
        };
        let mut over = Vec::new();
        for session in &looked_at {
            let one = self.people.session(*session);
            let (user, session) = (self.people.user_of(*session), *session);
            if one.status_at(now.clock_ms, now.parameters) != one.status() {
                let ends_at_ms = one.status_ends_at_ms(now.parameters);
                let due_ms = ends_at_ms.map_or(now.clock_ms, |ends_at_ms| ends_at_ms.min(now.clock_ms));
                items.push(Item { due_ms, user, session, what: What::Status });
            }
            match self.people.session_extra(session).end {
                Some(end) if end.due_ms <= now.clock_ms => {
                    items.push(Item { due_ms: end.due_ms, user, session, what: What::Farewell });
                }
                Some(_) => {}
                None if !one.held() && self.people.silent_at_ms(session) <= now.clock_ms => {
                    over.push(session)
                }
                None => {}
            }
        }
        self.hold(over);
        looked_at
    }

    /// Every lease that is over is held first, behind those that were over before.
    pub(super) fn hold(&mut self, mut over: Vec<u32>) {
        let key = |session: &u32| {
            let user = self.people.user_of(*session);
            let (user, id) = (self.people.user_bytes(user), self.people.session_bytes(*session));
            (self.people.silent_at_ms(*session), user, id)
        };
        over.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
        for session in over {
            let due_ms = self.people.silent_at_ms(session);
            debug_assert!(
                self.held.queue.back().is_none_or(|(last_ms, _)| *last_ms <= due_ms),
                "what was due at an earlier beacon is due earlier"
            );
            self.people.session_mut(session).set_held(true);
            self.held.queue.push_back((due_ms, session));
            self.held.count += 1;
        }
    }

    /// The session was heard again, or ends in another way.
    pub(super) fn unhold(&mut self, session: u32) {
        self.people.session_mut(session).set_held(false);
        self.held.count -= 1;
        if self.held.queue.len() as u64 > 2 * self.held.count + 64 {
            let people = &self.people;
            self.held.queue.retain(|(due_ms, session)| {
                people.session(*session).held() && people.silent_at_ms(*session) == *due_ms
            });
        }
    }

    /// Lets go as many held leases as the brake allows.
    fn release(&mut self, now: &Now<'_>, items: &mut Vec<Item>) {
        let (_, live) = self.people.counts();
        let mut count = self.brake.release(now.clock_ms, now.parameters, self.held.count, live);
        while count > 0 {
            let Some((due_ms, session)) = self.held.queue.pop_front() else { break };
            if self.people.session(session).held() && self.people.silent_at_ms(session) == due_ms {
                let user = self.people.user_of(session);
                items.push(Item { due_ms, user, session, what: What::Silence });
                self.people.session_mut(session).set_held(false);
                self.held.count -= 1;
                count -= 1;
            }
        }
    }

    fn sort(&self, items: &mut [Item]) {
        let key = |item: &Item| {
            let session = match item.session {
                NO_SESSION => &[][..],
                session => self.people.session_bytes(session),
            };
            (item.due_ms, self.people.user_bytes(item.user), session, item.what)
        };
        items.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
    }

    fn carry_out(&mut self, now: &Now<'_>, item: Item) {
        match item.what {
            What::Announce => {
                let pending = self.people.extra(item.user).and_then(|extra| extra.pending.as_ref());
                let Some(origin) = pending.map(|pending| pending.origin.clone()) else { return };
                let touch = self.turn.touch(item.user);
                (touch.origin, touch.at_once) = (Some(origin), true);
            }
            What::Status => self.idle(now, item),
            What::Farewell => {
                let said_ms =
                    self.people.session_extra(item.session).end.map_or(now.time_ms, |end| end.said_ms);
                self.end_with_tombstone(now, item.session, Cause::Goodbye, said_ms);
            }
            What::Silence => {
                let one = self.people.session(item.session);
                let occurred_at_ms = one.beat_time_ms() + self.people.lease_ms(item.session);
                self.end(item.session, Cause::Expired, occurred_at_ms);
            }
        }
    }

    fn idle(&mut self, now: &Now<'_>, item: Item) {
        let one = self.people.session(item.session);
        if !one.live() {
            return;
        }
        let status = one.status_at(now.clock_ms, now.parameters);
        let occurred_at_ms = one.beat_time_ms() + (item.due_ms - one.beat_clock_ms());
        let before = self.people.status(item.user);
        self.people.session_mut(item.session).set_status(status);
        self.touched(item.session, Cause::Idle, occurred_at_ms, before);
        // The session's own status is in its row, whether or not the user's changed.
        self.turn.change(item.user, item.session, self.people.live(item.user));
    }
}
