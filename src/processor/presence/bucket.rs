//! A bucket: the unit of state. Its fold depends on the records of its own keys and on the partition's
//! beacons, on nothing else.

use std::sync::Arc;

use super::{
    brake::Brake,
    clock::LeaseClock,
    leaving::Leaving,
    people::People,
    turn::{Now, Turn},
    wheel::{self, Wheel},
};
use crate::{
    log::Offset,
    mutant::{self, Mutant},
    record::{
        beacon::Parameters,
        heartbeats::{Beat, End, StatusChoice},
    },
    table::{
        Value,
        presence::{self, UserRow},
    },
};

mod beats;
mod choices;
mod ends;
mod settle;
mod tick;

/// What a record asks of one user.
#[derive(Debug, Clone, Copy)]
pub(super) enum Act<'a> {
    Beat(&'a Beat<'a>),
    End(&'a End<'a>),
    Choose(&'a StatusChoice<'a>),
}

#[derive(Debug)]
pub(super) struct Bucket {
    pub number: u32,
    /// That of its rows: made once, since all of them name it.
    partition: Arc<[Value]>,
    /// The position after the last record that changed the bucket; what lies below is in the state.
    pub origin: Offset,
    /// The lease clock at the origin, while the partition has not got there.
    pub ahead: Option<LeaseClock>,
    pub people: People,
    pub brake: Brake,
    pub wheel: Wheel,
    held: tick::Held,
    turn: Turn,
    leaving: Leaving,
}

impl Bucket {
    pub fn new(number: u32, origin: Offset, clock_ms: i64) -> Self {
        Self {
            number,
            partition: presence::partition(number),
            origin,
            ahead: None,
            people: People::default(),
            brake: Brake::new(clock_ms),
            wheel: Wheel::new(clock_ms),
            held: tick::Held::default(),
            turn: Turn::default(),
            leaving: Leaving::default(),
        }
    }

    /// Whether the record at `offset` is in the state already.
    #[inline]
    pub fn includes(&self, offset: Offset) -> bool {
        offset < self.origin && !mutant::is(Mutant::PresenceOriginIgnored)
    }

    /// Carries out what a record asks of a user that is in memory.
    pub fn act(&mut self, now: &Now<'_>, user: u32, act: Act<'_>) {
        if self.people.user(user).has_extra() {
            self.wake(user, now.offset);
            self.lapse(now, user);
        }
        match act {
            Act::Beat(beat) => self.beat(now, user, beat),
            Act::End(end) => self.goodbye(now, user, end),
            Act::Choose(choice) => self.choose(now, user, choice),
        }
        self.offer(user, now.batch);
    }

    /// Brings a user into memory as its row has it, or as a new one. A row of a former generation is final:
    /// nothing of what wrote it will be folded again, and its origin is no position of this one.
    pub fn load(&mut self, id: &str, hash: u32, row: Option<&UserRow<'_>>, generation: i32) {
        if self.people.find_user(hash, id).is_some() {
            return;
        }
        let user = self.people.add_user(id);
        let Some(row) = row else { return };
        let one = self.people.user_mut(user);
        one.set_version(if mutant::is(Mutant::VersionRestarted) { 0 } else { row.version });
        one.set_public(row.status);
        self.people.see(user, row.last_seen_ms);
        // What the row says holds as of its origin: up to there the fold leaves it alone.
        let ahead = row.generation == generation && row.origin > self.origin;
        let silent_below = if ahead { row.origin } else { 0 };
        self.people.edit(user, |extra| {
            extra.choice = row.choice;
            extra.until_ms = row.until_ms;
            extra.status_text = row.status_text.map(Into::into);
            extra.activity = row.activity.map(Into::into);
            extra.silent_below = silent_below;
        });
    }

    /// Files what was restored. A lease that was held is found to be over at the next beacon.
    pub fn file_all(&mut self, clock_ms: i64, parameters: &Parameters) {
        self.wheel = Wheel::new(clock_ms);
        let live: Vec<u32> = self.people.live_sessions().collect();
        self.file_blocks(&live, parameters);
    }

    /// Leases over and held by the brake.
    pub fn held(&self) -> u64 {
        self.held.count()
    }

    /// Forgets users that have nothing to keep them in memory since `batch` or earlier.
    pub fn acknowledged(&mut self, batch: u64) {
        while let Some(user) = self.leaving.next(batch) {
            if self.people.may_leave(user) {
                self.people.remove_user(user);
            }
        }
    }

    /// From the origin of a user's row on, nothing sets the user apart: its state is the same as if it had
    /// never left memory.
    pub fn wake(&mut self, user: u32, offset: Offset) {
        if self.people.extra(user).is_some_and(|extra| (1..=offset).contains(&extra.silent_below)) {
            self.people.edit(user, |extra| extra.silent_below = 0);
        }
    }

    /// Files a session by the next moment at which something may be due.
    #[inline]
    fn file(&mut self, session: u32, parameters: &Parameters) {
        if let Some(deadline_ms) = self.deadline_ms(session, parameters) {
            self.wheel.file(session, deadline_ms);
        }
    }

    /// Whether a session's block fires before anything is due of it.
    fn is_filed(&self, session: u32, parameters: &Parameters) -> bool {
        let deadline_ms = self.deadline_ms(session, parameters);
        deadline_ms.is_none_or(|deadline_ms| self.wheel.fires_by(session, deadline_ms))
    }

    /// Files sessions, those of a block side by side, each block once.
    fn file_blocks(&mut self, sessions: &[u32], parameters: &Parameters) {
        for block in sessions.chunk_by(|a, b| wheel::block(*a) == wheel::block(*b)) {
            let live = block.iter().filter(|session| self.people.session(**session).live());
            let deadline_ms = live.filter_map(|session| self.deadline_ms(*session, parameters)).min();
            if let Some(deadline_ms) = deadline_ms {
                self.wheel.file(block[0], deadline_ms);
            }
        }
    }

    /// The lease clock at which something may be due of a session.
    #[inline]
    fn deadline_ms(&self, session: u32, parameters: &Parameters) -> Option<i64> {
        let one = self.people.session(session);
        let status_ends = one.status_ends_at_ms(parameters);
        let end = match self.people.session_extra(session).end {
            Some(end) => Some(end.due_ms),
            None => (!one.held()).then(|| self.people.silent_at_ms(session)),
        };
        match (end, status_ends) {
            (Some(end), Some(status)) => Some(end.min(status)),
            (one, None) | (None, one) => one,
        }
    }

    /// A user that nothing keeps in memory may leave it once this batch is in the store.
    fn offer(&mut self, user: u32, batch: u64) {
        if self.people.may_leave(user) {
            self.leaving.offer(user, batch);
        }
    }
}
