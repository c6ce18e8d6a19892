//! The users and live sessions of a bucket that are in memory.
//!
//! Nearly every user has one session: it is stored with the user, and is known by the user's number. Further
//! ones are stored apart and have numbers from [`FURTHER`] on.

use std::ops::Range;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::{
    ids::Ids,
    index::Index,
    links::{Linked, Links},
    names::{Name, Names},
    pair::Pair,
    places::Places,
    session::{NO_SESSION, Session, Terms},
    user::{Extra, Extras, User},
};
use crate::{
    id::murmur2,
    limits::BEACON_INTERVAL_MS,
    log::Offset,
    mutant::{self, Mutant},
    record::{heartbeats::Choice, transition::Status},
};

#[derive(Debug, Default)]
pub(super) struct People {
    ids: Ids,
    names: Names,
    links: Links,
    users: Places<Person>,
    by_id: Index,
    pub extras: Extras,
    further: Places<Further>,
    /// The first further session of those users that have any.
    further_of: HashMap<u32, u32, FixedState>,
    session_extras: HashMap<u32, SessionExtra, FixedState>,
    /// Epoch and counter of sessions that have both large.
    pairs_apart: HashMap<u32, (i64, i64), FixedState>,
    /// When users were last seen, where that is not when the session beside them was heard: nearly always it
    /// is, so that it need not be stored twice.
    seen_apart: HashMap<u32, i64, FixedState>,
    live: u64,
}

/// A user and one of its sessions, if it has any.
#[derive(Debug, Clone, Copy)]
struct Person {
    user: User,
    session: Session,
}

const _: () = assert!(size_of::<Person>() == 73);

#[derive(Debug, Clone, Copy)]
struct Further {
    user: u32,
    /// The user's next further session.
    next: u32,
    session: Session,
}

/// The number of the first further session.
pub(super) const FURTHER: u32 = 1 << 31;

/// What few sessions have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct SessionExtra {
    /// Of the metadata in the session's row.
    pub metadata: Option<u64>,
    /// The goodbye that ends it later.
    pub end: Option<ScheduledEnd>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ScheduledEnd {
    /// Lease clock.
    pub due_ms: i64,
    /// Record time of the goodbye.
    pub said_ms: i64,
}

/// What users are found by: the hash that also places them, so that it is computed once.
#[must_use]
pub(super) fn user_hash(user: &str) -> u32 {
    murmur2(user.as_bytes())
}

impl People {
    /// Nobody yet, with an index that has room for so many users.
    pub fn with_room_for(users: usize) -> Self {
        Self { by_id: Index::with_room_for(users), ..Self::default() }
    }

    /// Users in memory, and live sessions.
    pub fn counts(&self) -> (u64, u64) {
        (self.by_id.len() as u64, self.live)
    }

    #[inline]
    pub fn find_user(&self, hash: u32, user: &str) -> Option<u32> {
        let bytes = user.as_bytes();
        self.by_id.find(hash, |one| self.ids.is(&self.users[one].user.id, bytes))
    }

    /// Reads the entry of the index where a search for a user begins.
    #[inline]
    pub fn touch_index(&self, hash: u32) -> u32 {
        self.by_id.touch(hash)
    }

    /// Reads two bytes, far from each other, of what is stored of a user that has this hash, if there is one.
    #[inline]
    pub fn touch_user(&self, hash: u32) -> u8 {
        let one = self.by_id.find(hash, |_| true).map(|place| &self.users[place]);
        one.map_or(0, |one| one.user.touch() ^ one.session.touch())
    }

    /// Adds a user that is not there yet: offline, version 0.
    pub fn add_user(&mut self, id: &str) -> u32 {
        let user = User::new(self.ids.put(id));
        let place = self.users.put(Person { user, session: Session::vacant() });
        let Self { ids, users, by_id, .. } = self;
        by_id.insert(user_hash(id), place, |one| murmur2(ids.bytes(&users[one].user.id)));
        place
    }

    /// Forgets a user without live sessions.
    pub fn remove_user(&mut self, user: u32) {
        debug_assert_eq!(self.live(user), 0, "no session lives without its user");
        let Self { ids, users, by_id, .. } = self;
        let id = users[user].user.id;
        by_id.remove(murmur2(ids.bytes(&id)), user, |one| murmur2(ids.bytes(&users[one].user.id)));
        if self.user(user).has_extra() {
            self.edit(user, |extra| *extra = Extra::default());
        }
        if self.user(user).seen_apart() {
            self.seen_apart.remove(&user);
        }
        self.ids.drop(id);
        self.users.free(user);
    }

