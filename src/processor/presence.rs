//! The fold of presence: heartbeats, goodbyes and choices become sessions, rows and transitions.
//!
//! The partition has the lease clock and the parameters, which its beacons set; everything else is a
//! bucket's. A record is decoded, placed, carried out in the buckets of its users, and settled: the net
//! effect goes out.

use std::hint::black_box;

use bytes::Bytes;

use crate::{
    effect::{Output, Refresh},
    id::murmur2,
    log::{Offset, RecordRef},
    mutant::{self, Mutant},
    processor::{Checkpoint, Fold, FoldStats, Refreshed, RestoreError, SeenBeacon, Setup, Step, border},
    record::{
        Reason, Refusal,
        beacon::{Beacon, Parameters, encode_beacon},
        dead_letter::Sender,
        heartbeats::{Input, RefusedPart, decode},
    },
    store::{Query, Row},
    topology::{ProcessorKind, Topic},
};
use bucket::{Act, Bucket};
use clock::{FOLD_VERSION, LeaseClock};
use people::{People, user_hash};
use routing::{Part, Routing};
use session::TIME_MS_MAX;
use turn::Now;

mod brake;
mod bucket;
mod checkpoint;
mod clock;
mod fetch;
mod ids;
mod index;
mod leaving;
mod links;
mod names;
mod pair;
mod people;
mod places;
mod publish;
mod routing;
mod rows;
mod session;
mod turn;
mod user;
mod wheel;

/// The fold of one partition of `heartbeats`.
#[derive(Debug)]
pub struct Presence {
    setup: Setup,
    routing: Routing,
    /// The position after the last record that was folded.
    position: Offset,
    clock: LeaseClock,
    /// In the order of their numbers.
    buckets: Vec<Bucket>,
    batch: u64,
}

impl Fold for Presence {
    const KIND: ProcessorKind = ProcessorKind::Presence;
    const BEACONS: bool = true;

    fn new(setup: Setup, position: Offset, resume: Option<&str>) -> Result<Self, RestoreError> {
        let clock = resume.map_or_else(|| Ok(LeaseClock::default()), LeaseClock::from_resume)?;
        let routing = Routing::new(&setup.topology, setup.partition);
        let buckets = routing.numbers().map(|number| Bucket::new(number, position, clock.now_ms)).collect();
        Ok(Self { setup, routing, position, clock, buckets, batch: 0 })
    }

    fn buckets(&self) -> Vec<u32> {
        self.routing.numbers().collect()
    }

    fn restore_bucket(&mut self, bucket: u32, origin: Offset, bytes: &[u8]) -> Result<(), RestoreError> {
        let Some(index) = self.routing.index(bucket) else {
            let partition = self.setup.partition;
            return Err(RestoreError(format!(
                "bucket {bucket} is none of partition {partition} of heartbeats: the topology's partitions \
                 or buckets are not those the checkpoints were written under; start with the former topology"
            )));
        };
        let (restored, clock) = checkpoint::decode(bucket, self.routing.buckets, origin, bytes)?;
        self.buckets[index] = restored;
        self.buckets[index].ahead = Some(clock).filter(|_| origin > self.position);
        Ok(())
    }

    fn begin_batch(&mut self, batch: u64) {
        self.batch = batch;
    }

