//! `heartbeats` as the contract has it: who is there, what is announced of whom, where sessions are, and the
//! rows that say so; time passes by beacons and by nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::Value;

use super::{Account, Letter, Part};
use crate::{
    limits::BEACON_STEP_MS_MAX,
    log::{Offset, PartitionId},
    sim::log::partition::CommittedRecord,
    table,
    topology::{ProcessorKind, Topic, Topology},
};

mod brake;
mod compare;
mod person;
mod said;
mod session;
mod told;

use brake::Brake;
use person::{Person, Turn};
use said::{Act, Beacon, FIRST, Parameters, Parts, Said};
use session::Session;

/// The rules that are known here.
const FOLD_VERSION: i64 = 1;
/// Times beyond are cut: 2^47 - 1.
const TIME_MS_MAX: i64 = (1 << 47) - 1;

/// The users of one partition of `heartbeats`.
pub struct Presence {
    topology: Arc<Topology>,
    /// Whose beacons count.
    group: String,
    partition: PartitionId,
    pub account: Account,
    clock: Clock,
    /// By number.
    buckets: BTreeMap<u32, Bucket>,
    pub published: Published,
}

/// What the partition's beacons say.
struct Clock {
    now_ms: i64,
    /// The last one: incarnation, elapsed, record time.
    beacon: Option<(String, i64, i64)>,
    parameters: Parameters,
}

#[derive(Default)]
struct Bucket {
    people: BTreeMap<String, Person>,
    brake: Brake,
}

/// Everything that was published and written so far.
#[derive(Default)]
pub struct Published {
    /// By user; version n is at n - 1.
    pub transitions: BTreeMap<String, Vec<Value>>,
    /// By `user/session`, in order.
    pub routes: BTreeMap<String, Vec<Route>>,
    /// By bucket, user and session (`''`: the user's own row): what every record that changed the row made of
    /// it, with the position after that record; `None` where it was deleted.
    pub rows: BTreeMap<RowKey, Vec<(Offset, Option<Cells>)>>,
    /// Transitions, and records of sessions.
    pub totals: (u64, u64),
}

/// Bucket, user and session.
pub type RowKey = (u32, String, String);
pub type Cells = Vec<table::Value>;

/// A record of `sessions`.
#[derive(Debug, Clone, PartialEq)]
pub enum Route {
    Here(Value),
    /// Event and cause.
    Gone(&'static str, &'static str),
}

/// The record that is taken in.
struct Now<'a> {
    partition: PartitionId,
    offset: Offset,
    time_ms: i64,
    clock_ms: i64,
    /// Record time of the last beacon.
    beacon_ms: Option<i64>,
    parameters: &'a Parameters,
}

impl Published {
    fn write(&mut self, bucket: u32, user: &str, session: &str, offset: Offset, cells: Option<Cells>) {
        let key = (bucket, user.to_owned(), session.to_owned());
        self.rows.entry(key).or_default().push((offset + 1, cells));
    }
}

impl Presence {
    pub fn new(topology: &Arc<Topology>, group: &str, partition: PartitionId) -> Self {
        let partitions = topology.partitions(Topic::Heartbeats);
        let numbers = (partition..topology.buckets(ProcessorKind::Presence)).step_by(partitions as usize);
        Self {
            topology: Arc::clone(topology),
            group: group.to_owned(),
            partition,
            account: Account::default(),
            clock: Clock { now_ms: 0, beacon: None, parameters: FIRST },
            buckets: numbers.map(|number| (number, Bucket::default())).collect(),
            published: Published::default(),
        }
    }

