//! The bare transactional loop: consume, produce, commit, with no fold and no store. And the reader that sees
//! what is committed.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use heartline::kafka::native::{self, FetchQueue};
use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer},
    types::RDKafkaErrorCode as Code,
};
use tokio::runtime::Runtime;

use super::bare::{self, Positions};

pub const INPUT: &str = "bench-in";
/// As many as a join is published to.
pub const OUTPUTS: [&str; 3] = ["bench-out-0", "bench-out-1", "bench-out-2"];
/// Bytes of an echo, as many as a transition has.
const ECHO_BYTES: usize = 320;
/// Records of one transaction: where latency is of no interest, larger ones were not faster.
const TRANSACTION_RECORDS: usize = 10_000;
const LIMIT: Duration = Duration::from_secs(30);
const SILENCE_LIMIT: Duration = Duration::from_secs(60);

/// How many records an input record brings about, one in each of the first outputs.
pub type Copies = fn(&[u8]) -> usize;

/// From where to where, and what becomes of a record.
#[derive(Clone, Copy)]
pub struct Route {
    /// Of its group and its producer.
    pub name: &'static str,
    pub input: &'static str,
    pub outputs: &'static [&'static str],
    pub copies: Copies,
    /// Whether records go on as they are; otherwise as something that says where it comes from.
    pub whole: bool,
}

/// A running loop.
pub struct Echo {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Echo {
    /// Makes its topics and starts at their end.
    pub fn start(kafka: &str, partitions: u32, copies: Copies) -> Result<Self> {
        let route = Route { name: "bench-echo", input: INPUT, outputs: &OUTPUTS, copies, whole: false };
        Self::start_on(kafka, partitions, route)
    }

    /// The same on another route.
    pub fn start_on(kafka: &str, partitions: u32, route: Route) -> Result<Self> {
        make_topics(kafka, partitions, &[&[route.input], route.outputs].concat())?;
        let from = bare::ends(kafka, route.input, partitions)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, kafka) = (Arc::clone(&stop), kafka.to_owned());
        let thread = thread::spawn(move || run(&kafka, &from, route, &stopped));
        Ok(Self { stop, thread: Some(thread) })
    }

    pub fn stop(mut self) -> Result<()> {
        self.stop.store(true, Ordering::Release);
        let thread = self.thread.take().context("a thread")?;
        thread.join().map_err(|_| anyhow!("the echo's thread panicked"))?
    }
}

/// Makes topics that are not there.
pub fn make_topics(kafka: &str, partitions: u32, names: &[&str]) -> Result<()> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", kafka);
    let admin: AdminClient<DefaultClientContext> = config.create()?;
    let topic = |name| NewTopic::new(name, partitions as i32, TopicReplication::Fixed(1));
    let topics: Vec<NewTopic<'_>> = names.iter().copied().map(topic).collect();
    let options = AdminOptions::new().operation_timeout(Some(LIMIT));
    for answer in Runtime::new()?.block_on(admin.create_topics(&topics, &options))? {
        match answer {
            Ok(_) | Err((_, Code::TopicAlreadyExists)) => {}
            Err((name, code)) => return Err(anyhow!("topic {name}: {code}")),
        }
    }
    Ok(())
}

type Producer = ThreadedProducer<DefaultProducerContext>;

