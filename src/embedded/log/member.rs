//! The thread behind an [`EmbeddedLog`](super::EmbeddedLog): one input after the other, and polls that wait.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::ControlFlow,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::mpsc::{UnboundedReceiver, WeakUnboundedSender},
    time::{Instant, sleep_until},
};

use super::Outbox;
use crate::{
    embedded::{
        groups::{Membership, Producer},
        queue::{Lane, Refused},
        shared::Shared,
        spaces::StorageError,
        topics,
        writer::{Transacting, Work},
    },
    log::{
        self, AssignmentId, Bounds, Chunk, Committed, FetchId, LogCommand, LogError, LogEvent, Offset,
        OutRecord, PartitionId, RequestId, TopicDescription, Transaction, TransactionOutcome,
    },
    topology::Topic,
};

pub(super) enum Input {
    Command(LogCommand),
    /// Another member has taken the place that this assignment stood for.
    Superseded(AssignmentId),
}

/// Bytes of one chunk, whatever a poll allows.
const CHUNK_BYTES_MAX: usize = 1024 * 1024;

pub(super) struct Member {
    shared: Arc<Shared>,
    group: Arc<str>,
    input: Topic,
    outbox: Outbox,
    /// For those who supersede this member; weak, so that the channel closes with the log.
    inputs: WeakUnboundedSender<Input>,
    producer: Option<Producer>,
    assignment: Option<AssignmentId>,
    fetches: BTreeMap<PartitionId, Fetching>,
    polls: VecDeque<Polling>,
    /// Where the next poll begins, so that no partition starves.
    turn: PartitionId,
}

#[derive(Debug, Clone, Copy)]
struct Fetching {
    position: Offset,
    fetch: FetchId,
    headers: bool,
}

#[derive(Debug, Clone, Copy)]
struct Polling {
    records_max: usize,
    bytes_max: usize,
    deadline: Instant,
}

impl Member {
    pub fn new(
        shared: Arc<Shared>,
        group: Arc<str>,
        input: Topic,
        outbox: Outbox,
        inputs: WeakUnboundedSender<Input>,
    ) -> Self {
        let (fetches, polls) = (BTreeMap::new(), VecDeque::new());
        Self {
            shared,
            group,
            input,
            outbox,
            inputs,
            producer: None,
            assignment: None,
            fetches,
            polls,
            turn: 0,
        }
    }

    /// Runs until the log is dropped or has left.
    pub async fn run(mut self, mut inputs: UnboundedReceiver<Input>) {
        let Some(mut appended) = self.shared.subscribe(self.input) else {
            let message = format!("there is no topic '{}' in this topology", self.input);
            self.outbox.send(LogEvent::Failed { error: LogError::fatal(message) });
            return;
        };
        loop {
            let deadline = self.polls.front().map(|poll| poll.deadline);
            tokio::select! {
                biased;
                input = inputs.recv() => match input {
                    None => return,
                    Some(Input::Command(LogCommand::Leave)) => return self.leave(),
                    Some(Input::Command(command)) => self.handle_command(command),
                    Some(Input::Superseded(assignment)) => self.handle_superseded(assignment),
                },
                _ = appended.changed(), if deadline.is_some() => {}
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {}
            }
            self.answer_polls();
        }
    }

    fn handle_command(&mut self, command: LogCommand) {
        match command {
            LogCommand::OpenProducer { name } => self.open_producer(name.into()),
            LogCommand::Join => self.join(),
            LogCommand::Describe { request } => self.describe(request),
            LogCommand::ReadOffsets { request, partitions, .. } => {
                // Nothing is ever half committed, so every read is stable.
                let result = self.read_offsets(&partitions).map_err(fatal);
                self.outbox.send(LogEvent::OffsetsRead { request, result });
            }
            LogCommand::ReadBounds { request, partitions } => {
                let result = self.read_bounds(&partitions).map_err(fatal);
                self.outbox.send(LogEvent::BoundsRead { request, result });
            }
            LogCommand::ListMembers { request } => self.list_members(request),
            LogCommand::FenceName { request, name } => self.fence(request, name),
            LogCommand::Fetch { partition, from, fetch, headers } => {
                self.fetches.insert(partition, Fetching { position: from, fetch, headers });
                self.check_range(partition);
            }
            LogCommand::StopFetch { partition } => {
                self.fetches.remove(&partition);
            }
            LogCommand::Poll { records_max, bytes_max, wait_ms } => {
                let deadline = Instant::now() + Duration::from_millis(wait_ms);
                self.polls.push_back(Polling { records_max, bytes_max, deadline });
            }
            LogCommand::Transact(transaction) => self.transact(transaction),
            LogCommand::Beacon { partition, value } => self.append_beacon(partition, value),
            // Nobody is asked to release: a member is superseded or leaves. `Leave` ends the loop that calls
            // this.
            LogCommand::Release | LogCommand::Leave => {}
        }
    }

