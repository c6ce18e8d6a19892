//! The product's log, watched, with a gate before it and, where asked for, without transactions.

use std::{
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use heartline::{
    kafka::KafkaLog,
    log::{Log, LogCommand, LogEvent, Transaction, TransactionOutcome, TransactionStep},
    topology::Topic,
    worker::Waker,
};
use rdkafka::{
    ClientConfig, ClientContext, Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer as _},
    error::KafkaError,
    message::{DeliveryResult, Header, OwnedHeaders},
    producer::{BaseRecord, ProducerContext, ThreadedProducer},
    types::RDKafkaErrorCode as Code,
};

use super::Seen;

const DELIVERY_LIMIT: Duration = Duration::from_secs(30);

/// How a processor commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transactions {
    On,
    /// The same records by a plain idempotent producer, then the same offsets by a plain commit.
    Off,
}

/// Closed, it holds back polls: the processor stands still, and stays a member.
#[derive(Default)]
pub struct Gate {
    closed: AtomicBool,
    /// Microseconds between two commits; 0: as they come.
    paced: Mutex<Option<Duration>>,
    waker: Mutex<Option<Waker>>,
}

impl Gate {
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub fn open(&self) {
        self.closed.store(false, Ordering::Release);
        self.wake();
    }

    /// Lets transactions begin at this pace and no faster.
    pub fn pace(self: &Arc<Self>, every: Duration) {
        *self.paced.lock().unwrap_or_else(PoisonError::into_inner) = Some(every);
        let gate = Arc::downgrade(self);
        thread::spawn(move || {
            while let Some(gate) = gate.upgrade() {
                gate.wake();
                drop(gate);
                thread::sleep(every / 10);
            }
        });
    }

    pub(super) fn wakes(&self, waker: &Waker) {
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(waker));
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.lock().unwrap_or_else(PoisonError::into_inner) {
            waker();
        }
    }

    fn paced(&self) -> Option<Duration> {
        *self.paced.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub struct WatchedLog {
    log: KafkaLog,
    seen: Arc<Seen>,
    gate: Arc<Gate>,
    waker: Waker,
    /// A poll that waits for the gate.
    poll: Option<LogCommand>,
    /// A transaction that waits for its time.
    due: Option<Transaction>,
    begun: Instant,
    plain: Option<Plain>,
}

/// Where transactions go that are none.
struct Plain {
    work: mpsc::Sender<Transaction>,
    ended: mpsc::Receiver<LogEvent>,
}

impl WatchedLog {
    pub fn new(log: KafkaLog, seen: Arc<Seen>, gate: Arc<Gate>, waker: Waker) -> Self {
        Self { log, seen, gate, waker, poll: None, due: None, begun: Instant::now(), plain: None }
    }

    /// Commits into a group of its own: only members may commit into the processor's.
    pub fn without_transactions(mut self, kafka: &str, group: &str, input: Topic) -> Result<Self> {
        let (work, todo) = mpsc::channel();
        let (answers, ended) = mpsc::channel();
        let waker = Arc::clone(&self.waker);
        let mut loop_ = PlainLoop::new(kafka, &format!("{group}.plain"), input)?;
        thread::spawn(move || {
            for transaction in todo {
                let Transaction { id, steps, .. } = transaction;
                let outcome = match loop_.carry_out(steps) {
                    Ok(()) => TransactionOutcome::Committed,
                    Err(error) => TransactionOutcome::Fatal { reason: format!("{error:#}") },
                };
                if answers.send(LogEvent::TransactionEnded { id, outcome }).is_err() {
                    return;
                }
                waker();
            }
        });
        self.plain = Some(Plain { work, ended });
        Ok(self)
    }

    fn transact(&mut self, transaction: Transaction) {
        self.begun = Instant::now();
        match &self.plain {
            // Without its thread nothing is answered, which the engine's watch reports.
            Some(plain) => drop(plain.work.send(transaction)),
            None => self.log.submit(LogCommand::Transact(transaction)),
        }
    }

    fn pass_on(&mut self) {
        if !self.gate.closed.load(Ordering::Acquire)
            && let Some(poll) = self.poll.take()
        {
            self.log.submit(poll);
        }
        let waits = self.gate.paced().is_some_and(|every| self.begun.elapsed() < every);
        if !waits && let Some(transaction) = self.due.take() {
            self.transact(transaction);
        }
    }
}

impl Log for WatchedLog {
    fn submit(&mut self, command: LogCommand) {
        match command {
            LogCommand::Poll { .. } => self.poll = Some(command),
            LogCommand::Transact(transaction) => {
                for step in &transaction.steps {
                    if let TransactionStep::Records(records) = step {
                        self.seen.published.fetch_add(records.len() as u64, Ordering::Relaxed);
                    }
                }
                self.due = Some(transaction);
            }
            LogCommand::Fetch { .. } => {
                self.seen.kept().fetched.get_or_insert_with(Instant::now);
                self.log.submit(command);
            }
            _ => self.log.submit(command),
        }
        self.pass_on();
    }

    fn poll(&mut self) -> Option<LogEvent> {
        self.pass_on();
        let ended = self.plain.as_ref().and_then(|plain| plain.ended.try_recv().ok());
        let event = ended.or_else(|| self.log.poll())?;
        if matches!(event, LogEvent::TransactionEnded { outcome: TransactionOutcome::Committed, .. }) {
            self.seen.commits.fetch_add(1, Ordering::Relaxed);
        }
        Some(event)
    }
}

/// A producer and a consumer with the transactional ones' settings.
struct PlainLoop {
    producer: ThreadedProducer<Delivered>,
    delivered: Arc<(Mutex<Count>, Condvar)>,
    consumer: BaseConsumer,
    input: &'static str,
    sent: u64,
}

#[derive(Default)]
struct Count {
    delivered: u64,
    refused: u64,
}

#[derive(Default)]
struct Delivered(Arc<(Mutex<Count>, Condvar)>);

impl ClientContext for Delivered {}

impl ProducerContext for Delivered {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let (count, told) = &*self.0;
        let mut count = count.lock().unwrap_or_else(PoisonError::into_inner);
        count.delivered += 1;
        count.refused += u64::from(result.is_err());
        told.notify_one();
    }
}

