//! The users and live sessions of a bucket that are in memory.

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashTable};

use super::{
    ids::Ids,
    names::{Name, Names},
    session::{NO_SESSION, Session, Terms},
    user::{Extra, Extras, User},
    wheel::UNFILED,
};
use crate::{
    id::murmur2,
    log::Offset,
    record::{heartbeats::Choice, transition::Status},
};

#[derive(Debug, Default)]
pub(super) struct People {
    ids: Ids,
    names: Names,
    users: Vec<User>,
    free_users: Vec<u32>,
    by_id: HashTable<u32>,
    pub extras: Extras,
    sessions: Vec<Session>,
    free_sessions: Vec<u32>,
    session_extras: HashMap<u32, SessionExtra, FixedState>,
    live: u64,
}

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
    /// Users in memory, and live sessions.
    pub fn counts(&self) -> (u64, u64) {
        (self.by_id.len() as u64, self.live)
    }

    #[inline]
    pub fn find_user(&self, hash: u32, user: &str) -> Option<u32> {
        let bytes = user.as_bytes();
        self.by_id.find(spread(hash), |one| self.ids.is(&self.users[*one as usize].id, bytes)).copied()
    }

    /// Adds a user that is not there yet: offline, version 0.
    pub fn add_user(&mut self, id: &str) -> u32 {
        let user = User::new(self.ids.put(id));
        let place = place(&mut self.users, &mut self.free_users, user);
        let Self { ids, users, by_id, .. } = self;
        let hash = |one: &u32| spread(murmur2(ids.bytes(&users[*one as usize].id)));
        by_id.insert_unique(hash(&place), place, hash);
        place
    }

    /// Forgets a user without live sessions.
    pub fn remove_user(&mut self, user: u32) {
        debug_assert_eq!(self.users[user as usize].first, NO_SESSION, "no session lives without its user");
        let id = self.users[user as usize].id;
        let hash = spread(murmur2(self.ids.bytes(&id)));
        if let Ok(found) = self.by_id.find_entry(hash, |one| *one == user) {
            found.remove();
        }
        if self.users[user as usize].has_extra() {
            self.edit(user, |extra| *extra = Extra::default());
        }
        self.ids.drop(id);
        self.free_users.push(user);
    }

    /// Users in memory in no particular order: sort before anything depends on it.
    pub fn users(&self) -> impl Iterator<Item = u32> {
        self.by_id.iter().copied()
    }

    #[inline]
    pub fn user(&self, user: u32) -> &User {
        &self.users[user as usize]
    }

    #[inline]
    pub fn user_mut(&mut self, user: u32) -> &mut User {
        &mut self.users[user as usize]
    }

    pub fn user_id(&self, user: u32) -> &str {
        self.ids.text(&self.users[user as usize].id)
    }

    pub fn user_bytes(&self, user: u32) -> &[u8] {
        self.ids.bytes(&self.users[user as usize].id)
    }

    #[inline]
    pub fn extra(&self, user: u32) -> Option<&Extra> {
        if self.users[user as usize].has_extra() { self.extras.get(user) } else { None }
    }

    /// Changes a user's extra, which files its deadlines anew.
    pub fn edit<R>(&mut self, user: u32, change: impl FnOnce(&mut Extra) -> R) -> R {
        let one = &mut self.users[user as usize];
        let (result, left) = self.extras.edit(user, one.live > 0, change);
        one.set_has_extra(left);
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
        if self.users[user as usize].first == NO_SESSION {
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
        let one = &self.users[user as usize];
        let busy = |extra: &Extra| !extra.tombstones.is_empty() || extra.pending.is_some();
        one.first == NO_SESSION && one.public() == Status::Offline && !self.extra(user).is_some_and(busy)
    }

    #[inline]
    pub fn session(&self, session: u32) -> &Session {
        &self.sessions[session as usize]
    }

    #[inline]
    pub fn session_mut(&mut self, session: u32) -> &mut Session {
        &mut self.sessions[session as usize]
    }

    pub fn session_id(&self, session: u32) -> &str {
        self.ids.text(&self.sessions[session as usize].id)
    }

    pub fn session_bytes(&self, session: u32) -> &[u8] {
        self.ids.bytes(&self.sessions[session as usize].id)
    }

    /// All live sessions of the bucket, in no particular order: sort before anything depends on it.
    pub fn live_sessions(&self) -> impl Iterator<Item = u32> {
        (0..self.sessions.len() as u32).filter(|session| self.session(*session).live())
    }

    pub fn sessions_of(&self, user: u32) -> impl Iterator<Item = u32> {
        let first = Some(self.users[user as usize].first).filter(|first| *first != NO_SESSION);
        std::iter::successors(first, |session| {
            Some(self.session(*session).next).filter(|next| *next != NO_SESSION)
        })
    }

    #[inline]
    pub fn find_session(&self, user: u32, id: &str) -> Option<u32> {
        let mut session = self.users[user as usize].first;
        while session != NO_SESSION && !self.ids.is(&self.session(session).id, id.as_bytes()) {
            session = self.session(session).next;
        }
        (session != NO_SESSION).then_some(session)
    }

    pub fn add_session(&mut self, user: u32, id: &str, terms: &Terms) -> u32 {
        let mut session = Session::new(user, self.ids.put(id), terms);
        session.next = self.users[user as usize].first;
        if let Some(place) = self.free_sessions.last() {
            // The wheel may still know the place.
            session.filed = self.sessions[*place as usize].filed;
        }
        let place = place(&mut self.sessions, &mut self.free_sessions, session);
        let one = &mut self.users[user as usize];
        (one.first, one.live) = (place, one.live + 1);
        self.live += 1;
        self.refile_choice(user);
        place
    }

    /// Takes a session off its user. Its id and names can still be read until [`People::free_session`].
    pub fn end_session(&mut self, session: u32) {
        let Session { user, next, .. } = *self.session(session);
        let before = self.sessions_of(user).take_while(|one| *one != session).last();
        match before {
            Some(before) => self.session_mut(before).next = next,
            None => self.users[user as usize].first = next,
        }
        self.users[user as usize].live -= 1;
        self.live -= 1;
        self.session_mut(session).set_live(false);
        self.refile_choice(user);
    }

    pub fn free_session(&mut self, session: u32) {
        let Session { id, device, gateway, .. } = *self.session(session);
        self.ids.drop(id);
        self.names.give_back(device);
        self.names.give_back(gateway);
        self.session_extras.remove(&session);
        self.free_sessions.push(session);
    }

    pub fn device(&self, session: u32) -> Option<&str> {
        self.names.get(self.session(session).device)
    }

    pub fn gateway(&self, session: u32) -> Option<&str> {
        self.names.get(self.session(session).gateway)
    }

    pub fn set_device(&mut self, session: u32, device: Option<&str>) {
        let name = self.names.take(device);
        let former = std::mem::replace(&mut self.session_mut(session).device, name);
        self.names.give_back(former);
    }

    pub fn set_gateway(&mut self, session: u32, gateway: Option<&str>) {
        let name = self.names.take(gateway);
        let former = std::mem::replace(&mut self.session_mut(session).gateway, name);
        self.names.give_back(former);
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

    /// Says that the wheel no longer knows the place, whoever holds it.
    pub fn unfile(&mut self, session: u32) {
        self.session_mut(session).filed = UNFILED;
    }

    /// Whether the end of a choice is watched depends on there being a live session.
    fn refile_choice(&mut self, user: u32) {
        if self.users[user as usize].has_extra() {
            self.edit(user, |_| ());
        }
    }
}

fn place<T>(places: &mut Vec<T>, free: &mut Vec<u32>, value: T) -> u32 {
    match free.pop() {
        Some(place) => {
            places[place as usize] = value;
            place
        }
        None => {
            places.push(value);
            places.len() as u32 - 1
        }
    }
}

/// Users of one bucket have the low bits of their hash in common: all of it must reach all bits of the
/// table's.
fn spread(hash: u32) -> u64 {
    let mixed = u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 32)
}