    fn touch<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) {
        // Producers key their records by the user. Where one does not, its records are folded all the same.
        self.touch_users(keys.map(murmur2).filter_map(|hash| Some((self.routing.bucket(hash)?, hash))));
    }

    fn fold(&mut self, record: &RecordRef<'_>, output: &mut Output) -> Step {
        // Borrowed, because an input that is moved waits for its own bytes.
        let step = match &decode(record.value) {
            Ok(input) => self.fold_input(record, input, output),
            Err(refusal) => self.refuse(record, refusal, &[], output),
        };
        if !matches!(step, Step::Wanting | Step::WantingHeaders | Step::Halt(_)) {
            self.position = record.offset + 1;
        }
        step
    }

    fn wanted<'a>(&self, records: &mut dyn Iterator<Item = RecordRef<'a>>) -> Vec<Query> {
        fetch::wanted(&self.routing, &self.buckets, records)
    }

    fn load(&mut self, query: &Query, rows: Vec<Row>) -> Result<(), RestoreError> {
        fetch::load(&self.routing, &mut self.buckets, self.setup.generation, query, &rows)
    }

    fn checkpoint(&mut self, bucket: u32) -> Option<Checkpoint> {
        let bucket = &mut self.buckets[self.routing.index(bucket)?];
        // The clock changes at beacons only, and a beacon moves the origin of every bucket that it is not
        // below of: so the clock as of a bucket's origin is the present one, or, where the partition has not
        // got to the origin yet, the one that was restored with the bucket.
        let clock = match bucket.ahead.take() {
            Some(clock) if self.position < bucket.origin => bucket.ahead.insert(clock),
            _ => &self.clock,
        }
        .clone();
        let bytes = checkpoint::encode(bucket, &clock);
        Some(Checkpoint { origin: bucket.origin, resume: clock.to_resume(), bytes })
    }

    fn resume(&self) -> String {
        self.clock.to_resume()
    }

    fn acknowledged(&mut self, batch: u64) {
        self.buckets.iter_mut().for_each(|bucket| bucket.acknowledged(batch));
    }

    fn refreshed(refresh: &Refresh, row: Option<&Row>) -> Refreshed {
        rows::refreshed(refresh, row)
    }

    fn beacon(setup: &Setup, incarnation: &str, elapsed_ms: i64, parameters: &Parameters) -> Bytes {
        encode_beacon(&setup.group, incarnation, elapsed_ms, parameters)
    }

    fn seen_beacon(&self) -> Option<SeenBeacon> {
        self.clock.beacon.clone()
    }

    fn stats(&self) -> FoldStats {
        let mut stats = FoldStats { lease_clock_ms: self.clock.now_ms, ..FoldStats::default() };
        for bucket in &self.buckets {
            let (users, sessions) = bucket.people.counts();
            stats.users += users;
            stats.sessions += sessions;
            stats.held += bucket.held();
        }
        stats
    }
}

impl Presence {
    fn fold_input(&mut self, record: &RecordRef<'_>, input: &Input<'_>, output: &mut Output) -> Step {
        match input {
            Input::Beacon(beacon) => self.fold_beacon(record, beacon, output),
            Input::GatewayGone { gateway, before } => self.fold_gateway(record, gateway, *before, output),
            Input::Heartbeat(beat) => self.fold_one(record, &beat.user, Act::Beat(beat), output),
            Input::Goodbye(end) => self.fold_one(record, &end.user, Act::End(end), output),
            Input::Status(choice) => self.fold_one(record, &choice.user, Act::Choose(choice), output),
            Input::Heartbeats { .. } | Input::Goodbyes { .. } => self.fold_batch(record, input, output),
        }
    }

    /// Reads what is stored of users, given by bucket and hash. One pass for each step on the way to them, so
    /// that none of a pass waits for another.
    fn touch_users(&self, users: impl Iterator<Item = (usize, u32)>) {
        let mut found: Vec<(&People, u32)> = Vec::with_capacity(users.size_hint().1.unwrap_or_default());
        found.extend(users.map(|(bucket, hash)| (&self.buckets[bucket].people, hash)));
        let entries = found.iter().fold(0, |read, (people, hash)| read ^ people.touch_index(*hash));
        let ends = found.iter().fold(0, |read, (people, hash)| read ^ people.touch_user(*hash));
        black_box((entries, ends));
    }

    fn fold_beacon(&mut self, record: &RecordRef<'_>, beacon: &Beacon<'_>, output: &mut Output) -> Step {
        if *beacon.group != *self.setup.group && !mutant::is(Mutant::OtherGroupCounted) {
            return Step::Filtered;
        }
        if beacon.parameters.fold_version != FOLD_VERSION {
            return Step::Halt(format!(
                "partition {} of heartbeats, offset {}: fold version {} is in force and this build knows \
                 {FOLD_VERSION}; start a build that knows it",
                self.setup.partition, record.offset, beacon.parameters.fold_version
            ));
        }
        let time_ms = record.time_ms.clamp(0, TIME_MS_MAX);
        let (away_after_ms, busy_for_ms) =
            (self.clock.parameters.away_after_ms, self.clock.parameters.busy_for_ms);
        self.clock.advance(beacon, time_ms);
        let parameters = &self.clock.parameters;
        let all = (away_after_ms, busy_for_ms) != (parameters.away_after_ms, parameters.busy_for_ms);
        self.everywhere(record, output, |bucket, now| bucket.beacon(now, all))
    }

    fn fold_gateway(
        &mut self,
        record: &RecordRef<'_>,
        gateway: &str,
        before: Option<i64>,
        output: &mut Output,
    ) -> Step {
        self.everywhere(record, output, |bucket, now| bucket.gateway_gone(now, gateway, before))
    }