fn run(kafka: &str, from: &Positions, route: Route, stop: &AtomicBool) -> Result<()> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", kafka)
        .set("transactional.id", route.name)
        .set("compression.codec", "lz4")
        .set("linger.ms", "1")
        .set("queue.buffering.max.messages", "1000000")
        .set("retry.backoff.ms", "2")
        .set("retry.backoff.max.ms", "20");
    let producer: Producer = config.create_with_context(DefaultProducerContext)?;
    producer.init_transactions(LIMIT)?;
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", kafka)
        .set("group.id", route.name)
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("fetch.queue.backoff.ms", "0");
    let consumer: Arc<BaseConsumer> = Arc::new(config.create()?);
    let queue = FetchQueue::new(Arc::clone(&consumer)).context("a consumer with a group has a queue")?;
    consumer.assign(&bare::list(route.input, from)?)?;
    let metadata = consumer.group_metadata().context("metadata of the group")?;
    let mut taken = VecDeque::new();
    while !stop.load(Ordering::Acquire) {
        queue.take(Duration::from_millis(100), &mut taken);
        while !taken.is_empty() && taken.len() < TRANSACTION_RECORDS {
            let before = taken.len();
            queue.take(Duration::ZERO, &mut taken);
            if taken.len() == before {
                break;
            }
        }
        if taken.is_empty() {
            continue;
        }
        producer.begin_transaction()?;
        let mut next: Vec<Option<i64>> = vec![None; from.len()];
        for message in taken.drain(..) {
            ensure!(message.error().is_none(), "reading {}: {:?}", route.input, message.error());
            let (partition, offset) = (message.partition(), message.offset());
            next[partition as usize] = Some(offset + 1);
            let value = message.value().unwrap_or_default();
            let told = if route.whole { value.to_vec() } else { origin(partition as i32, offset) };
            let outputs = &route.outputs[..(route.copies)(value)];
            outputs.iter().try_for_each(|output| echo(&producer, output, partition as i32, &told))?;
        }
        // After the records: the order that is faster.
        let mut list = TopicPartitionList::new();
        for (partition, offset) in next.iter().enumerate() {
            if let Some(offset) = offset {
                list.add_partition_offset(route.input, partition as i32, Offset::Offset(*offset))?;
            }
        }
        producer.send_offsets_to_transaction(&list, &metadata, LIMIT)?;
        native::commit_transaction(&producer, LIMIT)
            .map_err(|error| anyhow!("committing: {}", error.text))?;
    }
    Ok(())
}

/// Says in its value which record it comes from, as a transition does.
fn origin(partition: i32, offset: i64) -> Vec<u8> {
    let origin = format!(r#""origin":{{"partition":{partition},"offset":{offset}}}}}"#);
    format!("{{{:width$}{origin}", "", width = ECHO_BYTES - 1 - origin.len()).into_bytes()
}

fn echo(producer: &Producer, output: &str, partition: i32, value: &[u8]) -> Result<()> {
    let mut record = BaseRecord::<str, [u8]>::to(output).partition(partition).payload(value);
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(Code::QueueFull), unsent)) => {
                record = unsent;
                thread::sleep(Duration::from_millis(1));
            }
            Err((failure, _)) => return Err(failure.into()),
        }
    }
}

/// Reads what is committed to a topic, from its end on.
pub struct Watch {
    consumer: BaseConsumer,
    topic: String,
}

impl Watch {
    pub fn start(kafka: &str, topic: &str, partitions: u32) -> Result<Self> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", kafka)
            .set("group.id", "bench-watch")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("fetch.queue.backoff.ms", "0");
        let consumer: BaseConsumer = config.create()?;
        consumer.assign(&bare::list(topic, &bare::ends(kafka, topic, partitions)?)?)?;
        Ok(Self { consumer, topic: topic.to_owned() })
    }

    /// Until so many records have become visible.
    pub fn count(&self, wanted: u64) -> Result<()> {
        let (mut count, mut heard) = (0, Instant::now());
        while count < wanted {
            match self.consumer.poll(Duration::from_millis(100)) {
                Some(message) => {
                    count += u64::from(message?.payload().is_some());
                    heard = Instant::now();
                }
                None => {
                    let topic = &self.topic;
                    ensure!(heard.elapsed() < SILENCE_LIMIT, "{topic}: {count} of {wanted}, and no more");
                }
            }
        }
        Ok(())
    }

    /// The next record that becomes visible, if one does within `wait`.
    pub fn next(&self, wait: Duration) -> Result<Option<Seen>> {
        let Some(message) = self.consumer.poll(wait) else { return Ok(None) };
        let (message, at) = (message?, Instant::now());
        let value = message.payload().map(<[u8]>::to_vec).unwrap_or_default();
        Ok(Some(Seen { at, value }))
    }
}

/// A record when it became visible.
pub struct Seen {
    pub at: Instant,
    pub value: Vec<u8>,
}

impl Seen {
    /// Partition and offset of the record that caused it.
    pub fn origin(&self) -> Option<(i32, i64)> {
        let text = std::str::from_utf8(&self.value).ok()?;
        let text = text.rsplit_once(r#""origin":{"partition":"#)?.1;
        let (partition, rest) = text.split_once(r#","offset":"#)?;
        Some((partition.parse().ok()?, rest.split('}').next()?.parse().ok()?))
    }
}