    fn parts(&mut self, parts: Parts, record: &CommittedRecord<'_>) {
        let Parts { is_batch, valid, mut refused } = parts;
        let place = |user: &str| self.topology.place(Topic::Heartbeats, user.as_bytes());
        // The first one that can be used decides.
        if valid.first().is_some_and(|(_, part)| place(&part.user) != self.partition) {
            return self.account.send_on(record);
        }
        let (ours, others): (Vec<_>, Vec<_>) =
            valid.into_iter().partition(|(_, part)| place(&part.user) == self.partition);
        refused.extend(others.iter().map(|(index, _)| index));
        refused.sort_unstable();
        if is_batch && !refused.is_empty() {
            let (offset, reason) = (record.offset, "beats".to_owned());
            self.account.letters.push(Letter { offset, reason, sender: None, client_id: None, refused });
        }
        match ours.is_empty() {
            false => self.account.fates.applied += 1,
            true if self.account.letters.last().is_some_and(|letter| letter.offset == record.offset) => {
                self.account.fates.dead += 1;
            }
            // A batch of nothing.
            true => self.account.fates.filtered += 1,
        }
        let now = now(self.partition, &self.clock, record);
        let mut turns: BTreeMap<(u32, String), Turn> = BTreeMap::new();
        for (_, part) in ours {
            let number = self.topology.bucket(ProcessorKind::Presence, part.user.as_bytes());
            let Some(bucket) = self.buckets.get_mut(&number) else { continue };
            let person = bucket.people.entry(part.user.clone()).or_default();
            let turn = turns.entry((number, part.user)).or_insert_with(|| Turn::of(person));
            person.lapse(&now, turn);
            match part.act {
                Act::Beat(beat) => {
                    bucket.brake.hear(now.clock_ms, now.parameters);
                    person.beat(&now, &beat, turn);
                }
                Act::End(end) => person.goodbye(&now, &end, turn),
                Act::Choose(choose) => person.choose(&now, &choose, turn),
            }
        }
        for ((number, user), turn) in turns {
            if let Some(person) =
                self.buckets.get_mut(&number).and_then(|bucket| bucket.people.get_mut(&user))
            {
                person.settle(&now, number, &user, turn, &mut self.published);
            }
        }
    }

    fn gateway_gone(&mut self, gateway: &str, before: Option<i64>, record: &CommittedRecord<'_>) {
        let now = now(self.partition, &self.clock, record);
        for (number, bucket) in &mut self.buckets {
            for (user, person) in &mut bucket.people {
                let mut turn = Turn::of(person);
                person.lose_gateway(&now, gateway, before, &mut turn);
                person.settle(&now, *number, user, turn, &mut self.published);
            }
        }
        self.account.fates.applied += 1;
    }

    fn beacon(&mut self, beacon: Beacon, record: &CommittedRecord<'_>) -> Result<(), String> {
        if beacon.group != self.group {
            self.account.fates.filtered += 1;
            return Ok(());
        }
        if beacon.parameters.fold_version != FOLD_VERSION {
            return Err(format!("a beacon of fold version {}", beacon.parameters.fold_version));
        }
        self.clock.take(beacon, time_ms(record));
        let now = now(self.partition, &self.clock, record);
        for (number, bucket) in &mut self.buckets {
            for (user, turn) in bucket.look(&now) {
                if let Some(person) = bucket.people.get_mut(&user) {
                    person.settle(&now, *number, &user, turn, &mut self.published);
                }
            }
        }
        self.account.fates.applied += 1;
        Ok(())
    }
}

impl Part for Presence {
    const KIND: ProcessorKind = ProcessorKind::Presence;

    fn account(&mut self) -> &mut Account {
        &mut self.account
    }

    fn take(&mut self, record: &CommittedRecord<'_>) -> Result<(), String> {
        match said::judge(record.content.value.as_deref()) {
            Err(why) => self.account.refuse(record.offset, why, None, None),
            Ok(Said::Parts(parts)) => self.parts(parts, record),
            Ok(Said::GatewayGone { gateway, before }) => self.gateway_gone(&gateway, before, record),
            Ok(Said::Beacon(beacon)) => self.beacon(beacon, record)?,
        }
        Ok(())
    }
}

