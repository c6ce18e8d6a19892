//! Any successor, from any checkpoints, publishes and writes what a fold without a crash would have.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::harness::{BASE_US, GROUP, Logged, Rows, START_MS, fold, restored, setup};
use crate::{
    effect::{Output, Refresh, RowWrite},
    id::partition_of,
    log::{Offset, OutRecord},
    processor::{Checkpoint, Fold, Step, presence::Presence},
    record::beacon::{Parameters, encode_beacon},
    topology::Topic,
};

const PARTITIONS: u32 = 2;
const BUCKETS: u32 = 6;

/// What a log brings about.
#[derive(Debug, PartialEq)]
struct Outcome {
    published: Vec<(Offset, OutRecord)>,
    rows: Rows,
    /// Of each bucket after records here and there, and at the end.
    checkpoints: BTreeMap<(Offset, u32), (Offset, String, Bytes)>,
}

#[test]
fn a_successor_goes_on_as_if_nothing_had_happened() {
    for seed in 0..200 {
        let traffic = Traffic::new(seed, 2 + seed as usize % 12).records(500);
        let expected = without_crash(&traffic);
        assert_same(seed, &expected, &with_crashes(&traffic, seed));
    }
}

#[test]
fn a_successor_of_a_braked_bucket_goes_on_as_if_nothing_had_happened() {
    for seed in 0..8 {
        let traffic = Traffic::new(seed, 300).records(4_000);
        let expected = without_crash(&traffic);
        assert_same(seed, &expected, &with_crashes(&traffic, seed));
    }
}

#[test]
fn the_same_log_has_the_same_outcome_byte_for_byte() {
    let traffic = Traffic::new(7, 40).records(2_000);
    assert_same(7, &without_crash(&traffic), &without_crash(&traffic));
}

#[test]
fn versions_are_dense_and_each_transition_starts_where_the_last_one_ended() {
    let mut count = 0;
    for seed in 1_000..1_040 {
        let traffic = Traffic::new(seed, 12).records(600);
        let mut last = BTreeMap::<String, (u64, String)>::new();
        for (_, record) in without_crash(&traffic).published {
            if record.topic == Topic::Presence {
                let json: serde_json::Value = serde_json::from_slice(&record.value.unwrap()).unwrap();
                let user = json["user"].as_str().unwrap().to_owned();
                let (version, from) = last.remove(&user).unwrap_or((0, "offline".to_owned()));
                assert_eq!(json["version"], version + 1, "{user}");
                assert_eq!(json["from"], from, "{user}");
                last.insert(user, (version + 1, json["to"].as_str().unwrap().to_owned()));
                count += 1;
            }
        }
    }
    assert!(count > 2_000, "the traffic is lively: {count}");
}

fn assert_same(seed: u64, expected: &Outcome, found: &Outcome) {
    let different = expected.published.iter().zip(&found.published).find(|(a, b)| a != b);
    assert_eq!(different, None, "seed {seed}");
    assert_eq!(expected.published.len(), found.published.len(), "seed {seed}");
    let different = expected.rows.0.iter().zip(&found.rows.0).find(|(a, b)| a != b);
    assert_eq!(different, None, "seed {seed}");
    assert_eq!(expected.rows.0.len(), found.rows.0.len(), "seed {seed}");
    for (place, checkpoint) in &found.checkpoints {
        assert_eq!(expected.checkpoints.get(place), Some(checkpoint), "seed {seed}, {place:?}");
    }
}

fn without_crash(traffic: &[Logged]) -> Outcome {
    let mut presence = Presence::new(setup(PARTITIONS, BUCKETS), 0, None).unwrap();
    let (mut rows, mut published, mut checkpoints) = (Rows::default(), Vec::new(), BTreeMap::new());
    presence.begin_batch(1);
    for (at, record) in traffic.iter().enumerate() {
        let mut output = Output::new(BASE_US);
        let step = fold(&mut presence, record, &rows, &mut output, 0);
        assert!(!matches!(step, Step::Halt(_)), "{step:?}");
        rows.apply(&output.rows, &output.refreshes);
        published.extend(output.records.into_iter().map(|out| (record.offset, out)));
        if is_compared(traffic, at) {
            compare_later(&mut presence, record.offset, &mut checkpoints);
        }
    }
    Outcome { published, rows, checkpoints }
}

/// After which records checkpoints are compared.
fn is_compared(traffic: &[Logged], at: usize) -> bool {
    at + 1 == traffic.len() || at.is_multiple_of(traffic.len() / 100)
}

fn compare_later(
    presence: &mut Presence,
    offset: Offset,
    checkpoints: &mut BTreeMap<(Offset, u32), (Offset, String, Bytes)>,
) {
    for bucket in presence.buckets() {
        let Checkpoint { origin, resume, bytes } = presence.checkpoint(bucket).expect("its own");
        checkpoints.insert((offset, bucket), (origin, resume, bytes));
    }
}

/// Rows that are committed and not yet in the store.
struct Unstored {
    batch: u64,
    rows: Vec<RowWrite>,
    refreshes: Vec<Refresh>,
}

