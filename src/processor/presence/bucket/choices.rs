//! The user's own choice of status and texts, and its end.

use std::borrow::Cow;

use super::Bucket;
use crate::{
    mutant::{self, Mutant},
    processor::presence::{
        turn::Now,
        user::{Extra, Origin},
    },
    record::{
        heartbeats::{Choice, Field, StatusChoice},
        transition::Cause,
    },
};

impl Bucket {
    /// A status record changes what it names, `until` like the rest; where nothing is chosen there is no
    /// `until`. A choice that is over by the record's time has ended before: the new one must not end with
    /// the beacon that is about to prove it.
    pub(super) fn choose(&mut self, now: &Now<'_>, user: u32, choice: &StatusChoice<'_>) {
        if self.people.silent(user, now.offset) {
            return;
        }
        self.rechoose(user, now.time_ms, |extra| {
            let is_over = extra.until_ms.is_some_and(|until_ms| until_ms <= now.time_ms);
            if is_over && !mutant::is(Mutant::NextChoiceEndsWithTheLast) {
                extra.clear_choice();
            }
            apply(extra, choice);
        });
    }

    /// The choice of a user without live sessions ends with the user's next record after the beacon that
    /// proved it: the outcome must not depend on whether the user was in memory at that beacon.
    pub(super) fn lapse(&mut self, now: &Now<'_>, user: u32) {
        let Some(extra) = self.people.extra(user) else { return };
        let lapsed = extra.until_ms.is_some_and(|until_ms| until_ms <= now.beacon_time_ms);
        if lapsed && !self.is_watched(user) && now.offset >= extra.silent_below {
            self.rechoose(user, now.time_ms, Extra::clear_choice);
        }
    }

    /// The choice of a user with a live session, or with an offline that waits, ends with the beacon that
    /// proves it.
    pub(super) fn expire_choice(&mut self, now: &Now<'_>, user: u32, until_ms: i64) {
        if !self.people.silent(user, now.offset) && self.is_watched(user) {
            self.rechoose(user, until_ms, Extra::clear_choice);
        }
    }

    fn is_watched(&self, user: u32) -> bool {
        let pending = self.people.extra(user).is_some_and(|extra| extra.pending.is_some());
        self.people.lives(user) || pending || mutant::is(Mutant::ChoiceEndsInMemoryOnly)
    }

    fn rechoose(&mut self, user: u32, occurred_at_ms: i64, change: impl FnOnce(&mut Extra)) {
        let before = self.people.status(user);
        let (chosen, texts) = self.people.edit(user, |extra| {
            let texts = (extra.status_text.clone(), extra.activity.clone());
            let chosen = (extra.choice, extra.until_ms);
            change(extra);
            let texts =
                (extra.status_text.as_ref(), extra.activity.as_ref()) != (texts.0.as_ref(), texts.1.as_ref());
            ((extra.choice, extra.until_ms) != chosen, texts)
        });
        if !chosen && !texts {
            return;
        }
        let changed = self.people.status(user) != before;
        let touch = self.turn.touch(user);
        (touch.row, touch.texts) = (true, touch.texts || texts);
        if changed || touch.origin.is_none() {
            touch.at_once = false;
            touch.origin = Some(Origin { cause: Cause::Status, session: None, device: None, occurred_at_ms });
        }
    }
}

fn apply(extra: &mut Extra, choice: &StatusChoice<'_>) {
    match choice.status {
        Field::LeftOut => {}
        Field::Null | Field::Given(Choice::Auto) => extra.choice = None,
        Field::Given(status) => extra.choice = Some(status),
    }
    let set = |text: &mut Option<Box<str>>, field: &Field<Cow<'_, str>>| match field {
        Field::LeftOut => {}
        Field::Null => *text = None,
        Field::Given(given) => *text = Some(given.as_ref().into()),
    };
    set(&mut extra.status_text, &choice.status_text);
    set(&mut extra.activity, &choice.activity);
    match choice.until_ms {
        Field::LeftOut if mutant::is(Mutant::UntilLostWhenLeftOut) => extra.until_ms = None,
        Field::LeftOut => {}
        Field::Null => extra.until_ms = None,
        Field::Given(until_ms) => extra.until_ms = Some(until_ms),
    }
    if !extra.has_chosen() {
        extra.until_ms = None;
    }
}