    /// Users in memory in no particular order: sort before anything depends on it.
    pub fn users(&self) -> impl Iterator<Item = u32> {
        self.by_id.iter()
    }

    #[inline]
    pub fn user(&self, user: u32) -> &User {
        &self.users[user].user
    }

    #[inline]
    pub fn user_mut(&mut self, user: u32) -> &mut User {
        &mut self.users[user].user
    }

    /// Record time of the user's latest heartbeat or goodbye while visible; 0 before the first.
    #[inline]
    pub fn last_seen_ms(&self, user: u32) -> i64 {
        let Person { user: one, session } = &self.users[user];
        match one.seen_apart() {
            true => self.seen_apart.get(&user).copied().unwrap_or_default(),
            false => session.beat_time_ms(),
        }
    }

    pub fn see(&mut self, user: u32, time_ms: i64) {
        self.set_last_seen_ms(user, self.last_seen_ms(user).max(time_ms));
    }

    /// To be called also where the session beside the user has become another one or was heard again.
    #[inline]
    fn set_last_seen_ms(&mut self, user: u32, time_ms: i64) {
        let Person { user: one, session } = &mut self.users[user];
        if !session.taken() {
            session.set_beat_time_ms(time_ms);
        }
        let apart = session.beat_time_ms() != time_ms;
        if apart {
            self.seen_apart.insert(user, time_ms);
        } else if one.seen_apart() {
            self.seen_apart.remove(&user);
        }
        one.set_seen_apart(apart);
    }

    pub fn user_id(&self, user: u32) -> &str {
        self.ids.text(&self.users[user].user.id)
    }

    pub fn user_bytes(&self, user: u32) -> &[u8] {
        self.ids.bytes(&self.users[user].user.id)
    }

    #[inline]
    pub fn extra(&self, user: u32) -> Option<&Extra> {
        if self.user(user).has_extra() { self.extras.get(user) } else { None }
    }

    /// Changes a user's extra, which files its deadlines anew.
    pub fn edit<R>(&mut self, user: u32, change: impl FnOnce(&mut Extra) -> R) -> R {
        let lives = self.lives(user);
        let (result, left) = self.extras.edit(user, lives, change);
        self.user_mut(user).set_has_extra(left);
        result
    }

    pub fn choice(&self, user: u32) -> Option<Choice> {
        self.extra(user).and_then(|extra| extra.choice)
    }

    /// Whether the record at `offset` lies below the user's row.
    #[inline]
    pub fn silent(&self, user: u32, offset: Offset) -> bool {
        self.extra(user).is_some_and(|extra| offset < extra.silent_below)
    }

    /// The status that choice and sessions give a user now, announced or not.
    pub fn status(&self, user: u32) -> Status {
        if !self.lives(user) {
            return Status::Offline;
        }
        match self.choice(user) {
            Some(Choice::Invisible) => Status::Offline,
            Some(Choice::Busy) => Status::Busy,
            Some(Choice::Away) => Status::Away,
            Some(Choice::Auto) | None => {
                let sessions = self.sessions_of(user).map(|session| self.session(session).status());
                sessions.max().unwrap_or(Status::Offline)
            }
        }
    }

    /// Whether nothing keeps the user in memory: it is announced offline and all that is known of it is in
    /// its row.
    pub fn may_leave(&self, user: u32) -> bool {
        let busy = |extra: &Extra| !extra.tombstones.is_empty() || extra.pending.is_some();
        !self.lives(user)
            && self.user(user).public() == Status::Offline
            && !self.extra(user).is_some_and(busy)
    }

    /// Whether the user has a live session.
    #[inline]
    pub fn lives(&self, user: u32) -> bool {
        let Person { user, session } = &self.users[user];
        session.live() || user.has_further()
    }

    /// How many live sessions the user has.
    pub fn live(&self, user: u32) -> u8 {
        self.sessions_of(user).count() as u8
    }

    #[inline]
    pub fn session(&self, session: u32) -> &Session {
        match session.checked_sub(FURTHER) {
            None => &self.users[session].session,
            Some(further) => &self.further[further].session,
        }
    }

