//! A user: what it chose, its sessions and tombstones, and what was announced of it.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Now, Published, Route, Session,
    said::{Beat, Choose, End, Pair},
    told::{self, Public, Status, Why},
};
use crate::limits::{SESSION_ROW_REFRESH_MS, SESSIONS_PER_USER_MAX, TOMBSTONES_PER_USER_MAX};

#[derive(Debug, Default)]
pub struct Person {
    pub sessions: BTreeMap<String, Session>,
    pub tombstones: BTreeMap<String, Tombstone>,
    pub choice: Choice,
    pub public: Public,
    pub version: u64,
    pub last_seen: i64,
    /// An offline that is to be announced at this lease clock.
    pub pending: Option<(i64, Why)>,
}

#[derive(Debug)]
pub struct Tombstone {
    pair: Pair,
    /// Lease clock.
    pub until_ms: i64,
}

/// The user's own choice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// Never `auto`.
    pub status: Option<String>,
    pub status_text: Option<String>,
    pub activity: Option<String>,
    /// Record time.
    pub until_ms: Option<i64>,
}

/// What one record does to a user.
pub struct Turn {
    /// The sessions before it.
    before: BTreeMap<String, Session>,
    /// The choice was made or ended.
    rechosen: bool,
    /// What changed the user's status or texts last.
    why: Option<Why>,
    at_once: bool,
    /// By session: how many were live when it came, went or moved, and why it went.
    live: BTreeMap<String, u64>,
    ends: BTreeMap<String, &'static str>,
    /// Sessions whose rows are written.
    rows: BTreeSet<String>,
}

impl Turn {
    pub fn of(person: &Person) -> Self {
        Self {
            before: person.sessions.clone(),
            rechosen: false,
            why: None,
            at_once: false,
            live: BTreeMap::new(),
            ends: BTreeMap::new(),
            rows: BTreeSet::new(),
        }
    }
}

impl Person {
    /// What sessions and choice give now, announced or not.
    fn status(&self) -> Status {
        let sessions = self.sessions.values().map(|session| session.status).max();
        match (sessions, self.choice.status.as_deref()) {
            (None, _) | (_, Some("invisible")) => Status::Offline,
            (_, Some("busy")) => Status::Busy,
            (_, Some("away")) => Status::Away,
            (Some(status), _) => status,
        }
    }

    fn see(&mut self, now: &Now<'_>) {
        if self.choice.status.as_deref() != Some("invisible") {
            self.last_seen = self.last_seen.max(now.time_ms);
        }
    }

    pub fn beat(&mut self, now: &Now<'_>, beat: &Beat, turn: &mut Turn) {
        let known = match self.sessions.get(&beat.session) {
            Some(session) => Some(session.pair),
            None => self.tombstones.get(&beat.session).map(|tombstone| tombstone.pair),
        };
        if known.is_some_and(|known| beat.pair <= known) {
            return;
        }
        if !self.sessions.contains_key(&beat.session) && self.sessions.len() >= SESSIONS_PER_USER_MAX {
            let age = |(id, session): &(&String, &Session)| (session.beat_ms, (*id).clone());
            if let Some(oldest) = self.sessions.iter().min_by_key(age).map(|(id, _)| id.clone()) {
                self.end(&oldest, "heartbeat", now.time_ms, turn);
            }
        }
        self.tombstones.remove(&beat.session);
        let before = self.status();
        let former = self.sessions.get(&beat.session).cloned();
        let session = match &former {
            Some(former) => {
                let mut session = former.clone();
                session.hear(now, beat);
                session
            }
            None => Session::begin(now, beat),
        };
        let is_new = former.as_ref().is_none_or(|former| {
            let stale = now.time_ms / 1_000 - former.row_s >= SESSION_ROW_REFRESH_MS / 1_000;
            stale || former.as_shown() != session.as_shown()
        });
        let device = session.device.clone();
        self.sessions.insert(beat.session.clone(), session);
        if is_new {
            turn.rows.insert(beat.session.clone());
            let live = self.sessions.len() as u64;
            if former.is_none() || !turn.live.contains_key(&beat.session) {
                turn.live.insert(beat.session.clone(), live);
            }
        }
        self.changed(before, "heartbeat", Some((&beat.session, device)), now.time_ms, turn);
        self.see(now);
    }

    pub fn goodbye(&mut self, now: &Now<'_>, end: &End, turn: &mut Turn) {
        let Some(session) = self.sessions.get_mut(&end.session) else {
            let known = self.tombstones.get(&end.session).map(|tombstone| tombstone.pair);
            if known.is_none_or(|known| end.pair > known) {
                self.bury(&end.session, end.pair, now.clock_ms + now.parameters.lease_ms);
            }
            return;
        };
        if end.pair <= session.pair {
            return;
        }
        session.pair = end.pair;
        if end.after_ms > 0 {
            session.farewell = Some((now.clock_ms + end.after_ms, now.time_ms));
        }
        self.see(now);
        if end.after_ms == 0 {
            let before = self.status();
            self.leave(now, &end.session, "goodbye", now.time_ms, turn);
            // Not held back, whatever the dwell.
            turn.at_once |= self.status() != before;
        }
    }

