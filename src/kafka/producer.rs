//! One transactional producer, in its own thread, one transaction at a time.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientContext, Offset as KafkaOffset, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::ConsumerGroupMetadata,
    error::{KafkaError, RDKafkaError},
    message::{DeliveryResult, Header as KafkaHeader, OwnedHeaders},
    producer::{BaseRecord, Producer, ProducerContext},
    types::RDKafkaErrorCode as Code,
};

use crate::{
    log::{
        Committed, ErrorClass, LogError, OutRecord, PartitionId, Transaction, TransactionOutcome,
        TransactionStep,
    },
    topology::Topic,
};

use super::{
    config::KafkaConfig,
    context::{pass_error, pass_line},
    error,
    native::{self, NativeError},
    reports::ReportingProducer,
    transactions::remaining,
};

/// The least time an abort is given, however late the transaction failed: a confirmed abort frees the
/// partitions.
const ABORT_LIMIT_MIN: Duration = Duration::from_secs(1);
/// How long a record waits for room in the producer's queue before it is offered again.
const FULL_PAUSE: Duration = Duration::from_millis(1);

/// How lines end that say that a connection in use has ended.
const ENDED: [&str; 3] = ["UP -> DOWN", "UPDATE -> DOWN", "REAUTH -> DOWN"];

/// A transaction to be carried out, and until when.
pub struct TransactionJob {
    pub transaction: Transaction,
    pub metadata: Arc<ConsumerGroupMetadata>,
    pub until: Instant,
}

/// What a producer's thread answers: first `Opened` or `Failed`, then one `Ended` for each job.
pub enum Answer {
    Opened,
    Failed(LogError),
    Ended(TransactionOutcome),
}

/// Makes the producer, fences its predecessors of the same name, and serves until `jobs` is closed.
pub fn run(
    config: &KafkaConfig,
    name: &str,
    jobs: &mpsc::Receiver<TransactionJob>,
    answers: &mpsc::Sender<Answer>,
) {
    let mut producer = match open(config, name) {
        Ok(producer) => producer,
        Err(error) => {
            // Whoever asked may have given up; then there is nobody to tell.
            let _ = answers.send(Answer::Failed(error));
            return;
        }
    };
    let mut answered = answers.send(Answer::Opened);
    while answered.is_ok()
        && let Ok(job) = jobs.recv()
    {
        let outcome = match replace_in_doubt(config, name, &mut producer) {
            Ok(()) => Attempt { producer: &producer, config, job: &job }.carry_out(),
            Err(error) => TransactionOutcome::Unclear { reason: error.message },
        };
        answered = answers.send(Answer::Ended(outcome));
    }
}

/// A request whose connection ended was sent again, by librdkafka itself and in the same epoch; the copy that
/// got lost on its way may still arrive, and end a transaction that it knows nothing of. Only a new epoch
/// rules that out.
fn replace_in_doubt(
    config: &KafkaConfig,
    name: &str,
    producer: &mut ReportingProducer<Deliveries>,
) -> Result<(), LogError> {
    if producer.client().context().lost_connection.load(Ordering::Acquire) {
        *producer = open(config, name)?;
    }
    Ok(())
}

/// A producer that has completed `init_transactions`: nothing of an older one of that name is under way any
/// more.
pub fn open(config: &KafkaConfig, name: &str) -> Result<ReportingProducer<Deliveries>, LogError> {
    initialized(config, name).map_err(|failure| {
        error::explain(&format!("opening producer '{name}'"), config.connection.brokers(), &failure)
    })
}

/// As [`open`], with the error as it came.
pub fn initialized(config: &KafkaConfig, name: &str) -> Result<ReportingProducer<Deliveries>, KafkaError> {
    let producer = ReportingProducer::open(&config.transactional_producer(name), Deliveries::default())?;
    producer.init_transactions(config.transaction_timeout)?;
    producer.client().context().lost_connection.store(false, Ordering::Release);
    Ok(producer)
}

/// Remembers the first record of the transaction under way that the broker did not take, and whether a
/// connection to a broker ended since the producer was opened.
#[derive(Default)]
pub struct Deliveries {
    failed: Mutex<Option<(Code, String)>>,
    lost_connection: AtomicBool,
}

impl Deliveries {
    fn take(&self) -> Option<(Code, String)> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ClientContext for Deliveries {
    /// librdkafka says in no other way that it sent something again. It says so here before it does.
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        if facility == "STATE" && ENDED.iter().any(|ended| line.ends_with(ended)) {
            self.lost_connection.store(true, Ordering::Release);
        }
        match level {
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                pass_line(RDKafkaLogLevel::Debug, facility, line);
            }
            level => pass_line(level, facility, line),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        pass_error(&error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let Err((failure, message)) = result else { return };
        let code = failure.rdkafka_error_code().unwrap_or(Code::Unknown);
        // What an abort purges says nothing about why it was aborted.
        if matches!(code, Code::PurgeQueue | Code::PurgeInflight) {
            return;
        }
        let topic = rdkafka::Message::topic(message);
        self.failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert_with(|| (code, format!("a record for '{topic}' was not delivered: {failure}")));
    }
}

/// Why a transaction does not go on.
struct Failure {
    code: Code,
    reason: String,
    /// The producer cannot even abort.
    is_fatal: bool,
}

impl Failure {
    fn of(doing: &str, failure: &KafkaError) -> Self {
        let is_fatal = matches!(failure, KafkaError::Transaction(inner) if RDKafkaError::is_fatal(inner));
        let code = failure.rdkafka_error_code().unwrap_or(Code::Unknown);
        Self { code, reason: format!("{doing}: {failure}"), is_fatal }
    }
}

impl From<NativeError> for Failure {
    fn from(error: NativeError) -> Self {
        Self { code: error.code, reason: format!("commit: {}", error.text), is_fatal: error.is_fatal }
    }
}

struct Attempt<'a> {
    producer: &'a ReportingProducer<Deliveries>,
    config: &'a KafkaConfig,
    job: &'a TransactionJob,
}