    /// Carries out what concerns every bucket that does not include the record yet.
    fn everywhere(
        &mut self,
        record: &RecordRef<'_>,
        output: &mut Output,
        mut carry_out: impl FnMut(&mut Bucket, &Now<'_>),
    ) -> Step {
        let Self { setup, clock, buckets, batch, .. } = self;
        let now = now(record, clock, *batch);
        let mut step = Step::Filtered;
        let mut former = None;
        for bucket in buckets.iter_mut().filter(|bucket| !bucket.includes(record.offset)) {
            if mutant::is(Mutant::BrakePerPartition) {
                bucket.brake = former.unwrap_or(bucket.brake);
            }
            carry_out(bucket, &now);
            former = Some(bucket.brake);
            bucket.settle(&now, setup, output);
            step = Step::Applied;
        }
        step
    }

    /// Folds what one user said. This is nearly every record.
    fn fold_one(&mut self, record: &RecordRef<'_>, user: &str, act: Act<'_>, output: &mut Output) -> Step {
        let hash = user_hash(user);
        let Some(bucket) = self.routing.bucket(hash) else {
            let partition = self.routing.partition_of(hash);
            return border::send_on(&self.setup, Topic::Heartbeats, record, partition, output);
        };
        let Self { setup, clock, buckets, batch, .. } = self;
        let bucket = &mut buckets[bucket];
        if bucket.includes(record.offset) {
            return Step::Filtered;
        }
        let Some(user) = bucket.people.find_user(hash, user) else { return Step::Wanting };
        let now = now(record, clock, *batch);
        bucket.act(&now, user, act);
        bucket.settle(&now, setup, output);
        Step::Applied
    }

    /// Folds a batch: wholly, or not at all while one of its users is not in memory.
    fn fold_batch(&mut self, record: &RecordRef<'_>, input: &Input<'_>, output: &mut Output) -> Step {
        if let Some(partition) = self.routing.elsewhere(input) {
            return border::send_on(&self.setup, Topic::Heartbeats, record, partition, output);
        }
        let (mut parts, refused) = self.routing.parts(input);
        let any = !parts.is_empty();
        parts.retain(|part| !self.buckets[part.bucket].includes(record.offset));
        self.touch_users(parts.iter().map(|part| (part.bucket, part.hash)));
        for part in &mut parts {
            let user = routing::user_of(&part.act);
            let Some(user) = self.buckets[part.bucket].people.find_user(part.hash, user) else {
                return Step::Wanting;
            };
            part.user = user;
        }
        if !refused.is_empty() {
            let message = format!("{} parts of the batch are refused", refused.len());
            let step = self.refuse(record, &Refusal::new(Reason::Beats, message), &refused, output);
            if step == Step::WantingHeaders {
                return step;
            }
        }
        self.carry_out(record, &parts, output);
        match (any, parts.is_empty()) {
            // A batch of nothing.
            (false, _) if refused.is_empty() => Step::Filtered,
            (false, _) => Step::DeadLettered,
            (true, true) => Step::Filtered,
            (true, false) => Step::Applied,
        }
    }

    fn carry_out(&mut self, record: &RecordRef<'_>, parts: &[Part<'_>], output: &mut Output) {
        let Self { setup, clock, buckets, batch, .. } = self;
        let now = now(record, clock, *batch);
        for part in parts {
            buckets[part.bucket].act(&now, part.user, part.act);
        }
        // Only now: a bucket's origin is beyond the record once it has settled.
        let mut touched: Vec<usize> = parts.iter().map(|part| part.bucket).collect();
        touched.sort_unstable();
        touched.dedup();
        for bucket in touched {
            buckets[bucket].settle(&now, setup, output);
        }
    }

    fn refuse(
        &self,
        record: &RecordRef<'_>,
        refusal: &Refusal,
        parts: &[RefusedPart],
        output: &mut Output,
    ) -> Step {
        border::refuse(&self.setup, Topic::Heartbeats, record, refusal, parts, Sender::default(), output)
    }
}

fn now<'a>(record: &RecordRef<'_>, clock: &'a LeaseClock, batch: u64) -> Now<'a> {
    Now {
        offset: record.offset,
        time_ms: record.time_ms.clamp(0, TIME_MS_MAX),
        clock_ms: clock.now_ms,
        beacon_time_ms: clock.beacon_time_ms(),
        parameters: &clock.parameters,
        batch,
    }
}

#[cfg(test)]
mod tests;