    fn open_producer(&mut self, name: Arc<str>) {
        let producer = Producer { name, epoch: self.shared.number() };
        self.producer = Some(producer.clone());
        let outbox = self.outbox.clone();
        let work =
            Work::OpenProducer { producer, reply: Box::new(move |()| outbox.send(LogEvent::ProducerOpened)) };
        if let Err(refused) = self.shared.submit(Lane::Engine, work) {
            self.outbox.send(LogEvent::ProducerFailed { error: retriable(refused) });
        }
    }

    fn join(&mut self) {
        let Some(inputs) = self.inputs.upgrade() else {
            return;
        };
        let assignment = self.shared.number();
        self.assignment = Some(assignment);
        let id = format!("{}-{assignment}", self.group);
        let client_id = self.producer.as_ref().map_or_else(String::new, |producer| producer.name.to_string());
        let event = LogEvent::Assigned { assignment, member: id.clone(), partitions: self.partitions() };
        let outbox = self.outbox.clone();
        let inputs = inputs.downgrade();
        let superseded = Box::new(move |assignment| {
            if let Some(inputs) = inputs.upgrade() {
                // A member that has left need not know.
                let _ = inputs.send(Input::Superseded(assignment));
            }
        });
        let membership = Membership { assignment, member: log::Member { id, client_id }, superseded };
        let work = Work::Join {
            group: Arc::clone(&self.group),
            membership,
            reply: Box::new(move |()| outbox.send(event)),
        };
        self.submit_or_fail(work);
    }

    fn handle_superseded(&mut self, assignment: AssignmentId) {
        if self.assignment == Some(assignment) {
            self.assignment = None;
            self.fetches.clear();
            self.outbox.send(LogEvent::Lost { partitions: self.partitions() });
        }
    }

    fn leave(mut self) {
        self.polls.clear();
        let outbox = self.outbox.clone();
        let (group, assignment) = (self.group, self.assignment);
        let reply = Box::new(move |()| outbox.send(LogEvent::Left));
        if self.shared.submit(Lane::Engine, Work::Leave { group, assignment, reply }).is_err() {
            // The database is closing, which ends the membership as well.
            self.outbox.send(LogEvent::Left);
        }
    }

    fn describe(&self, request: RequestId) {
        let entry = self.shared.catalog.get(&self.input);
        let result = entry
            .map(|entry| TopicDescription { topic_id: entry.id.clone(), partitions: entry.partitions })
            .ok_or_else(|| LogError::fatal(format!("there is no topic '{}'", self.input)));
        self.outbox.send(LogEvent::Described { request, result });
    }

    fn list_members(&self, request: RequestId) {
        let outbox = self.outbox.clone();
        let reply = Box::new(move |members| {
            outbox.send(LogEvent::MembersListed { request, result: Ok(members) });
        });
        let work = Work::ListMembers { group: Arc::clone(&self.group), reply };
        if let Err(refused) = self.shared.submit(Lane::Engine, work) {
            self.outbox.send(LogEvent::MembersListed { request, result: Err(retriable(refused)) });
        }
    }

    fn fence(&self, request: RequestId, name: String) {
        let outbox = self.outbox.clone();
        let producer = Producer { name: name.as_str().into(), epoch: self.shared.number() };
        let fenced = name.clone();
        let reply = Box::new(move |()| {
            outbox.send(LogEvent::NameFenced { request, name: fenced, result: Ok(()) });
        });
        if let Err(refused) = self.shared.submit(Lane::Engine, Work::OpenProducer { producer, reply }) {
            self.outbox.send(LogEvent::NameFenced { request, name, result: Err(retriable(refused)) });
        }
    }

    fn transact(&self, transaction: Transaction) {
        let id = transaction.id;
        let outbox = self.outbox.clone();
        let transacting = Transacting {
            group: Arc::clone(&self.group),
            input: self.input,
            producer: self.producer.clone(),
        };
        let reply = Box::new(move |outcome| outbox.send(LogEvent::TransactionEnded { id, outcome }));
        let work = Work::Transact { transacting, transaction, reply };
        if let Err(refused) = self.shared.submit(Lane::Engine, work) {
            let outcome = TransactionOutcome::Aborted { reason: refused.sentence().to_owned() };
            self.outbox.send(LogEvent::TransactionEnded { id, outcome });
        }
    }

    fn append_beacon(&self, partition: PartitionId, value: Bytes) {
        let record =
            OutRecord { topic: self.input, partition, key: None, value: Some(value), headers: Vec::new() };
        let outbox = self.outbox.clone();
        let reply = Box::new(move |result| outbox.send(LogEvent::BeaconAppended { partition, result }));
        let work = Work::Append { records: vec![record], reply };
        if let Err(refused) = self.shared.submit(Lane::Engine, work) {
            self.outbox.send(LogEvent::BeaconAppended { partition, result: Err(retriable(refused)) });
        }
    }

