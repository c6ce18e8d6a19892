//! Appending to and following topics from outside of an engine.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use rdkafka::{
    ClientContext,
    config::RDKafkaLogLevel,
    error::KafkaError,
    message::DeliveryResult,
    producer::{Producer, ProducerContext},
    types::RDKafkaErrorCode as Code,
};
use tokio::{sync::oneshot, time};

use crate::{
    client::{Tail, TailFrom, TopicClient},
    log::{Bounds, LogError, OutRecord, PartitionId},
    topology::Topic,
};

use super::{
    config::{APPEND_TIMEOUT_MS, Connection},
    context::{Logged, pass_error, pass_line},
    error, producer,
    reports::ReportingProducer,
    tail,
};

/// How long an append waits for room among what the broker has not acknowledged, and how often it looks.
const FULL_LIMIT: Duration = Duration::from_secs(2);
const FULL_PAUSE: Duration = Duration::from_millis(2);
/// Every record is delivered or given up within its own timeout; the margin only covers a client that hangs.
const ANSWER_LIMIT: Duration = Duration::from_millis(APPEND_TIMEOUT_MS + 5_000);

/// A client for those who are no member of a processor's group.
pub struct KafkaTopics {
    connection: Connection,
    producer: Mutex<Arc<ReportingProducer<Counted>>>,
    reader: Arc<rdkafka::consumer::BaseConsumer<Logged>>,
}

impl KafkaTopics {
    /// Opens the clients; nothing is asked of the cluster yet.
    pub fn new(connection: Connection) -> Result<Self, LogError> {
        let producer = Mutex::new(open(&connection)?);
        let reader = tail::consumer(&connection)
            .map_err(|failure| error::explain("opening a reader", connection.brokers(), &failure))?;
        Ok(Self { connection, producer, reader: Arc::new(reader) })
    }

    /// The producer; a new one where the former lost track of its sequence, which it never recovers from.
    fn producer(&self) -> Result<Arc<ReportingProducer<Counted>>, LogError> {
        let mut producer = locked(&self.producer);
        if producer.client().fatal_error().is_some() {
            *producer = open(&self.connection)?;
        }
        Ok(Arc::clone(&producer))
    }

    async fn append_all(&self, records: Vec<OutRecord>) -> Result<(), LogError> {
        let producer = self.producer()?;
        let (append, done) = Append::new();
        for record in &records {
            self.offer(&producer, record, &append).await?;
        }
        // From here on the records under way hold the only references: the last one to be answered answers.
        drop(append);
        match time::timeout(ANSWER_LIMIT, done).await {
            Ok(Ok(result)) => result.map_err(|failure| self.explain(&failure)),
            Ok(Err(_)) | Err(_) => Err(LogError::retriable(format!(
                "appending: cannot reach Kafka at {}: no answer in time; check [kafka] brokers",
                self.connection.brokers()
            ))),
        }
    }

    /// Hands one record to the producer, waiting for room within limits.
    async fn offer(
        &self,
        producer: &ReportingProducer<Counted>,
        record: &OutRecord,
        append: &Arc<Append>,
    ) -> Result<(), LogError> {
        let until = time::Instant::now() + FULL_LIMIT;
        loop {
            let sent = producer.send(producer::kafka_record(record, Arc::clone(append)));
            match sent.map_err(|(failure, _)| failure) {
                Ok(()) => return Ok(()),
                Err(KafkaError::MessageProduction(Code::QueueFull)) if time::Instant::now() < until => {}
                Err(KafkaError::MessageProduction(Code::QueueFull)) => {
                    return Err(LogError::behind(format!(
                        "appending to '{}': Kafka at {} is behind, and what it has not acknowledged is at its \
                         bound; try again later",
                        record.topic,
                        self.connection.brokers()
                    )));
                }
                Err(failure) => return Err(self.explain(&failure)),
            }
            time::sleep(FULL_PAUSE).await;
        }
    }

    fn explain(&self, failure: &KafkaError) -> LogError {
        error::explain("appending", self.connection.brokers(), failure)
    }
}

impl TopicClient for KafkaTopics {
    fn append(&self, records: Vec<OutRecord>) -> BoxFuture<'_, Result<(), LogError>> {
        Box::pin(self.append_all(records))
    }

    fn tail(&self, topic: Topic, from: TailFrom) -> BoxFuture<'_, Result<Tail, LogError>> {
        let connection = self.connection.clone();
        Box::pin(async move {
            let answered = tail::start(connection, topic, from)?;
            answered
                .await
                .unwrap_or_else(|_| Err(LogError::fatal(format!("following '{topic}' ended early"))))
        })
    }

    fn bounds(&self, topic: Topic) -> BoxFuture<'_, Result<Vec<(PartitionId, Bounds)>, LogError>> {
        let (reader, brokers) = (Arc::clone(&self.reader), self.connection.brokers().to_owned());
        Box::pin(async move {
            tokio::task::spawn_blocking(move || tail::bounds(&reader, topic, &brokers))
                .await
                .unwrap_or_else(|error| Err(LogError::fatal(format!("reading '{topic}': {error}"))))
        })
    }
}

fn open(connection: &Connection) -> Result<Arc<ReportingProducer<Counted>>, LogError> {
    ReportingProducer::open(&connection.plain_producer("heartline.append"), Counted)
        .map(Arc::new)
        .map_err(|failure| error::explain("opening a producer", connection.brokers(), &failure))
}

/// One append: answers when the last of its records lets go of it.
struct Append {
    failure: Mutex<Option<KafkaError>>,
    answer: Mutex<Option<oneshot::Sender<Result<(), KafkaError>>>>,
}

impl Append {
    fn new() -> (Arc<Self>, oneshot::Receiver<Result<(), KafkaError>>) {
        let (answer, done) = oneshot::channel();
        (Arc::new(Self { failure: Mutex::default(), answer: Mutex::new(Some(answer)) }), done)
    }
}

impl Drop for Append {
    fn drop(&mut self) {
        let failure = locked(&self.failure).take();
        if let Some(answer) = locked(&self.answer).take() {
            // Who asked may have given up.
            let _ = answer.send(failure.map_or(Ok(()), Err));
        }
    }
}

/// Notes what became of each record of an append.
struct Counted;

impl ClientContext for Counted {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        pass_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        pass_error(&error, reason);
    }
}

impl ProducerContext for Counted {
    type DeliveryOpaque = Arc<Append>;

    fn delivery(&self, result: &DeliveryResult<'_>, append: Arc<Append>) {
        if let Err((failure, _)) = result {
            locked(&append.failure).get_or_insert_with(|| failure.clone());
        }
    }
}

/// A panic elsewhere leaves these small values whole, so that a poisoned lock may be used on.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