/// Folds in batches; stores late, evicts, checkpoints buckets at different moments, and crashes, all at
/// random. A checkpoint counts once the rows below it are stored.
fn with_crashes(traffic: &[Logged], seed: u64) -> Outcome {
    let mut dice = fastrand::Rng::with_seed(seed ^ 0xdead);
    let setup = setup(PARTITIONS, BUCKETS);
    let mut presence = Presence::new(setup.clone(), 0, None).unwrap();
    let (mut rows, mut published, mut checkpoints) = (Rows::default(), Vec::new(), BTreeMap::new());
    let mut unstored: VecDeque<Unstored> = Default::default();
    // The newest usable checkpoint of each bucket, and those that wait for their rows.
    let mut usable: Vec<Option<Checkpoint>> = vec![None; BUCKETS as usize];
    let mut waiting: Vec<(u64, u32, Checkpoint)> = Vec::new();
    let (mut at, mut committed, mut batch) = (0_usize, 0, 0);
    while at < traffic.len() {
        batch += 1;
        presence.begin_batch(batch);
        let end = traffic.len().min(at + dice.usize(1..=40));
        let mut output = Output::new(BASE_US);
        for (place, record) in traffic.iter().enumerate().take(end).skip(at) {
            let before = output.records.len();
            fold(&mut presence, record, &rows, &mut output, committed);
            published.extend(output.records[before..].iter().map(|out| (record.offset, out.clone())));
            if dice.u8(..) < 8 {
                let buckets = presence.buckets();
                let bucket = buckets[dice.usize(..buckets.len())];
                waiting.push((batch, bucket, presence.checkpoint(bucket).expect("its own")));
            }
            // Below the committed position some users' rows are ahead of the fold.
            if record.offset >= committed && is_compared(traffic, place) {
                compare_later(&mut presence, record.offset, &mut checkpoints);
            }
        }
        at = end;
        committed = committed.max(traffic.get(at).map_or(Offset::MAX, |next| next.offset));
        unstored.push_back(Unstored { batch, rows: output.rows, refreshes: output.refreshes });
        while !unstored.is_empty() && (at == traffic.len() || dice.u8(..) < 140) {
            let Some(one) = unstored.pop_front() else { break };
            rows.apply(&one.rows, &one.refreshes);
            if dice.bool() {
                presence.acknowledged(one.batch);
            }
            for (_, bucket, checkpoint) in waiting.extract_if(.., |(batch, ..)| *batch <= one.batch) {
                usable[bucket as usize] = Some(checkpoint);
            }
        }
        let ready: Option<Vec<(u32, Checkpoint)>> =
            presence.buckets().iter().map(|b| Some((*b, usable[*b as usize].clone()?))).collect();
        if let Some(checkpoints) = ready.filter(|_| dice.u8(..) < 50 && at < traffic.len()) {
            presence = restored(setup.clone(), &checkpoints);
            let from = checkpoints.iter().map(|(_, one)| one.origin).min().unwrap();
            at = traffic.partition_point(|record| record.offset < from);
            unstored.clear();
            waiting.clear();
        }
    }
    assert!(checkpoints.len() >= 100);
    Outcome { published, rows, checkpoints }
}

/// Random records of one partition: valid and not, ours and not, with time that runs, stands and steps back.
struct Traffic {
    dice: fastrand::Rng,
    users: Vec<String>,
    others: Vec<String>,
    time_ms: i64,
    elapsed_ms: i64,
    incarnation: u32,
    parameters: Parameters,
    counter: i64,
    /// While it lasts no heartbeat is sent.
    cut_off: u32,
}

impl Traffic {
    fn new(seed: u64, users: usize) -> Self {
        let names = (0..).map(|n| format!("user-{n}"));
        let (ours, others): (Vec<_>, Vec<_>) =
            names.take(users * 2).partition(|user| partition_of(user.as_bytes(), PARTITIONS) == 0);
        let parameters = Parameters {
            lease_ms: 9_000,
            away_after_ms: 6_000,
            busy_for_ms: 8_000,
            dwell_ms: if seed.is_multiple_of(2) { 4_000 } else { 0 },
            ..Parameters::VERSION_1
        };
        Self {
            dice: fastrand::Rng::with_seed(seed),
            users: ours,
            others,
            time_ms: START_MS,
            elapsed_ms: 0,
            incarnation: 0,
            parameters,
            counter: 0,
            cut_off: 0,
        }
    }

    fn records(mut self, count: usize) -> Vec<Logged> {
        let mut offset = 0;
        let mut record = |value, time_ms| {
            // Transaction markers leave holes.
            offset += if offset % 7 == 3 { 2 } else { 1 };
            Logged { offset: offset - 1, time_ms, value, headers: Vec::new() }
        };
        (0..count)
            .map(|_| {
                let value = self.value();
                record(value, self.time_ms)
            })
            .collect()
    }

