//! The producers of heartbeats: users with sessions that come, beat, fall silent, say goodbye and come back,
//! and now and then something that no client should send.

use std::{
    borrow::Cow,
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use fastrand::Rng;

use super::{
    super::{newer::with_more, plan::Plan},
    Wire,
};
use crate::{
    limits::HEARTBEAT_BYTES_MAX,
    log::PartitionId,
    record::{
        beacon::{Parameters, encode_beacon},
        heartbeats::{Beat, Choice, End, Field, Input, StatusChoice, encode},
    },
    sim::{Fault, log::partition::Content},
    topology::{Topic, Topology},
};

const SESSIONS: u32 = 3;
const GATEWAYS: u32 = 3;
/// Records that are kept to be sent again.
const SENT_KEPT: usize = 100;
/// Of a record that the log takes and no dead letter can carry whole.
const LARGE_BYTES: usize = 1_000_000;

/// All sessions of a deployment.
pub struct Heartbeats {
    random: Rng,
    topology: Arc<Topology>,
    beat_ms: u64,
    oddities_per_mille: u32,
    sessions: Vec<Session>,
    queue: BinaryHeap<Reverse<(u64, u32)>>,
    /// Records that may be sent again.
    sent: VecDeque<(PartitionId, Content)>,
    /// Records that are on their way for longer than those that follow, and until when.
    late: Vec<(u64, PartitionId, Content)>,
    absent_choices: bool,
    newer: bool,
}

struct Session {
    user: String,
    name: String,
    live: bool,
    epoch: i64,
    counter: i64,
    gateway: u32,
}

impl Heartbeats {
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        let mut random = Rng::with_seed(plan.seed ^ 0x63_6c69_656e_7473);
        let sessions: Vec<_> = (0..plan.users * SESSIONS)
            .map(|number| Session {
                user: format!("user-{}", number / SESSIONS),
                name: format!("s{}", number % SESSIONS),
                live: false,
                epoch: 0,
                counter: 0,
                gateway: 0,
            })
            .collect();
        let queue = (0..sessions.len() as u32).map(|index| Reverse((random.u64(0..20_000), index))).collect();
        Self {
            random,
            topology: Arc::clone(&plan.topology),
            beat_ms: plan.beat_ms,
            oddities_per_mille: plan.oddities_per_mille,
            sessions,
            queue,
            sent: VecDeque::new(),
            late: Vec::new(),
            absent_choices: plan.absent_choices,
            newer: plan.newer_clients,
        }
    }

    /// When the next client does something.
    #[must_use]
    pub fn next_ms(&self) -> u64 {
        let late_ms = self.late.iter().map(|(at_ms, ..)| *at_ms).min().unwrap_or(u64::MAX);
        self.queue.peek().map_or(late_ms, |Reverse((at_ms, _))| late_ms.min(*at_ms))
    }

    /// Lets every client act whose time has come.
    pub(super) fn act(&mut self, now_ms: u64, wire: &mut Wire<'_>) {
        for (_, partition, content) in
            self.late.extract_if(.., |(at_ms, ..)| *at_ms <= now_ms).collect::<Vec<_>>()
        {
            wire.note(Fault::Late, Topic::Heartbeats);
            self.send(partition, content, wire);
        }
        while let Some(Reverse((at_ms, index))) = self.queue.peek().copied()
            && at_ms <= now_ms
        {
            self.queue.pop();
            let pause_ms = self.act_one(now_ms, index, wire);
            self.queue.push(Reverse((now_ms + pause_ms, index)));
        }
    }

    fn act_one(&mut self, now_ms: u64, index: u32, wire: &mut Wire<'_>) -> u64 {
        if wire.silent {
            return self.random.u64(100..1_000);
        }
        if self.random.u32(0..1_000) < self.oddities_per_mille {
            self.send_oddity(now_ms, wire);
        }
        let random = &mut self.random;
        let dice = random.u32(0..1_000);
        let session = &mut self.sessions[index as usize];
        if !session.live && self.absent_choices && random.u32(0..3) > 0 {
            let value = status(session, random, wire.network.broker().wall_ms(now_ms));
            self.send_for(index, &value, wire);
            return self.random.u64(5..150);
        }
        if !session.live {
            session.live = true;
            session.epoch = now_ms as i64;
            session.counter = 0;
            session.gateway = random.u32(0..GATEWAYS);
            let value = beat(session, Some(random), now_ms);
            self.send_for(index, &value, wire);
            return self.beat_ms;
        }
        session.counter += 1;
        match dice {
            0..=19 => {
                session.live = false;
                let after_ms = if random.bool() { 0 } else { random.i64(0..8_000) };
                let value = Input::Goodbye(end(session, after_ms));
                let value = encode(&value);
                self.send_for(index, &value, wire);
                self.random.u64(1_000..30_000)
            }
            20..=49 => {
                session.live = false;
                random.u64(5_000..40_000)
            }
            50..=99 => {
                let value = status(session, random, wire.network.broker().wall_ms(now_ms));
                self.send_for(index, &value, wire);
                self.beat_ms / 2
            }
            100..=119 => {
                session.gateway = random.u32(0..GATEWAYS);
                let value = beat(session, Some(random), now_ms);
                self.send_for(index, &value, wire);
                self.beat_ms
            }
            120..=122 => {
                self.lose_gateway(now_ms, wire);
                self.beat_ms
            }
            123..=180 => {
                self.send_batch(index, wire);
                self.beat_ms
            }
            181..=230 => {
                let value = beat(session, Some(random), now_ms);
                self.send_for(index, &value, wire);
                self.beat_ms
            }
            _ => {
                let value = beat(session, None, now_ms);
                self.send_for(index, &value, wire);
                self.beat_ms
            }
        }
    }

    /// A gateway is gone, which every partition is told.
    fn lose_gateway(&mut self, now_ms: u64, wire: &mut Wire<'_>) {
        let gateway = Cow::from(format!("gw-{}", self.random.u32(0..GATEWAYS)));
        let before = self.random.bool().then_some(now_ms as i64);
        let value = Bytes::from(encode(&Input::GatewayGone { gateway, before }));
        for partition in 0..self.topology.partitions(Topic::Heartbeats) {
            self.send(partition, Content { value: Some(value.clone()), ..Content::default() }, wire);
        }
    }

    /// A gateway's batch of beats or goodbyes: neighbours, those of other partitions among them.
    fn send_batch(&mut self, index: u32, wire: &mut Wire<'_>) {
        let users = index..(index + self.random.u32(1..10)).min(self.sessions.len() as u32);
        let goodbyes = self.random.u32(0..5) == 0;
        let mut beats = Vec::new();
        let mut ends = Vec::new();
        for (number, session) in users.enumerate() {
            let session = &mut self.sessions[session as usize];
            session.counter += 1;
            if goodbyes {
                session.live = false;
                ends.push((number as u32, end(session, 0)));
            } else if session.live {
                beats.push((number as u32, plain_beat(session)));
            }
        }
        let value = match goodbyes {
            true => encode(&Input::Goodbyes { ends, refused: Vec::new() }),
            false => encode(&Input::Heartbeats { beats, refused: Vec::new() }),
        };
        self.send_for(index, &value, wire);
    }

    /// Garbage, misplaced or repeated records.
    fn send_oddity(&mut self, now_ms: u64, wire: &mut Wire<'_>) {
        let partitions = self.topology.partitions(Topic::Heartbeats);
        let partition = self.random.u32(0..partitions);
        match self.random.u32(0..10) {
            0 => {
                wire.note(Fault::Garbage, Topic::Heartbeats);
                let bytes: Vec<u8> = (0..self.random.usize(0..80)).map(|_| self.random.u8(..)).collect();
                self.send(partition, Content { value: Some(bytes.into()), ..Content::default() }, wire);
            }
            1 => {
                wire.note(Fault::Misrouted, Topic::Heartbeats);
                let index = self.random.usize(0..self.sessions.len());
                let session = &mut self.sessions[index];
                session.counter += 1;
                let value = beat(session, Some(&mut self.random), now_ms);
                let key = Some(Bytes::from(session.user.clone()));
                self.send(partition, Content { key, value: Some(value.into()), ..Content::default() }, wire);
            }
            2..=4 => {
                if let Some((partition, content)) = self.random.choice(&self.sent).cloned() {
                    wire.note(Fault::Repeated, Topic::Heartbeats);
                    self.send(partition, content, wire);
                }
            }
            // Another group's owner of the same partition, with parameters of its own.
            5 => {
                let parameters = Parameters { lease_ms: 60_000, ..Parameters::VERSION_1 };
                let value = encode_beacon("another.group", "elsewhere.1", now_ms as i64, &parameters);
                self.send(partition, Content { value: Some(value), ..Content::default() }, wire);
            }
            6 => self.send_faulty(now_ms, wire),
            7 | 8 => {
                let session = self.random.usize(0..self.sessions.len());
                let session = &mut self.sessions[session];
                session.counter += 1;
                let value = Bytes::from(beat(session, Some(&mut self.random), now_ms));
                let key = Bytes::from(session.user.clone());
                let partition = self.topology.place(Topic::Heartbeats, &key);
                let late_ms = now_ms + self.random.u64(2_000..30_000);
                let content = Content { key: Some(key), value: Some(value), headers: Vec::new() };
                self.late.push((late_ms, partition, content));
            }
            _ => {
                wire.note(Fault::Garbage, Topic::Heartbeats);
                self.send(partition, Content::default(), wire);
            }
        }
    }

    /// A beat that is too large, or of a version that nobody knows.
    fn send_faulty(&mut self, now_ms: u64, wire: &mut Wire<'_>) {
        let index = self.random.usize(0..self.sessions.len());
        let session = &mut self.sessions[index];
        session.counter += 1;
        let value = beat(session, Some(&mut self.random), now_ms);
        let value = if self.random.bool() {
            wire.note(Fault::Oversize, Topic::Heartbeats);
            let spaces = vec![b' '; *self.random.choice(&[HEARTBEAT_BYTES_MAX, LARGE_BYTES]).unwrap_or(&0)];
            [&spaces, value.as_slice()].concat()
        } else {
            wire.note(Fault::NewerFormat, Topic::Heartbeats);
            String::from_utf8_lossy(&value).replacen("\"v\":1", "\"v\":2", 1).into_bytes()
        };
        self.send_for(index as u32, &value, wire);
    }

    fn send_for(&mut self, index: u32, value: &[u8], wire: &mut Wire<'_>) {
        let key = Bytes::from(self.sessions[index as usize].user.clone());
        let partition = self.topology.place(Topic::Heartbeats, &key);
        let newer = if self.newer && self.random.u32(0..8) == 0 { with_more(value) } else { None };
        if newer.is_some() {
            wire.note(Fault::NewerFormat, Topic::Heartbeats);
        }
        let value = newer.unwrap_or_else(|| Bytes::copy_from_slice(value));
        let content = Content { key: Some(key), value: Some(value), headers: Vec::new() };
        self.sent.push_back((partition, content.clone()));
        if self.sent.len() > SENT_KEPT {
            self.sent.pop_front();
        }
        self.send(partition, content, wire);
    }

    fn send(&mut self, partition: PartitionId, content: Content, wire: &mut Wire<'_>) {
        wire.send(Topic::Heartbeats, partition, content);
    }
}

