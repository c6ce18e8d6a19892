//! The standard load: 115-byte heartbeats of sessions with 16-byte ids, 30 s beats and 90 s leases, a beacon
//! a second and partition, 1 % of the beats changing a status.
//!
//! A backlog is written with the times of its own record clock: the topic is set to take the producer's time
//! while the backlog is written, and back before a worker starts, since the broker keeps with every batch of
//! records how it got its time. So the lease clock runs as it would have, whatever the speed of reading.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, bail, ensure};
use heartline::{
    id::partition_of,
    record::beacon::{Parameters, encode_beacon},
    topology::{Topic, Topology},
};
use rdkafka::{
    ClientConfig, ClientContext, Message as _,
    error::KafkaError,
    message::DeliveryResult,
    producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer},
    types::RDKafkaErrorCode as Code,
};

/// Seconds between two beats of a session.
pub const BEAT_EVERY_S: u64 = 30;
/// Bytes of a heartbeat that changes nothing.
pub const BEAT_BYTES: usize = 115;
/// Beats of a `heartbeats` record.
pub const BATCH_BEATS: usize = 100;
/// One beat in a hundred changes a status: of two hundred, one begins to be busy and one ends it.
const CHANGE_ROUNDS: u64 = 200;
/// How long ago the record clock of a backlog begins.
const AGO: Duration = Duration::from_secs(12 * 3_600);
const FLUSH_LIMIT: Duration = Duration::from_secs(120);

/// Sessions, one a user.
pub struct Load {
    pub sessions: u64,
    /// Numbers of the first user: those of different figures never meet.
    pub first: u64,
    pub partitions: u32,
    partition: Vec<u8>,
}

impl Load {
    pub fn new(sessions: u64, first: u64) -> Self {
        let partitions = Topology::shipped().partitions(Topic::Heartbeats);
        let of = |index| partition_of(user(first + index).as_bytes(), partitions) as u8;
        Self { sessions, first, partitions, partition: (0..sessions).map(of).collect() }
    }

    pub fn partition(&self, index: u64) -> i32 {
        i32::from(self.partition[index as usize])
    }

    /// The sessions that beat in a second of record time, in an order that differs from round to round: who
    /// beats together does not stay together.
    pub fn due(&self, second: u64) -> impl Iterator<Item = u64> + use<> {
        let (slot, round) = (second % BEAT_EVERY_S, second / BEAT_EVERY_S);
        let count = (self.sessions + BEAT_EVERY_S - 1 - slot) / BEAT_EVERY_S;
        let stride = coprime(count, 7_919 + 2 * round);
        (0..count).map(move |at| at.wrapping_mul(stride) % count * BEAT_EVERY_S + slot)
    }

    pub fn user(&self, index: u64) -> String {
        user(self.first + index)
    }

