//! The thread that reads: a consumer of its own, apart from the one that is the group's member.
//!
//! It subscribes to nothing. Each `Fetch` adds its partition at its explicit position (`incremental_assign`,
//! which an eager group forbids to its members), so that partitions start and stop without disturbing each
//! other; a rebalance blocks only the member's thread; and the batch call, which would answer rebalances by
//! itself, is safe to use. Taking a partition out raises librdkafka's version barrier at once: what an older
//! fetch left behind is never handed out, and every record belongs to the latest `Fetch` of its partition.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    Offset as KafkaOffset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    types::RDKafkaErrorCode as Code,
};

use crate::{
    log::{Chunk, ChunkSize, ErrorClass, FetchId, LogError, LogEvent, Offset, PartitionId},
    topology::Topic,
};

use super::{
    context::Logged,
    error,
    events::Events,
    native::{FetchQueue, Message},
};

/// How long to wait for records when nobody asks: only bounds how late an error of a partition is noticed.
const IDLE_WAIT: Duration = Duration::from_millis(100);

pub enum ReaderCommand {
    Fetch {
        partition: PartitionId,
        from: Offset,
        fetch: FetchId,
        headers: bool,
    },
    StopFetch {
        partition: PartitionId,
    },
    /// The assignment is over.
    StopAll,
    Poll {
        records_max: usize,
        bytes_max: usize,
        wait_ms: u64,
    },
    Close,
}

/// The way to the reading thread.
#[derive(Clone)]
pub struct ReaderHandle {
    commands: mpsc::Sender<ReaderCommand>,
    queue: Arc<FetchQueue<Logged>>,
}

impl ReaderHandle {
    pub fn send(&self, command: ReaderCommand) {
        // A thread that has ended was told to.
        let _ = self.commands.send(command);
        self.queue.wake();
    }
}

/// Starts the reading thread on `consumer`, which must have a group and no subscription.
pub fn start(
    consumer: Arc<BaseConsumer<Logged>>,
    input: Topic,
    brokers: String,
    events: Events,
) -> Result<(ReaderHandle, thread::JoinHandle<()>), LogError> {
    let queue = FetchQueue::new(consumer)
        .map(Arc::new)
        .ok_or_else(|| LogError::fatal("librdkafka gives a consumer with a group no queue"))?;
    let (sender, commands) = mpsc::channel();
    let reader = Reader {
        queue: Arc::clone(&queue),
        commands,
        input,
        brokers,
        events,
        fetches: BTreeMap::new(),
        taken: VecDeque::new(),
        polls: VecDeque::new(),
        like: ChunkSize::default(),
    };
    let thread = thread::Builder::new()
        .name("kafka-reader".to_owned())
        .spawn(move || reader.run())
        .map_err(|error| LogError::fatal(format!("cannot start the thread that reads Kafka: {error}")))?;
    Ok((ReaderHandle { commands: sender, queue }, thread))
}

#[derive(Clone, Copy)]
struct Fetching {
    fetch: FetchId,
    headers: bool,
}

struct Poll {
    records_max: usize,
    bytes_max: usize,
    until: Instant,
}

struct Reader {
    /// Taken from librdkafka and not handed out yet; let go before the queue and its consumer are.
    taken: VecDeque<Message>,
    queue: Arc<FetchQueue<Logged>>,
    commands: mpsc::Receiver<ReaderCommand>,
    input: Topic,
    brokers: String,
    events: Events,
    fetches: BTreeMap<PartitionId, Fetching>,
    polls: VecDeque<Poll>,
    /// The largest chunk of the last poll.
    like: ChunkSize,
}

impl Reader {
    /// 1. Carry out what was asked. 2. Wait for records, no longer than the first poll may. 3. Answer it.
    fn run(mut self) {
        loop {
            loop {
                match self.commands.try_recv() {
                    Ok(ReaderCommand::Close) | Err(mpsc::TryRecvError::Disconnected) => return self.close(),
                    Ok(command) => self.handle(command),
                    Err(mpsc::TryRecvError::Empty) => break,
                }
            }
            if self.taken.is_empty() {
                let wait = self.polls.front().map_or(IDLE_WAIT, |poll| {
                    poll.until.saturating_duration_since(Instant::now()).min(IDLE_WAIT)
                });
                self.take(wait);
            } else if self.polls.is_empty() {
                match self.commands.recv() {
                    Ok(ReaderCommand::Close) | Err(mpsc::RecvError) => return self.close(),
                    Ok(command) => self.handle(command),
                }
            }
            self.answer();
        }
    }

    fn handle(&mut self, command: ReaderCommand) {
        match command {
            ReaderCommand::Fetch { partition, from, fetch, headers } => {
                self.fetch(partition, from, Fetching { fetch, headers });
            }
            ReaderCommand::StopFetch { partition } => self.stop(partition),
            ReaderCommand::StopAll => {
                while let Some(partition) = self.fetches.keys().next().copied() {
                    self.stop(partition);
                }
            }
            ReaderCommand::Poll { records_max, bytes_max, wait_ms } => {
                let until = Instant::now() + Duration::from_millis(wait_ms);
                self.polls.push_back(Poll { records_max, bytes_max, until });
            }
            ReaderCommand::Close => {}
        }
    }