fn plain_beat(session: &Session) -> Beat<'static> {
    Beat::new(session.user.clone(), session.name.clone(), session.epoch, session.counter)
}

/// A plain renewal, or a beat that says more.
fn beat(session: &Session, detail: Option<&mut Rng>, now_ms: u64) -> Vec<u8> {
    let mut beat = plain_beat(session);
    if let Some(random) = detail {
        beat.gateway = Field::Given(format!("gw-{}", session.gateway).into());
        beat.device = match random.u32(0..4) {
            0 => Field::Given("ios".into()),
            1 => Field::Null,
            _ => Field::LeftOut,
        };
        beat.lease_ms =
            if random.u32(0..4) == 0 { Field::Given(random.i64(5..12) * 1_000) } else { Field::LeftOut };
        beat.idle_ms =
            if random.u32(0..4) == 0 { Field::Given(random.i64(0..20_000)) } else { Field::LeftOut };
        beat.busy = if random.u32(0..8) == 0 { Field::Given(true) } else { Field::LeftOut };
        let metadata = format!("{{\"at\": {now_ms}}}");
        beat.metadata = if random.u32(0..4) == 0 { Field::Given(&metadata) } else { Field::LeftOut };
        return encode(&Input::Heartbeat(beat));
    }
    encode(&Input::Heartbeat(beat))
}

fn end(session: &Session, after_ms: i64) -> End<'static> {
    End {
        user: session.user.clone().into(),
        session: session.name.clone().into(),
        epoch: session.epoch,
        counter: session.counter,
        after_ms,
    }
}

fn status(session: &Session, random: &mut Rng, wall_ms: i64) -> Vec<u8> {
    let choices = [Choice::Auto, Choice::Away, Choice::Busy, Choice::Invisible];
    let text = |random: &mut Rng| match random.u32(0..3) {
        0 => Field::Given(format!("text {}", random.u32(0..3)).into()),
        1 => Field::Null,
        _ => Field::LeftOut,
    };
    let status = random.choice(&choices).map_or(Field::LeftOut, |choice| Field::Given(*choice));
    let until_ms = if random.bool() { Field::LeftOut } else { Field::Given(wall_ms + random.i64(0..30_000)) };
    let (status_text, activity) = (text(random), text(random));
    encode(&Input::Status(StatusChoice {
        user: session.user.clone().into(),
        status,
        status_text,
        activity,
        until_ms,
    }))
}