    pub fn fare_well(&mut self, now: &Now<'_>, id: &str, turn: &mut Turn) {
        let said_ms = self.sessions.get(id).and_then(|session| session.farewell);
        self.leave(now, id, "goodbye", said_ms.map_or(now.time_ms, |(_, said_ms)| said_ms), turn);
    }

    /// A session ends by its own goodbye or with its gateway, and leaves a tombstone for one lease.
    fn leave(&mut self, now: &Now<'_>, id: &str, cause: &'static str, said_ms: i64, turn: &mut Turn) {
        let Some((pair, lease_ms)) = self.sessions.get(id).map(|session| (session.pair, session.lease_ms))
        else {
            return;
        };
        self.end(id, cause, said_ms, turn);
        self.bury(id, pair, now.clock_ms + lease_ms);
    }

    fn bury(&mut self, id: &str, pair: Pair, until_ms: i64) {
        self.tombstones.remove(id);
        if self.tombstones.len() >= TOMBSTONES_PER_USER_MAX {
            let age = |(id, tombstone): &(&String, &Tombstone)| (tombstone.until_ms, (*id).clone());
            let oldest = self.tombstones.iter().min_by_key(age).map(|(id, _)| id.clone());
            oldest.map(|id| self.tombstones.remove(&id));
        }
        self.tombstones.insert(id.to_owned(), Tombstone { pair, until_ms });
    }

    pub fn fall_silent(&mut self, id: &str, turn: &mut Turn) {
        if let Some(session) = self.sessions.get(id) {
            let occurred_at = session.beat_time_ms + session.lease_ms;
            self.end(id, "expired", occurred_at, turn);
        }
    }