    fn fetch(&mut self, partition: PartitionId, from: Offset, fetching: Fetching) {
        self.stop(partition);
        if from < 0 {
            // Negative offsets mean something to librdkafka (the end, the committed one), and nothing to the
            // engine.
            let fetch = fetching.fetch;
            return self.events.emit(LogEvent::OutOfRange { partition, fetch });
        }
        self.fetches.insert(partition, fetching);
        let mut list = TopicPartitionList::new();
        let result = list
            .add_partition_offset(self.input.name(), partition as i32, KafkaOffset::Offset(from))
            .and_then(|()| self.queue.consumer().incremental_assign(&list));
        if let Err(failure) = result {
            let doing = format!("reading {}/{partition} from {from}", self.input);
            self.events.fail(error::explain(&doing, &self.brokers, &failure));
        }
    }

    fn stop(&mut self, partition: PartitionId) {
        if self.fetches.remove(&partition).is_none() {
            return;
        }
        let mut list = TopicPartitionList::new();
        list.add_partition(self.input.name(), partition as i32);
        if let Err(failure) = self.queue.consumer().incremental_unassign(&list) {
            let doing = format!("no longer reading {}/{partition}", self.input);
            self.events.fail(error::explain(&doing, &self.brokers, &failure));
        }
        self.taken.retain(|message| message.partition() != partition);
    }

    /// Takes up to one batch from librdkafka; what is no record is dealt with at once.
    fn take(&mut self, wait: Duration) {
        let known = self.taken.len();
        self.queue.take(wait, &mut self.taken);
        let mut at = known;
        while at < self.taken.len() {
            if self.is_record(at) {
                at += 1;
            } else {
                self.taken.remove(at);
            }
        }
    }

    /// Whether this is a record of a fetch under way; says so where it is an error.
    fn is_record(&self, at: usize) -> bool {
        let message = &self.taken[at];
        let partition = message.partition();
        let fetch = self.fetches.get(&partition).map(|fetching| fetching.fetch);
        let Some(failure) = message.error() else { return fetch.is_some() };
        match (failure.code, fetch) {
            (Code::AutoOffsetReset | Code::OffsetOutOfRange, Some(fetch)) => {
                self.events.emit(LogEvent::OutOfRange { partition, fetch });
            }
            (Code::AutoOffsetReset | Code::OffsetOutOfRange, None) => {}
            (code, _) if error::class_of(code) == ErrorClass::Retriable => {
                tracing::warn!("reading '{}': {}", self.input, failure.text);
            }
            (code, _) => {
                let doing = format!("reading '{}'", self.input);
                self.events.fail(error::explain_code(&doing, &self.brokers, code, &failure.text));
            }
        }
        false
    }

    /// Answers the first poll if there is something to say or its time is up.
    fn answer(&mut self) {
        let Some(poll) = self.polls.front() else { return };
        if self.taken.is_empty() && Instant::now() < poll.until {
            return;
        }
        let (records_max, bytes_max) = (poll.records_max, poll.bytes_max);
        self.polls.pop_front();
        let chunks = self.fill(records_max, bytes_max);
        self.events.emit(LogEvent::Polled { chunks });
    }

    /// Packs what is there. What is over a bound stays for the next poll; one record is always handed out.
    fn fill(&mut self, records_max: usize, bytes_max: usize) -> Vec<Chunk> {
        let mut packed = Packed { like: self.like, ..Packed::default() };
        let chunks = self.pack(&mut packed, records_max, bytes_max);
        let sizes = || chunks.iter().map(Chunk::size);
        self.like.records = sizes().map(|size| size.records).max().unwrap_or(0);
        self.like.bytes = sizes().map(|size| size.bytes).max().unwrap_or(0);
        chunks
    }

    fn pack(&mut self, packed: &mut Packed, records_max: usize, bytes_max: usize) -> Vec<Chunk> {
        loop {
            while let Some(message) = self.taken.front() {
                if packed.records > 0 && (packed.records >= records_max || packed.bytes >= bytes_max) {
                    return mem::take(&mut packed.chunks);
                }
                if let Some(fetching) = self.fetches.get(&message.partition()) {
                    packed.push(message, *fetching);
                }
                self.taken.pop_front();
            }
            self.take(Duration::ZERO);
            if self.taken.is_empty() {
                return mem::take(&mut packed.chunks);
            }
        }
    }

    fn close(self) {
        let list = self.fetches.keys().fold(TopicPartitionList::new(), |mut list, partition| {
            list.add_partition(self.input.name(), *partition as i32);
            list
        });
        if let Err(failure) = self.queue.consumer().incremental_unassign(&list) {
            tracing::debug!("closing the reader of {}: {failure}", self.input);
        }
    }
}

/// Chunks under construction, one per partition.
#[derive(Default)]
struct Packed {
    chunks: Vec<Chunk>,
    like: ChunkSize,
    /// Where the last record went: records come in runs of one partition.
    last: usize,
    records: usize,
    bytes: usize,
}

impl Packed {
    fn push(&mut self, message: &Message, Fetching { fetch, headers }: Fetching) {
        let partition = message.partition();
        if self.chunks.get(self.last).is_none_or(|chunk| chunk.partition != partition) {
            self.last =
                self.chunks.iter().position(|chunk| chunk.partition == partition).unwrap_or_else(|| {
                    let chunk = Chunk::sized(partition, fetch, self.like).keeping_headers(headers);
                    self.chunks.push(chunk);
                    self.chunks.len() - 1
                });
        }
        let (key, value) = (message.key(), message.value());
        let headers = if headers { message.headers() } else { Vec::new() };
        self.records += 1;
        self.bytes += key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
        self.chunks[self.last].push(message.offset(), message.time_ms(), key, value, headers);
    }
}
