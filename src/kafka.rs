//! Kafka behind the seams: [`KafkaLog`] is one member of one processor's group, [`KafkaTopics`] appends and
//! follows for those who are no member, [`topics`] makes the cluster's topics what the topology says.
//!
//! A member is five clients and as many threads, so that nothing waits for anything it does not depend on:
//!
//! | part | client | its thread waits for |
//! |---|---|---|
//! | [`member`] | the consumer that joins the group and reads nothing | rebalances, and `Release` within one
//! |
//! | [`reader`] | a consumer that joins nothing and reads from explicit positions | records |
//! | [`transactions`], [`producer`] | the transactional producer | each call of a transaction, watched |
//! | [`beacons`] | a plain idempotent producer | delivery |
//! | [`reports`] | those two producers | reports of deliveries, a thread each |
//! | [`questions`] | the reader's, and one that reads uncommitted offsets | one answer, a thread each |

use std::{
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rdkafka::{config::FromClientConfigAndContext, consumer::BaseConsumer};

use crate::log::{Log, LogCommand, LogError, LogEvent};

use self::{
    beacons::Beacons,
    config::{Isolation, KafkaConfig},
    context::Logged,
    events::{Events, Waker},
    member::{Generations, MemberHandle},
    questions::Questions,
    reader::{ReaderCommand, ReaderHandle},
    transactions::TransactionCommand,
};

pub mod config;
mod error;
mod context;
mod events;
pub mod native;
mod reader;
mod member;
mod transactions;
mod producer;
mod reports;
mod questions;
mod beacons;
mod tail;
mod topic_client;
pub mod offsets;
pub mod topics;
pub mod rights;

pub use topic_client::KafkaTopics;

/// How long leaving may take before what is left is left to itself.
const LEAVE_LIMIT: Duration = Duration::from_secs(4);

/// One member of one processor's group. Dropping it leaves the group as `Leave` does, without waiting for it.
pub struct KafkaLog {
    /// `None` once it has left.
    parts: Option<Parts>,
    received: mpsc::Receiver<LogEvent>,
}

struct Parts {
    events: Events,
    generations: Generations,
    member: MemberHandle,
    reader: ReaderHandle,
    transactions: mpsc::Sender<TransactionCommand>,
    questions: Questions,
    beacons: Beacons,
    /// The name of the latest producer: who joins is known to the others by it.
    name: String,
    threads: Vec<JoinHandle<()>>,
}

impl KafkaLog {
    /// Starts the threads; nothing is asked of the cluster yet. `waker` is called after every event that was
    /// queued, from any thread.
    pub fn new(config: KafkaConfig, waker: Waker) -> Result<Self, LogError> {
        let (events, received) = Events::new(waker);
        let brokers = config.connection.brokers().to_owned();
        let consumer = BaseConsumer::from_config_and_context(&config.reader(Isolation::Committed), Logged)
            .map_err(|failure| error::explain("opening the reader", &brokers, &failure))?;
        let consumer = Arc::new(consumer);
        let generations = Generations::default();
        let questions = Questions::new(config.clone(), Arc::clone(&consumer), events.clone());
        let beacons = Beacons::new(config.clone(), events.clone())?;
        let (reader, reading) = reader::start(consumer, config.input, brokers, events.clone())?;
        let (member, being) =
            member::start(config.clone(), generations.clone(), reader.clone(), events.clone())?;
        let name = config.group.clone();
        let (transactions, transacting) = transactions::start(config, events.clone())?;
        let threads = vec![reading, being, transacting];
        let parts =
            Parts { events, generations, member, reader, transactions, questions, beacons, name, threads };
        Ok(Self { parts: Some(parts), received })
    }
}

impl Log for KafkaLog {
    fn submit(&mut self, command: LogCommand) {
        match command {
            LogCommand::Leave => {
                if let Some(parts) = self.parts.take() {
                    parts.leave();
                }
            }
            command => {
                if let Some(parts) = &mut self.parts {
                    parts.submit(command);
                }
            }
        }
    }

    fn poll(&mut self) -> Option<LogEvent> {
        self.received.try_recv().ok()
    }
}

impl Drop for KafkaLog {
    fn drop(&mut self) {
        if let Some(parts) = self.parts.take() {
            parts.leave();
        }
    }
}

impl Parts {
    fn submit(&mut self, command: LogCommand) {
        match command {
            LogCommand::OpenProducer { name } => {
                self.name.clone_from(&name);
                self.transact(TransactionCommand::Open { name });
            }
            LogCommand::Join => self.member.join(self.name.clone()),
            LogCommand::Release => self.member.release(),
            LogCommand::Fetch { partition, from, fetch, headers } => {
                self.reader.send(ReaderCommand::Fetch { partition, from, fetch, headers });
            }
            LogCommand::StopFetch { partition } => self.reader.send(ReaderCommand::StopFetch { partition }),
            LogCommand::Poll { records_max, bytes_max, wait_ms } => {
                self.reader.send(ReaderCommand::Poll { records_max, bytes_max, wait_ms });
            }
            LogCommand::Transact(transaction) => {
                let metadata = self.generations.get(transaction.assignment);
                self.transact(TransactionCommand::Transact { transaction, metadata });
            }
            LogCommand::Beacon { partition, value } => self.beacons.append(partition, &value),
            question @ (LogCommand::Describe { .. }
            | LogCommand::ReadOffsets { .. }
            | LogCommand::ReadBounds { .. }
            | LogCommand::ListMembers { .. }
            | LogCommand::FenceName { .. }) => self.questions.ask(question),
            LogCommand::Leave => self.close(),
        }
    }

    fn transact(&self, command: TransactionCommand) {
        // The thread ends only when it is told to close.
        let _ = self.transactions.send(command);
    }

    /// Tells every thread to end.
    fn close(&self) {
        self.events.start_leaving();
        self.transact(TransactionCommand::Close);
        self.member.close();
        self.reader.send(ReaderCommand::Close);
    }

    /// Leaves the group, closes everything and says so, in a thread of its own: none of it may block the
    /// engine.
    fn leave(self) {
        self.close();
        let events = self.events.clone();
        let farewell = move || {
            let Self { threads, events, beacons, questions, reader, .. } = self;
            wait_for(&threads, Instant::now() + LEAVE_LIMIT);
            events.emit(LogEvent::Left);
            // These take up to a second to let go of their connections, which nobody has to wait for.
            drop((beacons, questions, reader));
        };
        if let Err(failure) = thread::Builder::new().name("kafka-leave".to_owned()).spawn(farewell) {
            tracing::warn!("leaving without waiting: {failure}");
            events.emit(LogEvent::Left);
        }
    }
}

/// Waits until all have ended, or the time is up.
fn wait_for(threads: &[JoinHandle<()>], until: Instant) {
    while Instant::now() < until && !threads.iter().all(JoinHandle::is_finished) {
        thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests;
