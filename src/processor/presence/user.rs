//! A user's presence: what is public, the own choice, tombstones and what waits to be announced.

use std::collections::BTreeSet;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::{
    ids::Id,
    session::{Packed, code},
};
use crate::{
    limits::TOMBSTONES_PER_USER_MAX,
    log::Offset,
    mutant::{self, Mutant},
    record::{heartbeats::Choice, transition::Cause, transition::Status},
};

/// What every user has.
#[derive(Debug, Clone, Copy)]
pub(super) struct User {
    pub id: Id,
    version: Packed<5>,
    flags: u8,
}

const _: () = assert!(size_of::<User>() == 22);

/// The largest version: a thousand transitions a second take seventeen years to get there.
pub(super) const VERSION_MAX: u64 = (1 << 39) - 1;

const STATUS: u8 = 0b11;
const EXTRA: u8 = 1 << 2;
const FURTHER: u8 = 1 << 3;
const SEEN_APART: u8 = 1 << 4;

impl User {
    pub fn new(id: Id) -> Self {
        Self { id, version: Packed::new(0), flags: code(Status::Offline) }
    }

    /// Reads some of it.
    #[inline]
    pub fn touch(&self) -> u8 {
        self.flags
    }

    pub fn version(&self) -> u64 {
        self.version.get() as u64
    }

    pub fn set_version(&mut self, version: u64) {
        self.version = Packed::new(version.min(VERSION_MAX) as i64);
    }

    /// The status that was announced last.
    #[inline]
    pub fn public(&self) -> Status {
        match self.flags & STATUS {
            0 => Status::Offline,
            1 => Status::Away,
            2 => Status::Online,
            _ => Status::Busy,
        }
    }

    pub fn set_public(&mut self, status: Status) {
        self.flags = self.flags & !STATUS | code(status);
    }

    #[inline]
    pub fn has_extra(&self) -> bool {
        self.flags & EXTRA != 0
    }

    pub fn set_has_extra(&mut self, extra: bool) {
        self.flags = if extra { self.flags | EXTRA } else { self.flags & !EXTRA };
    }

    /// Whether it has live sessions beyond the one that is stored with it.
    #[inline]
    pub fn has_further(&self) -> bool {
        self.flags & FURTHER != 0
    }

    pub fn set_has_further(&mut self, further: bool) {
        self.flags = if further { self.flags | FURTHER } else { self.flags & !FURTHER };
    }

    /// Whether it was last seen at another time than the session that is stored with it was heard.
    #[inline]
    pub fn seen_apart(&self) -> bool {
        self.flags & SEEN_APART != 0
    }

    #[inline]
    pub fn set_seen_apart(&mut self, apart: bool) {
        self.flags = if apart { self.flags | SEEN_APART } else { self.flags & !SEEN_APART };
    }
}

/// What few users have.
#[derive(Debug, Default)]
pub(super) struct Extra {
    /// The own choice; never `Auto`.
    pub choice: Option<Choice>,
    /// Record time at which choice and texts are cleared.
    pub until_ms: Option<i64>,
    /// The texts as chosen: public unless the user is offline.
    pub status_text: Option<Box<str>>,
    pub activity: Option<Box<str>>,
    /// Sorted by session.
    pub tombstones: Vec<Tombstone>,
    pub pending: Option<Pending>,
    /// Below this position the user's row is ahead of the fold: what the row holds (choice, texts, version,
    /// public status, last seen) is as of here already and is left alone, neither numbered nor published nor
    /// written.
    pub silent_below: Offset,
}

/// What a session that said goodbye, or lost its gateway, leaves for one lease: its last pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tombstone {
    pub session: Box<str>,
    pub epoch: i64,
    pub counter: i64,
    /// Lease clock at which it goes.
    pub due_ms: i64,
}

/// What caused a change of a user's presence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    pub cause: Cause,
    pub session: Option<Box<str>>,
    pub device: Option<Box<str>>,
    pub occurred_at_ms: i64,
}

/// An offline that is announced when the user has been gone for the dwell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pending {
    /// Lease clock.
    pub due_ms: i64,
    pub origin: Origin,
}

impl Extra {
    fn is_empty(&self) -> bool {
        self.choice.is_none()
            && !self.has_texts()
            && self.tombstones.is_empty()
            && self.pending.is_none()
            && self.silent_below == 0
    }