    pub fn lose_gateway(&mut self, now: &Now<'_>, gateway: &str, before: Option<i64>, turn: &mut Turn) {
        let is_lost = |session: &Session| {
            session.gateway.as_deref() == Some(gateway) && before.is_none_or(|before| session.pair.0 < before)
        };
        let lost = self.sessions.iter().filter(|(_, session)| is_lost(session));
        for id in lost.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            self.leave(now, &id, "gateway_gone", now.time_ms, turn);
        }
    }

    fn end(&mut self, id: &str, cause: &'static str, occurred_at: i64, turn: &mut Turn) {
        let before = self.status();
        if let Some(session) = self.sessions.remove(id) {
            turn.live.insert(id.to_owned(), self.sessions.len() as u64);
            turn.ends.insert(id.to_owned(), cause);
            self.changed(before, cause, Some((id, session.device)), occurred_at, turn);
        }
    }

    /// The session is away, or no longer busy.
    pub fn idle(&mut self, now: &Now<'_>, id: &str, at_ms: i64, turn: &mut Turn) {
        let before = self.status();
        let live = self.sessions.len() as u64;
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.status = session.status_at(now);
        let occurred_at = session.beat_time_ms + (at_ms - session.beat_ms);
        let device = session.device.clone();
        turn.rows.insert(id.to_owned());
        turn.live.entry(id.to_owned()).or_insert(live);
        self.changed(before, "idle", Some((id, device)), occurred_at, turn);
    }

    pub fn announce(&mut self, turn: &mut Turn) {
        if let Some((_, why)) = &self.pending {
            (turn.why, turn.at_once) = (Some(why.clone()), true);
        }
    }

    /// What a record leaves out stays as it is; of a choice that is over by its time nothing is left; where
    /// nothing is chosen there is no end.
    pub fn choose(&mut self, now: &Now<'_>, choose: &Choose, turn: &mut Turn) {
        let is_over = |until_ms: i64| until_ms <= now.time_ms;
        let mut choice =
            if self.choice.until_ms.is_some_and(is_over) { Choice::default() } else { self.choice.clone() };
        choice.status = choose.status.over(choice.status).filter(|status| status != "auto");
        choice.status_text = choose.status_text.over(choice.status_text);
        choice.activity = choose.activity.over(choice.activity);
        choice.until_ms = choose.until.over(choice.until_ms);
        if choice == (Choice { until_ms: choice.until_ms, ..Choice::default() }) {
            choice.until_ms = None;
        }
        self.rechoose(choice, now.time_ms, turn);
    }

    /// The choice of a user with a live session, or with an offline that waits, ends with the beacon that
    /// proves it.
    pub fn choice_over_ms(&self, now: &Now<'_>) -> Option<i64> {
        self.choice.until_ms.filter(|until_ms| *until_ms <= now.time_ms && self.is_watched())
    }

    pub fn end_choice(&mut self, until_ms: i64, turn: &mut Turn) {
        self.rechoose(Choice::default(), until_ms, turn);
    }

    /// That of any other user with its next record.
    pub fn lapse(&mut self, now: &Now<'_>, turn: &mut Turn) {
        let proved = |until_ms: i64| now.beacon_ms.is_some_and(|beacon_ms| until_ms <= beacon_ms);
        if self.choice.until_ms.is_some_and(proved) && !self.is_watched() {
            self.rechoose(Choice::default(), now.time_ms, turn);
        }
    }

    fn is_watched(&self) -> bool {
        !self.sessions.is_empty() || self.pending.is_some()
    }

    fn rechoose(&mut self, choice: Choice, occurred_at: i64, turn: &mut Turn) {
        let before = self.status();
        if std::mem::replace(&mut self.choice, choice) == self.choice {
            return;
        }
        turn.rechosen = true;
        let why = Why { cause: "status", session: None, device: None, occurred_at };
        if self.status() != before {
            (turn.why, turn.at_once) = (Some(why), false);
        } else if turn.why.is_none() {
            turn.why = Some(why);
        }
    }

    fn changed(
        &self,
        before: Status,
        cause: &'static str,
        session: Option<(&str, Option<String>)>,
        occurred_at: i64,
        turn: &mut Turn,
    ) {
        if self.status() != before {
            let (session, device) =
                session.map_or((None, None), |(id, device)| (Some(id.to_owned()), device));
            (turn.why, turn.at_once) = (Some(Why { cause, session, device, occurred_at }), false);
        }
    }

    /// The net effect of a record.
    pub fn settle(&mut self, now: &Now<'_>, bucket: u32, user: &str, turn: Turn, published: &mut Published) {
        self.settle_sessions(now, bucket, user, &turn, published);
        let Turn { rechosen, why, at_once, .. } = turn;
        let status = self.status_to_announce(now, why.as_ref(), at_once);
        let texts = Some(&self.choice).filter(|_| status != Status::Offline);
        let public = Public {
            status,
            status_text: texts.and_then(|choice| choice.status_text.clone()),
            activity: texts.and_then(|choice| choice.activity.clone()),
        };
        let news = public != self.public;
        if news {
            let from = std::mem::replace(&mut self.public, public).status;
            let nothing = Why { cause: "none", session: None, device: None, occurred_at: now.time_ms };
            let why = why.unwrap_or(nothing);
            self.version += 1;
            if self.last_seen == 0 {
                // Never seen while visible: it shows itself now.
                self.last_seen = why.occurred_at;
            }
            let value = told::transition(now, user, self, from, why);
            published.transitions.entry(user.to_owned()).or_default().push(value);
            published.totals.0 += 1;
        }
        if news || rechosen {
            let row = told::user_row(now, self);
            published.write(bucket, user, "", now.offset, Some(row));
        }
    }

    fn settle_sessions(
        &mut self,
        now: &Now<'_>,
        bucket: u32,
        user: &str,
        turn: &Turn,
        published: &mut Published,
    ) {
        let ids: BTreeSet<_> = turn.before.keys().chain(self.sessions.keys()).cloned().collect();
        for id in ids {
            let live = turn.live.get(&id).copied().unwrap_or(0);
            let (before, after) = (turn.before.get(&id), self.sessions.get_mut(&id));
            let said = match (before, &after) {
                (None, Some(session)) => {
                    let event = if live == 1 { "join" } else { "add" };
                    Some(Route::Here(told::session(now, user, &id, session, event, live)))
                }
                (Some(former), Some(session)) if former.route() != session.route() => {
                    Some(Route::Here(told::session(now, user, &id, session, "move", live)))
                }
                (Some(_), None) => {
                    let event = if live == 0 { "leave" } else { "remove" };
                    Some(Route::Gone(event, turn.ends.get(&id).copied().unwrap_or("none")))
                }
                _ => None,
            };
            if let Some(said) = said {
                published.routes.entry(format!("{user}/{id}")).or_default().push(said);
                published.totals.1 += 1;
            }
            match after {
                Some(session) if turn.rows.contains(&id) => {
                    session.row_s = now.time_ms / 1_000;
                    published.write(bucket, user, &id, now.offset, Some(told::session_row(now, session)));
                }
                None => published.write(bucket, user, &id, now.offset, None),
                Some(_) => {}
            }
        }
    }

    /// An offline may have to wait.
    fn status_to_announce(&mut self, now: &Now<'_>, why: Option<&Why>, at_once: bool) -> Status {
        let invisible = self.choice.status.as_deref() == Some("invisible");
        if !self.sessions.is_empty() || at_once || invisible {
            self.pending = None;
            return self.status();
        }
        if self.pending.is_some() {
            return self.public.status;
        }
        match why {
            Some(why) if now.parameters.dwell_ms > 0 && self.public.status != Status::Offline => {
                self.pending = Some((now.clock_ms + now.parameters.dwell_ms, why.clone()));
                self.public.status
            }
            _ => self.status(),
        }
    }
}
