//! The net effect of a record: rows, routing and at most one transition a user.

use super::Bucket;
use crate::{
    effect::Output,
    mutant::{self, Mutant},
    processor::{
        Setup,
        presence::{
            publish, rows,
            session::{TIME_MS_MAX, row_s},
            turn::{Change, Now, Touch},
            user::{Origin, Pending},
        },
    },
    record::{
        heartbeats::Choice,
        transition::{Cause, Status},
    },
};

impl Bucket {
    /// Carries out what the record changed in this bucket; from here on the bucket's state includes it.
    pub fn settle(&mut self, now: &Now<'_>, setup: &Setup, output: &mut Output) {
        self.origin = now.offset + 1;
        if self.turn.is_empty() {
            return;
        }
        let (changes, touches) = self.turn.take();
        for change in &changes {
            self.settle_session(now, setup, change, output);
        }
        for touch in touches {
            let user = touch.user;
            self.settle_user(now, setup, touch, output);
            self.offer(user, now.batch);
        }
        for change in changes.iter().filter(|change| change.ended.is_some()) {
            self.people.free_session(change.session);
        }
    }

    fn settle_session(&mut self, now: &Now<'_>, setup: &Setup, change: &Change, output: &mut Output) {
        if change.began && change.ended.is_some() {
            return;
        }
        if output.publishing() {
            publish::session(&self.people, now, setup, change, &mut output.arena)
                .into_iter()
                .for_each(|record| output.publish(record));
        }
        if change.ended.is_some() {
            if !mutant::is(Mutant::SessionRowNotDeleted) {
                rows::delete_session(&self.partition, &self.people, change.session, output);
            }
        } else {
            rows::write_session(
                &self.partition,
                &self.people,
                change.session,
                change.metadata.as_deref(),
                setup.generation,
                output,
            );
            self.people.session_mut(change.session).set_row_s(row_s(now.time_ms));
        }
    }

    fn settle_user(&mut self, now: &Now<'_>, setup: &Setup, touch: Touch, output: &mut Output) {
        let user = touch.user;
        let silent = self.people.silent(user, now.offset) && !mutant::is(Mutant::NumberedBelowTheRow);
        let from = self.people.user(user).public();
        let to = self.announced_now(now, &touch);
        if silent {
            return;
        }
        let visible = to != Status::Offline || mutant::is(Mutant::TextsAnnouncedWhileOffline);
        let public = to != from || visible && touch.texts || mutant::is(Mutant::UnchangedAnnounced);
        if public {
            // A cause is noted with every change of status and of texts.
            let origin = touch.origin.unwrap_or(Origin {
                cause: Cause::Status,
                session: None,
                device: None,
                occurred_at_ms: now.time_ms,
            });
            let one = self.people.user_mut(user);
            one.set_version(one.version() + 1);
            one.set_public(to);
            if self.people.last_seen_ms(user) == 0 {
                // Never seen while visible: it shows itself now.
                self.people.see(user, origin.occurred_at_ms.min(TIME_MS_MAX));
            }
            if output.publishing() {
                publish::transition(&self.people, user, from, &origin, now, setup, output);
            }
        }
        if public || touch.row {
            rows::write_user(&self.partition, &self.people, user, setup.generation, output);
        }
    }

    /// The status to be public after this record; an offline may have to wait.
    fn announced_now(&mut self, now: &Now<'_>, touch: &Touch) -> Status {
        let user = touch.user;
        let (public, status) = (self.people.user(user).public(), self.people.status(user));
        let waiting = self.people.extra(user).is_some_and(|extra| extra.pending.is_some());
        let settled =
            self.people.lives(user) || touch.at_once || self.people.choice(user) == Some(Choice::Invisible);
        if settled {
            if waiting {
                self.people.edit(user, |extra| extra.pending = None);
            }
            return status;
        }
        if waiting {
            return public;
        }
        let dwells = now.parameters.dwell_ms > 0 && public != Status::Offline;
        match touch.origin.as_ref().filter(|_| dwells) {
            None => status,
            Some(origin) => {
                let due_ms = now.clock_ms.saturating_add(now.parameters.dwell_ms);
                let pending = Pending { due_ms, origin: origin.clone() };
                self.people.edit(user, |extra| extra.pending = Some(pending));
                public
            }
        }
    }
}