    fn has_texts(&self) -> bool {
        self.status_text.is_some() || self.activity.is_some()
    }

    /// Whether the user has chosen anything that an `until` could end.
    pub fn has_chosen(&self) -> bool {
        self.choice.is_some() || self.has_texts()
    }

    /// Clears the choice, its texts and when they end.
    pub fn clear_choice(&mut self) {
        (self.choice, self.until_ms, self.status_text, self.activity) = (None, None, None, None);
    }

    pub fn tombstone(&self, session: &str) -> Option<&Tombstone> {
        let found = self.tombstones.binary_search_by(|one| (*one.session).cmp(session));
        found.ok().map(|at| &self.tombstones[at])
    }

    /// Leaves a tombstone in place of an older one of the session; above the cap the one that is due first
    /// goes (of several the first in the order of session bytes).
    pub fn bury(&mut self, tombstone: Tombstone) {
        self.unbury(&tombstone.session);
        if self.tombstones.len() >= TOMBSTONES_PER_USER_MAX {
            let oldest = (0..self.tombstones.len()).min_by_key(|at| self.tombstones[*at].due_ms);
            oldest.map(|at| self.tombstones.remove(at));
        }
        let at = self.tombstones.partition_point(|one| one.session < tombstone.session);
        self.tombstones.insert(at, tombstone);
    }

    pub fn unbury(&mut self, session: &str) {
        self.tombstones.retain(|one| &*one.session != session);
    }

    fn timer_ms(&self) -> Option<i64> {
        let tombstones = self.tombstones.iter().map(|one| one.due_ms);
        tombstones.chain(self.pending.iter().map(|pending| pending.due_ms)).min()
    }
}

/// The extras of a bucket's users together with the order in which they are due.
#[derive(Debug, Default)]
pub(super) struct Extras {
    by_user: HashMap<u32, Box<Filed>, FixedState>,
    /// (lease clock, user): a tombstone goes or an offline is announced.
    timers: BTreeSet<(i64, u32)>,
    /// (record time, user): a choice ends, of users with a live session or something pending. The others'
    /// choices are looked at with their next record, so that nothing depends on who happens to be in memory.
    untils: BTreeSet<(i64, u32)>,
}

#[derive(Debug, Default)]
struct Filed {
    extra: Extra,
    timer_ms: Option<i64>,
    until_ms: Option<i64>,
}

impl Extras {
    pub fn get(&self, user: u32) -> Option<&Extra> {
        self.by_user.get(&user).map(|filed| &filed.extra)
    }

    /// Changes a user's extra and files it anew; says whether anything is left of it.
    pub fn edit<R>(&mut self, user: u32, live: bool, change: impl FnOnce(&mut Extra) -> R) -> (R, bool) {
        let filed = self.by_user.entry(user).or_default();
        let result = change(&mut filed.extra);
        let extra = &filed.extra;
        let timer_ms = extra.timer_ms();
        let watched = live || extra.pending.is_some() || mutant::is(Mutant::ChoiceEndsInMemoryOnly);
        let until_ms = extra.until_ms.filter(|_| watched);
        refile(&mut self.timers, user, &mut filed.timer_ms, timer_ms);
        refile(&mut self.untils, user, &mut filed.until_ms, until_ms);
        let left = !extra.is_empty();
        if !left {
            self.by_user.remove(&user);
        }
        (result, left)
    }

    /// Users of whom something is due at `clock_ms`.
    pub fn timers_due(&self, clock_ms: i64) -> Vec<u32> {
        self.timers.range(..=(clock_ms, u32::MAX)).map(|(_, user)| *user).collect()
    }

    /// Users whose choice ends at or before the record time `time_ms`.
    pub fn untils_due(&self, time_ms: i64) -> Vec<(i64, u32)> {
        self.untils.range(..=(time_ms, u32::MAX)).copied().collect()
    }
}

fn refile(index: &mut BTreeSet<(i64, u32)>, user: u32, filed: &mut Option<i64>, due: Option<i64>) {
    if *filed == due {
        return;
    }
    if let Some(old) = *filed {
        index.remove(&(old, user));
    }
    if let Some(new) = due {
        index.insert((new, user));
    }
    *filed = due;
}

#[cfg(test)]
mod tests;
