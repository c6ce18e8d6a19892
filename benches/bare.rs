//! The baselines: the client library alone, as somebody who likes it would write it, with the settings that
//! are known to help.

use std::{
    collections::VecDeque,
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use heartline::kafka::native::FetchQueue;
use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
};

use super::{proc, real::deployment::until};

const SILENCE_LIMIT: Duration = Duration::from_secs(30);
const ASK_LIMIT: Duration = Duration::from_secs(10);

/// Positions of a topic's partitions, by their numbers.
pub type Positions = Vec<i64>;

/// What reading a range took.
#[derive(Debug, Clone, Copy)]
pub struct Drained {
    pub records: u64,
    /// From the first record to the last.
    pub seconds: f64,
    pub own_cpu_s: f64,
    pub broker_cpu_s: f64,
}

impl Drained {
    pub fn per_second(&self) -> f64 {
        self.records as f64 / self.seconds
    }
}

/// The next offset of each partition; a topic that was just made has no leaders at first.
pub fn ends(kafka: &str, topic: &str, partitions: u32) -> Result<Positions> {
    let consumer = reader(kafka)?;
    let end = |partition| {
        until("the partition has a leader", ASK_LIMIT, || {
            Ok(consumer.fetch_watermarks(topic, partition, ASK_LIMIT).ok().map(|(_, end)| end))
        })
    };
    (0..partitions as i32).map(end).collect()
}

/// librdkafka's defaults, and no pause of a second where its queue was full.
pub fn reader(kafka: &str) -> Result<BaseConsumer> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", kafka)
        .set("group.id", "heartline.bench-reader")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "false")
        .set("fetch.queue.backoff.ms", "0");
    Ok(config.create()?)
}

/// Reads a range record by record, with `BaseConsumer::poll`.
pub fn poll_drain(
    kafka: &str,
    topic: &str,
    from: &Positions,
    until: &Positions,
    broker: u32,
) -> Result<Drained> {
    let consumer = reader(kafka)?;
    consumer.assign(&list(topic, from)?)?;
    let mut range = Range::new(from, until);
    let mut heard = Instant::now();
    while !range.is_done() {
        match consumer.poll(Duration::from_millis(100)) {
            Some(message) => {
                let message = message?;
                black_box(message.payload());
                if range.is_first() {
                    range.begin(broker)?;
                }
                range.read(message.partition(), message.offset());
                if range.records.is_multiple_of(4_096) {
                    heard = Instant::now();
                }
            }
            None => ensure!(heard.elapsed() < SILENCE_LIMIT, "{topic} ends before {until:?}"),
        }
    }
    range.end(broker)
}

/// Reads a range in batches, with `rd_kafka_consume_batch_queue`.
pub fn batch_drain(
    kafka: &str,
    topic: &str,
    from: &Positions,
    until: &Positions,
    broker: u32,
) -> Result<Drained> {
    let consumer = Arc::new(reader(kafka)?);
    let Some(queue) = FetchQueue::new(Arc::clone(&consumer)) else {
        anyhow::bail!("a consumer with a group has a queue");
    };
    consumer.assign(&list(topic, from)?)?;
    let mut range = Range::new(from, until);
    let mut taken = VecDeque::with_capacity(2_048);
    let mut heard = Instant::now();
    while !range.is_done() {
        queue.take(Duration::from_millis(100), &mut taken);
        match taken.is_empty() {
            true => ensure!(heard.elapsed() < SILENCE_LIMIT, "{topic} ends before {until:?}"),
            false => heard = Instant::now(),
        }
        for message in taken.drain(..) {
            ensure!(message.error().is_none(), "reading {topic}: {:?}", message.error());
            black_box(message.value());
            if range.is_first() {
                range.begin(broker)?;
            }
            range.read(message.partition() as i32, message.offset());
        }
    }
    drop(taken);
    range.end(broker)
}

pub fn list(topic: &str, from: &Positions) -> Result<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in from.iter().enumerate() {
        list.add_partition_offset(topic, partition as i32, Offset::Offset(*offset))?;
    }
    Ok(list)
}

/// A range that is being read, and what it takes.
struct Range {
    next: Positions,
    until: Positions,
    open: usize,
    records: u64,
    begun: Instant,
    cpu_s: [f64; 2],
}

impl Range {
    fn new(from: &Positions, until: &Positions) -> Self {
        let open = from.iter().zip(until).filter(|(from, until)| from < until).count();
        let (next, until, begun) = (from.clone(), until.clone(), Instant::now());
        Self { next, until, open, records: 0, begun, cpu_s: [0.0; 2] }
    }

    fn is_first(&self) -> bool {
        self.records == 0
    }

    fn is_done(&self) -> bool {
        self.open == 0
    }

    fn begin(&mut self, broker: u32) -> Result<()> {
        self.cpu_s = [proc::own_cpu_s()?, proc::cpu_s(broker)?];
        self.begun = Instant::now();
        Ok(())
    }

    /// Offsets have no gaps where nobody writes in transactions.
    fn read(&mut self, partition: i32, offset: i64) {
        let (next, until) = (&mut self.next[partition as usize], self.until[partition as usize]);
        if *next < until {
            self.records += 1;
            *next = offset + 1;
            self.open -= usize::from(*next >= until);
        }
    }

    fn end(self, broker: u32) -> Result<Drained> {
        let seconds = self.begun.elapsed().as_secs_f64();
        let own_cpu_s = proc::own_cpu_s()? - self.cpu_s[0];
        let broker_cpu_s = proc::cpu_s(broker)? - self.cpu_s[1];
        Ok(Drained { records: self.records, seconds, own_cpu_s, broker_cpu_s })
    }
}