    #[inline]
    pub fn session_mut(&mut self, session: u32) -> &mut Session {
        match session.checked_sub(FURTHER) {
            None => &mut self.users[session].session,
            Some(further) => &mut self.further[further].session,
        }
    }

    #[inline]
    pub fn user_of(&self, session: u32) -> u32 {
        session.checked_sub(FURTHER).map_or(session, |further| self.further[further].user)
    }

    pub fn session_id(&self, session: u32) -> &str {
        self.ids.text(&self.session(session).id)
    }

    pub fn session_bytes(&self, session: u32) -> &[u8] {
        self.ids.bytes(&self.session(session).id)
    }

    /// All live sessions of the bucket, in no particular order: sort before anything depends on it.
    pub fn live_sessions(&self) -> impl Iterator<Item = u32> {
        self.live_among(0..FURTHER).chain(self.live_among(FURTHER..u32::MAX))
    }

    /// The live sessions of a range of numbers, all of users or all further ones.
    pub fn live_among(&self, numbers: Range<u32>) -> impl Iterator<Item = u32> {
        let end = match numbers.start.checked_sub(FURTHER) {
            None => self.users.len() as u32,
            Some(_) => FURTHER + self.further.len() as u32,
        };
        (numbers.start..numbers.end.min(end)).filter(|session| self.session(*session).live())
    }

    pub fn sessions_of(&self, user: u32) -> impl Iterator<Item = u32> {
        let beside = Some(user).filter(|user| self.session(*user).live());
        let first = match self.user(user).has_further() {
            true => self.further_of.get(&user).copied(),
            false => None,
        };
        let next = |session: &u32| {
            let next = self.further[*session - FURTHER].next;
            Some(next).filter(|next| *next != NO_SESSION)
        };
        beside.into_iter().chain(std::iter::successors(first, next))
    }

    #[inline]
    pub fn find_session(&self, user: u32, id: &str) -> Option<u32> {
        let is_meant = |session: &u32| self.ids.is(&self.session(*session).id, id.as_bytes());
        if self.session(user).live() && is_meant(&user) {
            return Some(user);
        }
        if self.user(user).has_further() { self.sessions_of(user).find(is_meant) } else { None }
    }

    /// `seen`: the beat that begins the session shows its user.
    pub fn add_session(&mut self, user: u32, id: &str, terms: &Terms, seen: bool) -> u32 {
        let (link, _) = self.links.take(Linked::lease(terms.lease_ms));
        let session = Session::new(self.ids.put(id), terms, link);
        let last_seen_ms = self.last_seen_after(user, terms, seen);
        self.live += 1;
        let place = if self.session(user).taken() {
            let next = self.further_of.get(&user).copied().unwrap_or(NO_SESSION);
            let place = self.further.put(Further { user, next, session }) + FURTHER;
            self.further_of.insert(user, place);
            self.user_mut(user).set_has_further(true);
            place
        } else {
            *self.session_mut(user) = session;
            user
        };
        self.set_pair(place, terms.epoch, terms.counter);
        self.set_last_seen_ms(user, last_seen_ms);
        self.refile_choice(user);
        place
    }

    /// Takes a session off its user. Its id and names can still be read until [`People::free_session`].
    pub fn end_session(&mut self, session: u32) {
        let user = self.user_of(session);
        if let Some(further) = session.checked_sub(FURTHER) {
            let next = self.further[further].next;
            let before = self.sessions_of(user).skip_while(|one| *one < FURTHER);
            match before.take_while(|one| *one != session).last() {
                Some(before) => self.further[before - FURTHER].next = next,
                None if next == NO_SESSION => {
                    self.further_of.remove(&user);
                    self.user_mut(user).set_has_further(false);
                }
                None => {
                    self.further_of.insert(user, next);
                }
            }
        }
        self.live -= 1;
        self.session_mut(session).set_live(false);
        self.refile_choice(user);
    }

    pub fn free_session(&mut self, session: u32) {
        let (id, link) = (self.session(session).id, self.session(session).link());
        let user = self.user_of(session);
        let last_seen_ms = self.last_seen_ms(user);
        self.ids.drop(id);
        self.unlink(link);
        self.session_extras.remove(&session);
        self.pairs_apart.remove(&session);
        *self.session_mut(session) = Session::vacant();
        self.set_last_seen_ms(user, last_seen_ms);
        if let Some(further) = session.checked_sub(FURTHER) {
            self.further.free(further);
        }
    }