    /// The value of a session's beat in a round.
    pub fn beat(&self, index: u64, round: u64, changes: Changes) -> String {
        format!(r#"{{"v":1,"type":"heartbeat",{}}}"#, self.fields(index, round, changes))
    }

    /// Whether a session's beat in a round changes its status.
    pub fn is_change(index: u64, round: u64) -> bool {
        (index / BEAT_EVERY_S + round) % CHANGE_ROUNDS < 2
    }

    fn fields(&self, index: u64, round: u64, changes: Changes) -> String {
        let number = self.first + index;
        let more = match (changes, (index / BEAT_EVERY_S + round) % CHANGE_ROUNDS) {
            (Changes::OnePercent, 0) => r#""busy":true"#,
            (Changes::OnePercent, 1) => r#""busy":false"#,
            _ => r#""gateway":"gw-7""#,
        };
        format!(r#""user":"{}","session":"s{number:015}","counter":{},{more}"#, user(number), 100_000 + round)
    }

    pub fn goodbye(&self, index: u64, round: u64) -> String {
        let number = self.first + index;
        format!(
            r#"{{"v":1,"type":"goodbye","user":"{}","session":"s{number:015}","counter":{}}}"#,
            user(number),
            100_000 + round
        )
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changes {
    None,
    OnePercent,
}

fn user(number: u64) -> String {
    format!("u{number:015}")
}

/// The least number from `from` on that has no divisor in common with `count`.
fn coprime(count: u64, from: u64) -> u64 {
    let common = |mut a: u64, mut b: u64| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    (from..).find(|stride| common(count.max(1), *stride) == 1).unwrap_or(1)
}

/// A producer as a gateway has it, that counts what the broker did not take.
pub struct Sender {
    producer: ThreadedProducer<Deliveries>,
}

/// When the broker had taken records, by partition and offset.
pub type Appended = BTreeMap<(i32, i64), Instant>;

#[derive(Default)]
struct Deliveries {
    refused: AtomicU64,
    appended: Mutex<Appended>,
}

/// Whether the time of a record's append is of interest.
const NOTED: usize = 1;

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, noted: usize) {
        match result {
            Ok(message) if noted == NOTED => {
                let at = Instant::now();
                let mut appended = self.appended.lock().unwrap_or_else(PoisonError::into_inner);
                appended.insert((message.partition(), message.offset()), at);
            }
            Ok(_) => {}
            Err(_) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// A record to be sent.
#[derive(Clone, Copy)]
pub struct Outgoing<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub key: Option<&'a str>,
    pub value: &'a [u8],
    /// Where the topic takes the producer's time.
    pub time_ms: Option<i64>,
    pub noted: bool,
}

impl<'a> Outgoing<'a> {
    pub fn new(topic: &'a str, partition: i32, key: &'a str, value: &'a str) -> Self {
        let value = value.as_bytes();
        Self { topic, partition, key: Some(key), value, time_ms: None, noted: false }
    }
}

impl Sender {
    pub fn new(kafka: &str, linger_ms: u32) -> Result<Self> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", kafka)
            .set("compression.codec", "lz4")
            .set("enable.idempotence", "true")
            .set("linger.ms", linger_ms.to_string())
            .set("queue.buffering.max.messages", "1000000")
            .set("queue.buffering.max.kbytes", "262144");
        Ok(Self { producer: config.create_with_context(Deliveries::default())? })
    }

    pub fn send(&self, outgoing: Outgoing<'_>) -> Result<()> {
        let Outgoing { topic, partition, key, value, time_ms, noted } = outgoing;
        let mut record = BaseRecord::<str, [u8], usize>::with_opaque_to(topic, usize::from(noted));
        record = record.partition(partition).payload(value);
        record.key = key;
        record.timestamp = time_ms;
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(Code::QueueFull), unsent)) => {
                    record = unsent;
                    thread::sleep(Duration::from_millis(1));
                }
                Err((failure, _)) => bail!("sending to {topic}: {failure}"),
            }
        }
    }

    /// When the noted records were appended; each is told once.
    pub fn take_appended(&self) -> Appended {
        let deliveries = self.producer.context();
        std::mem::take(&mut *deliveries.appended.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until the broker has all of it.
    pub fn flush(&self) -> Result<()> {
        self.producer.flush(FLUSH_LIMIT).context("flushing what was sent")?;
        let refused = self.producer.context().refused.load(Ordering::Relaxed);
        ensure!(refused == 0, "the broker did not take {refused} records");
        Ok(())
    }
}

/// How beats are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Single,
    /// As `heartbeats` records of [`BATCH_BEATS`] beats of one partition.
    Batched,
}

/// Writes what a load says in its own record time.
pub struct Backlog {
    pub load: Load,
    sender: Sender,
    groups: Vec<String>,
    second: u64,
    start_ms: i64,
}

impl Backlog {
    /// Beacons are those of an owner of `group`.
    pub fn new(kafka: &str, group: &str, load: Load, start_ms: i64) -> Result<Self> {
        let (sender, bytes) = (Sender::new(kafka, 20)?, load.beat(0, 0, Changes::None).len());
        ensure!(bytes == BEAT_BYTES, "a heartbeat has {bytes} bytes");
        Ok(Self { load, sender, groups: vec![group.to_owned()], second: 0, start_ms })
    }

    /// Beacons of an owner of another group as well.
    pub fn also_beacons_of(&mut self, group: &str) {
        self.groups.push(group.to_owned());
    }