impl Attempt<'_> {
    fn carry_out(&self) -> TransactionOutcome {
        self.producer.client().context().take();
        match self.steps() {
            Ok(()) => TransactionOutcome::Committed,
            Err(failure) => self.conclude(failure),
        }
    }

    fn steps(&self) -> Result<(), Failure> {
        self.producer.begin_transaction().map_err(|failure| Failure::of("begin", &failure))?;
        for step in &self.job.transaction.steps {
            match step {
                TransactionStep::Offsets(offsets) => self.send_offsets(offsets)?,
                TransactionStep::Records(records) => {
                    records.iter().try_for_each(|record| self.produce(record))?;
                }
            }
        }
        native::commit_transaction(&**self.producer, remaining(self.job.until)).map_err(Failure::from)
    }

    fn send_offsets(&self, offsets: &[(PartitionId, Committed)]) -> Result<(), Failure> {
        let list =
            offset_list(self.config.input, offsets).map_err(|failure| Failure::of("offsets", &failure))?;
        self.producer
            .send_offsets_to_transaction(&list, &self.job.metadata, remaining(self.job.until))
            .map_err(|failure| Failure::of("offsets", &failure))
    }

    fn produce(&self, record: &OutRecord) -> Result<(), Failure> {
        loop {
            match self.producer.send(kafka_record(record, ())) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(Code::QueueFull), _))
                    if Instant::now() < self.job.until =>
                {
                    thread::sleep(FULL_PAUSE);
                }
                Err((failure, _)) => {
                    return Err(Failure::of(&format!("record for '{}'", record.topic), &failure));
                }
            }
        }
    }

    /// What a failure means. A record that was not delivered is the better reason than the commit that says
    /// so.
    fn conclude(&self, failure: Failure) -> TransactionOutcome {
        let Failure { mut code, mut reason, is_fatal } = failure;
        if let Some((fatal_code, said)) = self.producer.client().fatal_error() {
            code = fatal_code;
            reason = format!("{reason} ({said})");
        } else if let Some((undelivered, said)) = self.producer.client().context().take() {
            code = undelivered;
            reason = format!("{reason} ({said})");
        }
        if error::is_fenced(code) {
            return TransactionOutcome::Fenced { reason };
        }
        let class = error::class_of(code);
        // Some request may be under way still: only a new producer can rule it out.
        if is_fatal || class == ErrorClass::Retriable {
            return match class {
                ErrorClass::Fatal => TransactionOutcome::Fatal { reason },
                ErrorClass::Retriable | ErrorClass::Behind | ErrorClass::Restore => {
                    TransactionOutcome::Unclear { reason }
                }
            };
        }
        let limit = remaining(self.job.until).max(ABORT_LIMIT_MIN);
        match (self.producer.abort_transaction(limit), class) {
            (_, ErrorClass::Fatal) => TransactionOutcome::Fatal { reason },
            (Ok(()), _) => TransactionOutcome::Aborted { reason },
            (Err(abort), _) if abort.rdkafka_error_code().is_some_and(error::is_fenced) => {
                TransactionOutcome::Fenced { reason: format!("{reason}; abort: {abort}") }
            }
            (Err(abort), _) => TransactionOutcome::Unclear { reason: format!("{reason}; abort: {abort}") },
        }
    }
}

pub fn offset_list(
    input: Topic,
    offsets: &[(PartitionId, Committed)],
) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (partition, committed) in offsets {
        let mut element = list.add_partition(input.name(), *partition as i32);
        element.set_offset(KafkaOffset::Offset(committed.offset))?;
        element.set_metadata(&committed.metadata);
    }
    Ok(list)
}

/// The record as librdkafka takes it, its partition explicit.
pub fn kafka_record<D: rdkafka::util::IntoOpaque>(
    record: &OutRecord,
    opaque: D,
) -> BaseRecord<'_, [u8], [u8], D> {
    let mut out = BaseRecord::with_opaque_to(record.topic.name(), opaque).partition(record.partition as i32);
    if let Some(key) = &record.key {
        out = out.key(&key[..]);
    }
    if let Some(value) = &record.value {
        out = out.payload(&value[..]);
    }
    if record.headers.is_empty() {
        return out;
    }
    let headers = OwnedHeaders::new_with_capacity(record.headers.len());
    out.headers(record.headers.iter().fold(headers, |headers, header| {
        headers.insert(KafkaHeader { key: &header.name, value: header.value.as_deref() })
    }))
}