    /// What a beat says of a session that goes on, but for its lease. `seen`: it shows its user.
    #[inline]
    pub fn set_terms(&mut self, session: u32, terms: &Terms, seen: bool) {
        let user = self.user_of(session);
        let last_seen_ms = self.last_seen_after(user, terms, seen);
        self.session_mut(session).set_terms(terms);
        self.set_pair(session, terms.epoch, terms.counter);
        self.set_last_seen_ms(user, last_seen_ms);
    }

    /// Epoch and counter of what the session said last.
    #[inline]
    pub fn pair(&self, session: u32) -> (i64, i64) {
        let pair = self.session(session).pair().get();
        pair.unwrap_or_else(|| self.pairs_apart.get(&session).copied().unwrap_or_default())
    }

    #[inline]
    pub fn set_pair(&mut self, session: u32, epoch: i64, counter: i64) {
        let pair = Pair::new(epoch, counter);
        if pair.is_none() {
            self.pairs_apart.insert(session, (epoch, counter));
        }
        self.session_mut(session).set_pair(pair.unwrap_or(Pair::apart()));
    }

    /// When a user has been seen last once a beat has been taken in.
    #[inline]
    fn last_seen_after(&self, user: u32, terms: &Terms, seen: bool) -> i64 {
        let before_ms = self.last_seen_ms(user);
        if seen { before_ms.max(terms.beat_time_ms) } else { before_ms }
    }

    #[inline]
    pub fn lease_ms(&self, session: u32) -> i64 {
        self.linked(session).lease_ms.into()
    }

    /// The lease clock at which silence ends the session.
    #[inline]
    pub fn silent_at_ms(&self, session: u32) -> i64 {
        let short_ms = if mutant::is(Mutant::LeaseCutShort) { BEACON_INTERVAL_MS } else { 0 };
        self.session(session).beat_clock_ms() + self.lease_ms(session) - short_ms
    }

    #[inline]
    pub fn linked(&self, session: u32) -> Linked {
        self.links.get(self.session(session).link())
    }

    pub fn relink(&mut self, session: u32, linked: Linked) {
        let (link, new) = self.links.take(linked);
        if new {
            self.names.keep(linked.device);
            self.names.keep(linked.gateway);
        }
        let former = self.session(session).link();
        self.session_mut(session).set_link(link);
        self.unlink(former);
    }

    fn unlink(&mut self, link: u32) {
        if let Some(gone) = self.links.give_back(link) {
            self.names.give_back(gone.device);
            self.names.give_back(gone.gateway);
        }
    }

    pub fn device(&self, session: u32) -> Option<&str> {
        self.names.get(self.linked(session).device)
    }

    pub fn gateway(&self, session: u32) -> Option<&str> {
        self.names.get(self.linked(session).gateway)
    }

    pub fn set_device(&mut self, session: u32, device: Option<&str>) {
        let device = self.names.take(device);
        self.relink(session, Linked { device, ..self.linked(session) });
        self.names.give_back(device);
    }

    pub fn set_gateway(&mut self, session: u32, gateway: Option<&str>) {
        let gateway = self.names.take(gateway);
        self.relink(session, Linked { gateway, ..self.linked(session) });
        self.names.give_back(gateway);
    }

    pub fn name(&self, text: &str) -> Option<Name> {
        self.names.find(text)
    }

    /// Every name in use, in no particular order.
    pub fn names(&self) -> impl Iterator<Item = (Name, &str)> {
        self.names.iter()
    }

    #[inline]
    pub fn session_extra(&self, session: u32) -> SessionExtra {
        match self.session(session).has_extra() {
            true => self.session_extras.get(&session).copied().unwrap_or_default(),
            false => SessionExtra::default(),
        }
    }

    pub fn set_session_extra(&mut self, session: u32, extra: SessionExtra) {
        let any = extra != SessionExtra::default();
        if any {
            self.session_extras.insert(session, extra);
        } else if self.session(session).has_extra() {
            self.session_extras.remove(&session);
        }
        self.session_mut(session).set_has_extra(any);
    }

    /// Whether the end of a choice is watched depends on there being a live session.
    fn refile_choice(&mut self, user: u32) {
        if self.user(user).has_extra() {
            self.edit(user, |_| ());
        }
    }
}

#[cfg(test)]
mod tests;
