//! The thread that owns the transactional producer, and the watch over it.
//!
//! All calls of a transaction block, and some can ignore their timeout while a coordinator is down. So each
//! producer lives in a thread of its own, and this one waits for its answer with a limit of its own: past it
//! the outcome is `Unclear`, the producer and its thread are left to themselves, and whatever they still
//! answer is dropped with the channel. A producer that did not commit or abort cleanly is never used again:
//! late requests of one transaction can hit the next one of the same epoch, and only a new producer's
//! `init_transactions` ends that epoch.

use std::{
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use rdkafka::consumer::ConsumerGroupMetadata;

use crate::log::{LogError, LogEvent, Transaction, TransactionOutcome};

use super::{
    config::KafkaConfig,
    events::Events,
    producer::{self, TransactionJob},
};

/// What the limit of a producer's calls is exceeded by before they count as hanging.
const MARGIN: Duration = Duration::from_secs(2);
/// How long closing waits for the producer to be gone.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

pub enum TransactionCommand {
    Open {
        name: String,
    },
    /// `metadata` is that of the transaction's assignment, `None` when that is over for long.
    Transact {
        transaction: Transaction,
        metadata: Option<Arc<ConsumerGroupMetadata>>,
    },
    Close,
}

/// Starts the thread; it has no producer until one is opened.
pub fn start(
    config: KafkaConfig,
    events: Events,
) -> Result<(mpsc::Sender<TransactionCommand>, thread::JoinHandle<()>), LogError> {
    let (sender, commands) = mpsc::channel();
    let watch = Watch { config, events, producer: None };
    let thread = thread::Builder::new()
        .name("kafka-transactions".to_owned())
        .spawn(move || watch.run(&commands))
        .map_err(|error| LogError::fatal(format!("cannot start the thread of the transactions: {error}")))?;
    Ok((sender, thread))
}

/// A producer in its thread.
struct Running {
    jobs: mpsc::Sender<TransactionJob>,
    answers: mpsc::Receiver<producer::Answer>,
}

struct Watch {
    config: KafkaConfig,
    events: Events,
    producer: Option<Running>,
}

impl Watch {
    fn run(mut self, commands: &mpsc::Receiver<TransactionCommand>) {
        while let Ok(command) = commands.recv() {
            match command {
                TransactionCommand::Open { name } => match self.open(&name) {
                    Ok(()) => self.events.emit(LogEvent::ProducerOpened),
                    Err(error) => self.events.emit(LogEvent::ProducerFailed { error }),
                },
                TransactionCommand::Transact { transaction, metadata } => {
                    let id = transaction.id;
                    let outcome = self.transact(transaction, metadata);
                    if !matches!(outcome, TransactionOutcome::Committed | TransactionOutcome::Aborted { .. })
                    {
                        self.producer = None;
                    }
                    self.events.emit(LogEvent::TransactionEnded { id, outcome });
                }
                TransactionCommand::Close => break,
            }
        }
        self.close();
    }

    fn open(&mut self, name: &str) -> Result<(), LogError> {
        // The former thread lets its producer go when it finds its channel closed. What it may still have
        // under way is fenced by the new one.
        self.producer = None;
        let (jobs, received) = mpsc::channel();
        let (answer, answers) = mpsc::channel();
        let (config, client_id) = (self.config.clone(), name.to_owned());
        thread::Builder::new()
            .name("kafka-producer".to_owned())
            .spawn(move || producer::run(&config, &client_id, &received, &answer))
            .map_err(|error| LogError::fatal(format!("cannot start the thread of the producer: {error}")))?;
        let hanging = || {
            LogError::retriable(format!(
                "opening producer '{name}': Kafka at {} does not answer; check [kafka] brokers",
                self.config.connection.brokers()
            ))
        };
        match answers.recv_timeout(self.config.transaction_timeout + MARGIN) {
            Ok(producer::Answer::Opened) => {
                self.producer = Some(Running { jobs, answers });
                Ok(())
            }
            Ok(producer::Answer::Failed(error)) => Err(error),
            Ok(producer::Answer::Ended(_)) | Err(_) => Err(hanging()),
        }
    }

    fn transact(
        &self,
        transaction: Transaction,
        metadata: Option<Arc<ConsumerGroupMetadata>>,
    ) -> TransactionOutcome {
        let Some(metadata) = metadata else {
            let reason = format!("assignment {} is over", transaction.assignment);
            return TransactionOutcome::Aborted { reason };
        };
        let Some(producer) = &self.producer else {
            return TransactionOutcome::Unclear { reason: "no producer is open".to_owned() };
        };
        let limit = self.config.transaction_timeout;
        let job = TransactionJob { transaction, metadata, until: Instant::now() + limit };
        let gone = || TransactionOutcome::Unclear { reason: "the producer's thread has ended".to_owned() };
        if producer.jobs.send(job).is_err() {
            return gone();
        }
        match producer.answers.recv_timeout(limit + MARGIN) {
            Ok(producer::Answer::Ended(outcome)) => outcome,
            Err(RecvTimeoutError::Timeout) => TransactionOutcome::Unclear {
                reason: format!("no answer within {} ms", (limit + MARGIN).as_millis()),
            },
            Ok(_) | Err(RecvTimeoutError::Disconnected) => gone(),
        }
    }

    /// Waits, within its limit, until the producer is gone.
    fn close(self) {
        if let Some(Running { jobs, answers }) = self.producer {
            drop(jobs);
            let _ = answers.recv_timeout(CLOSE_LIMIT);
        }
    }
}

/// What remains of a limit, at least 1 ms so that a call that was begun can say why it failed.
#[must_use]
pub fn remaining(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}