impl PlainLoop {
    fn new(kafka: &str, group: &str, input: Topic) -> Result<Self> {
        let delivered = Arc::<(Mutex<Count>, Condvar)>::default();
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", kafka)
            .set("enable.idempotence", "true")
            .set("compression.codec", "lz4")
            .set("linger.ms", "1")
            .set("queue.buffering.max.messages", "1000000");
        let producer = config.create_with_context(Delivered(Arc::clone(&delivered)))?;
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", kafka).set("group.id", group).set("enable.auto.commit", "false");
        Ok(Self { producer, delivered, consumer: config.create()?, input: input.name(), sent: 0 })
    }

    fn carry_out(&mut self, steps: Vec<TransactionStep>) -> Result<()> {
        let mut list = TopicPartitionList::new();
        for step in steps {
            match step {
                TransactionStep::Offsets(offsets) => {
                    for (partition, committed) in offsets {
                        let (partition, offset) = (partition as i32, Offset::Offset(committed.offset));
                        let mut element = list.add_partition(self.input, partition);
                        element.set_offset(offset)?;
                        element.set_metadata(committed.metadata);
                    }
                }
                TransactionStep::Records(records) => {
                    for record in &records {
                        self.send(record)?;
                    }
                }
            }
        }
        self.wait()?;
        Ok(self.consumer.commit(&list, CommitMode::Sync)?)
    }

    fn send(&mut self, record: &heartline::log::OutRecord) -> Result<()> {
        let mut out = BaseRecord::<[u8], [u8]>::to(record.topic.name()).partition(record.partition as i32);
        out.key = record.key.as_deref();
        out.payload = record.value.as_deref();
        if !record.headers.is_empty() {
            let headers = record.headers.iter().fold(OwnedHeaders::new(), |headers, header| {
                headers.insert(Header { key: &header.name, value: header.value.as_deref() })
            });
            out = out.headers(headers);
        }
        loop {
            match self.producer.send(out) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(Code::QueueFull), unsent)) => {
                    out = unsent;
                    thread::sleep(Duration::from_millis(1));
                }
                Err((failure, _)) => return Err(failure).context("sending without a transaction"),
            }
        }
        self.sent += 1;
        Ok(())
    }

    fn wait(&self) -> Result<()> {
        let (count, told) = &*self.delivered;
        let count = count.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = |count: &mut Count| count.delivered < self.sent;
        let (count, _) =
            told.wait_timeout_while(count, DELIVERY_LIMIT, waits).unwrap_or_else(PoisonError::into_inner);
        ensure!(count.delivered == self.sent && count.refused == 0, "the broker did not take all records");
        Ok(())
    }
}