impl Clock {
    /// By the owner's own time since the beacon before, if that one is of the same incarnation; never more
    /// than two intervals, nor than the log's time.
    fn take(&mut self, beacon: Beacon, time_ms: i64) {
        if let Some((incarnation, elapsed_ms, before_ms)) = &self.beacon
            && *incarnation == beacon.incarnation
        {
            let step_ms = (beacon.elapsed_ms - elapsed_ms).min(time_ms - before_ms);
            self.now_ms += step_ms.clamp(0, BEACON_STEP_MS_MAX);
        }
        self.beacon = Some((beacon.incarnation, beacon.elapsed_ms, time_ms));
        self.parameters = beacon.parameters;
    }
}

/// Something that a beacon finds to be due.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    /// Lease clock.
    at_ms: i64,
    user: String,
    /// `''`: the user's own matter.
    session: String,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// The session is away, or no longer busy.
    Status,
    /// The end that a goodbye announced.
    Farewell,
    Silence,
    /// An offline has waited long enough.
    Announce,
}

impl Bucket {
    /// Everything that is due now, in order; of what is due by silence as much as the brake lets go.
    fn look(&mut self, now: &Now<'_>) -> BTreeMap<String, Turn> {
        let mut turns = BTreeMap::new();
        for (user, person) in &mut self.people {
            if let Some(until_ms) = person.choice_over_ms(now) {
                let mut turn = Turn::of(person);
                person.end_choice(until_ms, &mut turn);
                turns.insert(user.clone(), turn);
            }
        }
        let (mut due, mut silent, mut live) = (BTreeSet::new(), BTreeSet::new(), 0);
        for (user, person) in &mut self.people {
            person.tombstones.retain(|_, tombstone| tombstone.until_ms > now.clock_ms);
            let item = |at_ms: i64, session: &str, what: What| Due {
                at_ms,
                user: user.clone(),
                session: session.to_owned(),
                what,
            };
            if let Some((at_ms, _)) = person.pending.as_ref().filter(|(at_ms, _)| *at_ms <= now.clock_ms) {
                due.insert(item(*at_ms, "", What::Announce));
            }
            for (id, session) in &person.sessions {
                live += 1;
                if session.status_at(now) != session.status {
                    due.insert(item(session.status_over_ms(now), id, What::Status));
                }
                match session.farewell {
                    Some((at_ms, _)) if at_ms <= now.clock_ms => {
                        due.insert(item(at_ms, id, What::Farewell));
                    }
                    None if session.silent_at_ms() <= now.clock_ms => {
                        silent.insert(item(session.silent_at_ms(), id, What::Silence));
                    }
                    _ => {}
                }
            }
        }
        let count = self.brake.let_go(now.clock_ms, now.parameters, silent.len() as u64, live);
        due.extend(silent.into_iter().take(count as usize));
        for Due { at_ms, user, session, what } in due {
            let Some(person) = self.people.get_mut(&user) else { continue };
            let turn = turns.entry(user).or_insert_with(|| Turn::of(person));
            match what {
                What::Status => person.idle(now, &session, at_ms, turn),
                What::Farewell => person.fare_well(now, &session, turn),
                What::Silence => person.fall_silent(&session, turn),
                What::Announce => person.announce(turn),
            }
        }
        turns
    }
}

fn now<'a>(partition: PartitionId, clock: &'a Clock, record: &CommittedRecord<'_>) -> Now<'a> {
    Now {
        partition,
        offset: record.offset,
        time_ms: time_ms(record),
        clock_ms: clock.now_ms,
        beacon_ms: clock.beacon.as_ref().map(|(_, _, time_ms)| *time_ms),
        parameters: &clock.parameters,
    }
}

fn time_ms(record: &CommittedRecord<'_>) -> i64 {
    record.time_ms.clamp(0, TIME_MS_MAX)
}