    fn value(&mut self) -> Vec<u8> {
        self.time_ms += self.dice.i64(-20..200);
        let crowd = self.users.len() > 50;
        if self.dice.u32(..400) == 0 {
            self.cut_off = 300;
        }
        self.cut_off = self.cut_off.saturating_sub(1);
        let kind = if self.cut_off > 0 && crowd { 0 } else { self.dice.u32(..100) };
        match kind {
            0..20 => self.beacon(),
            20..60 => self.beat().into(),
            60..68 => {
                let beats: Vec<String> = (0..self.dice.usize(0..12)).map(|_| self.beat()).collect();
                let gateway = self.dice.u32(..3);
                format!(
                    r#"{{"v":1,"type":"heartbeats","gateway":"gw-{gateway}","beats":[{}]}}"#,
                    beats.join(",")
                )
                .into()
            }
            68..78 => self.goodbye().into(),
            78..82 => {
                let ends: Vec<String> = (0..self.dice.usize(0..5)).map(|_| self.goodbye()).collect();
                format!(r#"{{"v":1,"type":"goodbyes","ends":[{}]}}"#, ends.join(",")).into()
            }
            82..94 => self.status().into(),
            94..96 if !crowd => {
                let gateway = self.dice.u32(..3);
                format!(r#"{{"v":1,"type":"gateway_gone","gateway":"gw-{gateway}","before":3}}"#).into()
            }
            96 => {
                let user = &self.others[self.dice.usize(..self.others.len())];
                format!(r#"{{"v":1,"type":"heartbeat","user":"{user}","session":"s","counter":1}}"#).into()
            }
            97 => b"no json".to_vec(),
            98 => encode_beacon("another.group", "x", self.elapsed_ms, &self.parameters).to_vec(),
            _ => self.beacon(),
        }
    }

    fn beacon(&mut self) -> Vec<u8> {
        let step = self.dice.i64(0..1_400);
        self.elapsed_ms += step;
        self.time_ms += step;
        match self.dice.u32(..60) {
            0 => {
                self.incarnation += 1;
                self.elapsed_ms = self.dice.i64(0..5_000);
            }
            1 => self.parameters.away_after_ms = self.dice.i64(2_000..12_000),
            2 => self.parameters.busy_for_ms = self.dice.i64(2_000..12_000),
            3 => self.parameters.brake = !self.parameters.brake,
            4 => self.parameters.dwell_ms = self.dice.i64(0..3) * 2_500,
            5 => self.parameters.lease_ms = self.dice.i64(5_000..12_000),
            _ => {}
        }
        let incarnation = format!("one-{}", self.incarnation);
        encode_beacon(GROUP, &incarnation, self.elapsed_ms, &self.parameters).to_vec()
    }

    fn user(&mut self) -> String {
        self.users[self.dice.usize(..self.users.len())].clone()
    }

    /// Mostly the next pair, sometimes an old one.
    fn pair(&mut self) -> (i64, i64) {
        self.counter += 1;
        (
            self.dice.i64(0..5).min(1),
            if self.dice.u8(..) < 30 { self.dice.i64(0..=self.counter) } else { self.counter },
        )
    }

    fn beat(&mut self) -> String {
        let (user, (epoch, counter), session) = (self.user(), self.pair(), self.dice.u32(..3));
        let mut fields = String::new();
        for field in [
            r#","device":"ios""#,
            r#","device":null"#,
            r#","gateway":"gw-1""#,
            r#","gateway":"gw-2""#,
            r#","lease_ms":5000"#,
            r#","lease_ms":null"#,
            r#","idle_ms":3000"#,
            r#","busy":true"#,
            r#","metadata":{"a": 1}"#,
            r#","metadata":null"#,
        ] {
            let name = &field[..field.find(':').unwrap()];
            if self.dice.u8(..) < 60 && !fields.contains(name) {
                fields.push_str(field);
            }
        }
        let session =
            format!(r#""user":"{user}","session":"s-{session}","epoch":{epoch},"counter":{counter}"#);
        format!(r#"{{"v":1,"type":"heartbeat",{session}{fields}}}"#)
    }

    fn goodbye(&mut self) -> String {
        let (user, (epoch, counter), session) = (self.user(), self.pair(), self.dice.u32(..3));
        let after = if self.dice.bool() { 0 } else { self.dice.i64(0..20_000) };
        let session =
            format!(r#""user":"{user}","session":"s-{session}","epoch":{epoch},"counter":{counter}"#);
        format!(r#"{{"v":1,"type":"goodbye",{session},"after_ms":{after}}}"#)
    }

    fn status(&mut self) -> String {
        let user = self.user();
        let mut fields = String::new();
        let choices = ["auto", "away", "busy", "invisible"];
        if self.dice.u8(..) < 180 {
            fields.push_str(&format!(r#","status":"{}""#, choices[self.dice.usize(..4)]));
        }
        if self.dice.u8(..) < 80 {
            fields.push_str(&format!(r#","status_text":"text {}""#, self.dice.u8(..3)));
        }
        if self.dice.u8(..) < 50 {
            fields.push_str(r#","activity":null"#);
        }
        if self.dice.u8(..) < 120 {
            fields.push_str(&format!(r#","until":{}"#, self.time_ms + self.dice.i64(-3_000..15_000)));
        }
        format!(r#"{{"v":1,"type":"status","user":"{user}"{fields}}}"#)
    }
}
