//! The standard load: 115-byte heartbeats of sessions with 16-byte ids, 30 s beats and 90 s leases, a beacon
//! a second and partition, 1 % of the beats changing a status.
//!
//! A backlog is written with the times of its own record clock: the topic is set to take the producer's time
//! while the backlog is written, and back before a worker starts, since the broker keeps with every batch of
//! records how it got its time. So the lease clock runs as it would have, whatever the speed of reading.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use heartline::{
    id::partition_of,
    record::beacon::{Parameters, encode_beacon},
    topology::{Topic, Topology},
};
use rdkafka::{
    ClientConfig, ClientContext,
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

    fn fields(&self, index: u64, round: u64, changes: Changes) -> String {
        let number = self.first + index;
        let more = match (changes, (index + round) % CHANGE_ROUNDS) {
            (Changes::OnePercent, 0) => r#""busy":true"#,
            (Changes::OnePercent, 1) => r#""busy":false"#,
            _ => r#""gateway":"gw-7""#,
        };
        format!(
            r#""user":"{}","session":"s{number:015}","counter":{},{more}"#,
            user(number),
            100_000 + round
        )
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
    producer: ThreadedProducer<Refusals>,
}

struct Refusals(Arc<AtomicU64>);

impl ClientContext for Refusals {}

impl ProducerContext for Refusals {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        self.0.fetch_add(u64::from(result.is_err()), Ordering::Relaxed);
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
        Ok(Self { producer: config.create_with_context(Refusals(Arc::default()))? })
    }

    pub fn send(
        &self,
        topic: &str,
        partition: i32,
        key: Option<&str>,
        value: &[u8],
        time_ms: Option<i64>,
    ) -> Result<()> {
        let mut record = BaseRecord::<str, [u8]>::to(topic).partition(partition).payload(value);
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

    /// Waits until the broker has all of it.
    pub fn flush(&self) -> Result<()> {
        self.producer.flush(FLUSH_LIMIT).context("flushing what was sent")?;
        let refused = self.producer.context().0.load(Ordering::Relaxed);
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
    group: String,
    second: u64,
    start_ms: i64,
}

impl Backlog {
    /// Beacons are those of an owner of `group`.
    pub fn new(kafka: &str, group: &str, load: Load, start_ms: i64) -> Result<Self> {
        let sender = Sender::new(kafka, 20)?;
        Ok(Self { load, sender, group: group.to_owned(), second: 0, start_ms })
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
            let value = load.beat(index, round, changes);
            let key = load.user(index);
            self.sender.send(HEARTBEATS, load.partition(index), Some(&key), value.as_bytes(), Some(time_ms))?;
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
            self.sender.send(HEARTBEATS, partition as i32, None, value.as_bytes(), Some(time_ms))
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
        let beacon = encode_beacon(&self.group, "bench", elapsed_ms, &Parameters::VERSION_1);
        (0..self.load.partitions as i32)
            .try_for_each(|partition| self.sender.send(HEARTBEATS, partition, None, &beacon, Some(time_ms)))
    }
}

pub const HEARTBEATS: &str = "heartbeats";

/// Calls `work` with 0, 1, 2, … at an even pace; how late it ever was.
pub fn paced(per_second: f64, count: u64, mut work: impl FnMut(u64) -> Result<()>) -> Result<Duration> {
    let (begun, mut latest) = (Instant::now(), Duration::ZERO);
    for number in 0..count {
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
