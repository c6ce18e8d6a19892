//! Following a topic: a thread reads committed records into a bounded channel until nobody listens.

use std::{collections::VecDeque, sync::Arc, thread, time::Duration};

use bytes::Bytes;
use rdkafka::{
    Offset as KafkaOffset, TopicPartitionList,
    config::FromClientConfigAndContext,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    types::RDKafkaErrorCode as Code,
};
use tokio::sync::{mpsc, oneshot};

use crate::{
    client::{Tail, TailEvent, TailFrom, TailRecord},
    log::{Bounds, ErrorClass, LogError, Offset, PartitionId},
    topology::Topic,
};

use super::{
    config::{Connection, Isolation},
    context::Logged,
    error,
    native::{FetchQueue, Message},
    questions,
};

/// librdkafka assigns partitions only to consumers with a group. Nothing ever joins or commits under this
/// one.
const GROUP: &str = "heartline.tail";
/// Records that wait for a slow reader, beside what librdkafka holds.
const CHANNEL_RECORDS: usize = 1_024;
/// How long the thread waits for records before it looks whether anybody listens.
const TURN: Duration = Duration::from_millis(100);
const ASK_LIMIT: Duration = Duration::from_secs(5);

/// Reads metadata and offsets; commits nothing.
pub fn consumer(connection: &Connection) -> Result<BaseConsumer<Logged>, KafkaError> {
    BaseConsumer::from_config_and_context(&connection.reader(GROUP, GROUP, Isolation::Committed), Logged)
}

/// First and next offsets of all partitions of a topic. Blocks.
///
/// # Errors
/// Of the class of what the broker says: one that is electing leaders has the topic, and answers later.
pub fn bounds(
    client: &BaseConsumer<Logged>,
    topic: Topic,
    brokers: &str,
) -> Result<Vec<(PartitionId, Bounds)>, LogError> {
    let explain = |failure: KafkaError| error::explain(&format!("reading '{topic}'"), brokers, &failure);
    let metadata = client.fetch_metadata(Some(topic.name()), ASK_LIMIT).map_err(explain)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic.name());
    let refused = found.map_or(Some(Code::UnknownTopicOrPartition), |found| found.error().map(Code::from));
    if let Some(code) = refused {
        return Err(explain(KafkaError::MetadataFetch(code)));
    }
    let partitions: Vec<PartitionId> = found
        .into_iter()
        .flat_map(|found| found.partitions().iter().filter_map(|partition| partition.id().try_into().ok()))
        .collect();
    questions::bounds(client, topic.name(), &partitions, ASK_LIMIT).map_err(explain)
}

/// Starts following; the answer is there once the positions are settled.
pub fn start(
    connection: Connection,
    topic: Topic,
    from: TailFrom,
) -> Result<oneshot::Receiver<Result<Tail, LogError>>, LogError> {
    let (answer, answered) = oneshot::channel();
    thread::Builder::new()
        .name("kafka-tail".to_owned())
        .spawn(move || follow(&connection, topic, &from, answer))
        .map_err(|error| LogError::fatal(format!("cannot start a thread that follows '{topic}': {error}")))?;
    Ok(answered)
}

fn follow(
    connection: &Connection,
    topic: Topic,
    from: &TailFrom,
    answer: oneshot::Sender<Result<Tail, LogError>>,
) {
    let (sender, events) = mpsc::channel(CHANNEL_RECORDS);
    let begun = begin(connection, topic, from);
    match begun {
        Ok((queue, positions)) => {
            // Nobody may be waiting any more; the channel is closed then, and the loop ends at once.
            let _ = answer.send(Ok(Tail { positions, events }));
            let doing = format!("following '{topic}'");
            while !sender.is_closed() && pass_on(&queue, &doing, connection.brokers(), &sender) {}
        }
        Err(error) => {
            let _ = answer.send(Err(error));
        }
    }
}

type Begun = (FetchQueue<Logged>, Vec<(PartitionId, Offset)>);

fn begin(connection: &Connection, topic: Topic, from: &TailFrom) -> Result<Begun, LogError> {
    let explain =
        |failure: KafkaError| error::explain(&format!("following '{topic}'"), connection.brokers(), &failure);
    let mut config = connection.reader(GROUP, GROUP, Isolation::Committed);
    // A reader learns that only markers were left before its end.
    config.set("enable.partition.eof", "true");
    let client = Arc::new(BaseConsumer::from_config_and_context(&config, Logged).map_err(explain)?);
    let bounds = bounds(&client, topic, connection.brokers())?;
    let positions: Vec<(PartitionId, Offset)> =
        bounds.iter().map(|(partition, bounds)| (*partition, position(from, *partition, *bounds))).collect();
    let mut list = TopicPartitionList::with_capacity(positions.len());
    for (partition, offset) in &positions {
        list.add_partition_offset(topic.name(), *partition as i32, KafkaOffset::Offset(*offset))
            .map_err(explain)?;
    }
    client.incremental_assign(&list).map_err(explain)?;
    let queue = FetchQueue::new(client)
        .ok_or_else(|| LogError::fatal("librdkafka gives a consumer with a group no queue"))?;
    Ok((queue, positions))
}

/// Where reading begins.
fn position(from: &TailFrom, partition: PartitionId, bounds: Bounds) -> Offset {
    match from {
        TailFrom::Start => bounds.first,
        TailFrom::End => bounds.end,
        TailFrom::Positions(named) => {
            named.iter().find(|(named, _)| *named == partition).map_or(bounds.end, |(_, at)| (*at).max(0))
        }
    }
}

/// Passes a batch on; false when it is over.
fn pass_on(
    queue: &FetchQueue<Logged>,
    doing: &str,
    brokers: &str,
    sender: &mpsc::Sender<Result<TailEvent, LogError>>,
) -> bool {
    let mut taken = VecDeque::new();
    queue.take(TURN, &mut taken);
    taken.iter().all(|message| {
        let Some(failure) = message.error() else {
            return sender.blocking_send(Ok(TailEvent::Record(record(message)))).is_ok();
        };
        if failure.code == Code::PartitionEOF {
            let end = TailEvent::End(message.partition(), message.offset());
            return sender.blocking_send(Ok(end)).is_ok();
        }
        let mut error = error::explain_code(doing, brokers, failure.code, &failure.text);
        if error.class == ErrorClass::Retriable {
            // librdkafka goes on by itself.
            tracing::warn!("{error}");
            return true;
        }
        if matches!(failure.code, Code::AutoOffsetReset | Code::OffsetOutOfRange) {
            error.message = format!(
                "{doing}: partition {} no longer has position {} (or not yet): {}; start at the end or the start",
                message.partition(),
                message.offset(),
                failure.text
            );
        }
        // The last word: the reader learns why nothing follows.
        let _ = sender.blocking_send(Err(error));
        false
    })
}

fn record(message: &Message) -> TailRecord {
    TailRecord {
        partition: message.partition(),
        offset: message.offset(),
        time_ms: message.time_ms(),
        key: message.key().map(Bytes::copy_from_slice),
        value: message.value().map(Bytes::copy_from_slice),
        headers: message.headers(),
    }
}