    fn read_offsets(
        &self,
        partitions: &[PartitionId],
    ) -> Result<Vec<(PartitionId, Option<Committed>)>, StorageError> {
        let spaces = &self.shared.spaces;
        let snapshot = spaces.database.snapshot();
        let read = |partition: &PartitionId| {
            let committed = topics::committed(spaces, &snapshot, (self.input, *partition), &self.group)?;
            Ok((*partition, committed))
        };
        partitions.iter().map(read).collect()
    }

    fn read_bounds(&self, partitions: &[PartitionId]) -> Result<Vec<(PartitionId, Bounds)>, StorageError> {
        let spaces = &self.shared.spaces;
        let snapshot = spaces.database.snapshot();
        let read = |partition: &PartitionId| {
            Ok((*partition, topics::position(spaces, &snapshot, self.input, *partition)?.bounds))
        };
        partitions.iter().map(read).collect()
    }

    /// Answers a fetch from a position that is not there at once, without waiting for a poll.
    fn check_range(&mut self, partition: PartitionId) {
        let checked = self.read_chunk(partition, 0, 0);
        if let Err(error) = checked {
            self.outbox.send(LogEvent::Failed { error: fatal(error) });
        }
    }

    /// Answers the oldest polls: those for which there are records, and those whose time is over.
    fn answer_polls(&mut self) {
        while let Some(poll) = self.polls.front().copied() {
            let chunks = match self.gather(poll) {
                Ok(chunks) => chunks,
                Err(error) => {
                    self.outbox.send(LogEvent::Failed { error: fatal(error) });
                    Vec::new()
                }
            };
            if chunks.is_empty() && Instant::now() < poll.deadline && !self.shared.queue.is_closed() {
                return;
            }
            self.polls.pop_front();
            self.outbox.send(LogEvent::Polled { chunks });
        }
    }

    /// What there is, partition after partition, beginning with another one each time.
    fn gather(&mut self, poll: Polling) -> Result<Vec<Chunk>, StorageError> {
        let mut chunks = Vec::new();
        let (mut records, mut bytes) = (poll.records_max, poll.bytes_max);
        let partitions: Vec<_> = self
            .fetches
            .range(self.turn..)
            .chain(self.fetches.range(..self.turn))
            .map(|(partition, _)| *partition)
            .collect();
        for partition in partitions {
            if records == 0 || bytes == 0 {
                break;
            }
            self.turn = partition + 1;
            let chunk = self.read_chunk(partition, records, bytes.min(CHUNK_BYTES_MAX))?;
            if let Some(chunk) = chunk.filter(|chunk| !chunk.is_empty()) {
                records -= chunk.len().min(records);
                bytes -= chunk.size_bytes().min(bytes);
                chunks.push(chunk);
            }
        }
        Ok(chunks)
    }

    /// Reads on in a partition; a position that is not there ends its fetch. One record is read even if it is
    /// larger than `bytes_max`.
    fn read_chunk(
        &mut self,
        partition: PartitionId,
        records_max: usize,
        bytes_max: usize,
    ) -> Result<Option<Chunk>, StorageError> {
        let Some(Fetching { position, fetch, headers }) = self.fetches.get(&partition).copied() else {
            return Ok(None);
        };
        let spaces = &self.shared.spaces;
        let snapshot = spaces.database.snapshot();
        let bounds = topics::position(spaces, &snapshot, self.input, partition)?.bounds;
        if position < bounds.first || position > bounds.end {
            self.fetches.remove(&partition);
            self.outbox.send(LogEvent::OutOfRange { partition, fetch });
            return Ok(None);
        }
        let mut chunk = Chunk::new(partition, fetch).keeping_headers(headers);
        if position < bounds.end && records_max > 0 {
            topics::scan(spaces, &snapshot, (self.input, partition), position, |offset, record| {
                if !chunk.is_empty() && chunk.size_bytes() + record.size_bytes > bytes_max {
                    return ControlFlow::Break(());
                }
                chunk.push(offset, record.time_ms, record.key, record.value, record.headers);
                match chunk.len() < records_max {
                    true => ControlFlow::Continue(()),
                    false => ControlFlow::Break(()),
                }
            })?;
            // Without a record up to the end, what is missing was compacted away.
            let position = chunk.last_offset().map_or(bounds.end, |last| last + 1);
            self.fetches.insert(partition, Fetching { position, fetch, headers });
        }
        Ok(Some(chunk))
    }

    fn submit_or_fail(&self, work: Work) {
        if let Err(refused) = self.shared.submit(Lane::Engine, work) {
            self.outbox.send(LogEvent::Failed { error: retriable(refused) });
        }
    }

    fn partitions(&self) -> Vec<PartitionId> {
        (0..self.shared.catalog.get(&self.input).map_or(0, |entry| entry.partitions)).collect()
    }
}

fn fatal(error: StorageError) -> LogError {
    LogError::fatal(error.0)
}

fn retriable(refused: Refused) -> LogError {
    LogError::retriable(refused.sentence())
}