    /// Writes the next seconds; how many beats that were.
    pub fn write(&mut self, seconds: u64, form: Form, changes: Changes) -> Result<u64> {
        let mut beats = 0;
        for _ in 0..seconds {
            let time_ms = self.start_ms + self.second as i64 * 1_000;
            beats += match form {
                Form::Single => self.write_single(time_ms, changes)?,
                Form::Batched => self.write_batched(time_ms, changes)?,
            };
            self.second += 1;
            self.write_beacons(self.start_ms + self.second as i64 * 1_000)?;
        }
        self.sender.flush()?;
        Ok(beats)
    }

    fn write_single(&self, time_ms: i64, changes: Changes) -> Result<u64> {
        let (load, round) = (&self.load, self.second / BEAT_EVERY_S);
        let mut beats = 0;
        for index in load.due(self.second) {
            let (key, value) = (load.user(index), load.beat(index, round, changes));
            let outgoing = Outgoing::new(HEARTBEATS, load.partition(index), &key, &value);
            self.sender.send(Outgoing { time_ms: Some(time_ms), ..outgoing })?;
            beats += 1;
        }
        Ok(beats)
    }

    fn write_batched(&self, time_ms: i64, changes: Changes) -> Result<u64> {
        let (load, round) = (&self.load, self.second / BEAT_EVERY_S);
        let mut open: Vec<(usize, String)> = vec![(0, String::new()); load.partitions as usize];
        let mut beats = 0;
        let send = |partition: usize, fields: &str| {
            let value = format!(r#"{{"v":1,"type":"heartbeats","beats":[{fields}]}}"#);
            self.unkeyed(partition as i32, value.as_bytes(), time_ms)
        };
        for index in load.due(self.second) {
            let partition = load.partition(index) as usize;
            let (count, fields) = &mut open[partition];
            let comma = if *count == 0 { "" } else { "," };
            *fields += &format!("{comma}{{{}}}", load.fields(index, round, changes));
            *count += 1;
            beats += 1;
            if *count == BATCH_BEATS {
                send(partition, fields)?;
                (*count, *fields) = (0, String::new());
            }
        }
        for (partition, (count, fields)) in open.iter().enumerate() {
            if *count > 0 {
                send(partition, fields)?;
            }
        }
        Ok(beats)
    }

    fn write_beacons(&self, time_ms: i64) -> Result<()> {
        let elapsed_ms = self.second as i64 * 1_000;
        for group in &self.groups {
            let beacon = encode_beacon(group, "bench", elapsed_ms, &Parameters::VERSION_1);
            (0..self.load.partitions as i32)
                .try_for_each(|partition| self.unkeyed(partition, &beacon, time_ms))?;
        }
        Ok(())
    }

    fn unkeyed(&self, partition: i32, value: &[u8], time_ms: i64) -> Result<()> {
        let (topic, time_ms) = (HEARTBEATS, Some(time_ms));
        self.sender.send(Outgoing { topic, partition, key: None, value, time_ms, noted: false })
    }
}

pub const HEARTBEATS: &str = "heartbeats";

/// When a record clock begins that will not reach the present.
pub fn ago_ms() -> Result<i64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok((now - AGO).as_millis() as i64)
}

/// Calls `work` with 0, 1, 2, … at an even pace; how late it ever was.
pub fn paced(per_second: f64, count: u64, work: impl FnMut(u64) -> Result<()>) -> Result<Duration> {
    paced_while(per_second, |number| number < count, work)
}

/// The same for as long as `goes_on` says so of the next number.
pub fn paced_while(
    per_second: f64,
    goes_on: impl Fn(u64) -> bool,
    mut work: impl FnMut(u64) -> Result<()>,
) -> Result<Duration> {
    let (begun, mut latest) = (Instant::now(), Duration::ZERO);
    for number in (0..).take_while(|number| goes_on(*number)) {
        let due = Duration::from_secs_f64(number as f64 / per_second);
        loop {
            let elapsed = begun.elapsed();
            match due.checked_sub(elapsed) {
                Some(early) if early > Duration::from_micros(200) => thread::sleep(early),
                _ => {
                    latest = latest.max(elapsed.saturating_sub(due));
                    break;
                }
            }
        }
        work(number)?;
    }
    Ok(latest)
}
