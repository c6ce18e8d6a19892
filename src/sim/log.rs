//! The broker: what happens when a request arrives. It has no queue and no clock of its own; the network
//! tells it the time, brings requests and carries out the effects.

use bytes::Bytes;

use crate::{
    limits::OFFSET_METADATA_BYTES_MAX,
    log::{Bounds, Committed, Member, Offset, OutRecord, PartitionId, TopicDescription},
    sim::{Fault, Origin},
    topology::{Topic, Topology},
};

pub mod group;
pub mod partition;
pub mod transactions;

pub use self::{
    group::Notice,
    transactions::{ProducerId, ProducerSession},
};
use self::{
    group::{Group, GroupEffect, MemberNo, OffsetRefusal},
    partition::{CommittedRecord, Content, PartitionLog},
    transactions::{Ending, Refusal, Target, Transactions},
};

/// The wall clock of the broker when a run begins: a moment in 2025.
pub const EPOCH_MS: i64 = 1_750_000_000_000;
/// Bytes of a record that the broker takes.
pub const RECORD_BYTES_MAX: usize = 1_048_588;

/// A group's number within the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupNo(pub u32);

#[derive(Debug)]
pub struct SimBroker {
    topics: Vec<Option<TopicLog>>,
    groups: Vec<NamedGroup>,
    transactions: Transactions,
    transaction_limit_ms: u64,
    skew_ms: i64,
    may_step_back: bool,
    markers: u64,
    effects: Vec<BrokerEffect>,
    group_effects: Vec<GroupEffect>,
}

#[derive(Debug)]
struct NamedGroup {
    name: String,
    input: Topic,
    state: Group,
}

#[derive(Debug)]
struct TopicLog {
    life: u32,
    partitions: Vec<PartitionLog>,
}

/// What a client asks of the broker.
#[derive(Debug, Clone)]
pub enum Request {
    InitProducer {
        name: String,
    },
    Join {
        group: GroupNo,
        at: Origin,
        known: Option<MemberNo>,
        client_id: String,
    },
    Leave {
        group: GroupNo,
        member: MemberNo,
    },
    Describe {
        topic: Topic,
    },
    Offsets {
        group: GroupNo,
        partitions: Vec<PartitionId>,
        stable: bool,
    },
    Bounds {
        topic: Topic,
        partitions: Vec<PartitionId>,
    },
    Members {
        group: GroupNo,
    },
    CommitOffsets {
        session: ProducerSession,
        group: GroupNo,
        member: MemberNo,
        generation: i32,
        offsets: Vec<(PartitionId, Committed)>,
    },
    Produce {
        session: ProducerSession,
        records: Vec<OutRecord>,
    },
    EndTransaction {
        session: ProducerSession,
        commit: bool,
    },
    Append {
        topic: Topic,
        partition: PartitionId,
        value: Bytes,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Done,
    Joined(Option<MemberNo>),
    Producer(ProducerSession),
    Description(TopicDescription),
    Offsets(Vec<(PartitionId, Option<Committed>)>),
    Bounds(Vec<(PartitionId, Bounds)>),
    Members(Vec<Member>),
    Failed(Failure),
}

/// Why a call did not do what it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Nobody knows whether it took effect, or will.
    TimedOut,
    Retriable(String),
    /// The transaction must be aborted; the producer lives on.
    Abortable(String),
    Fenced(String),
    Fatal(String),
}

/// An answer, or the wish to be asked again: the client's own retries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Answer(Answer),
    Again,
}

/// What the broker wants done beside its answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerEffect {
    /// Call [`SimBroker::write_marker`] soon.
    MarkerDue {
        producer: ProducerId,
        target: Target,
    },
    /// A transaction is open: [`SimBroker::scan`] must run from time to time.
    ScanNeeded,
    Group {
        group: GroupNo,
        effect: GroupEffect,
    },
    /// Readers of this topic may have something to read.
    Readable(Topic),
    Noted(Fault),
    /// A member committed an offset of a partition that the group did not give it.
    NotOwned {
        group: GroupNo,
        member: MemberNo,
        partition: PartitionId,
    },
}

impl SimBroker {
    /// A broker with the topology's topics, all empty. Transactions open for `transaction_limit_ms` are
    /// aborted by the scan.
    #[must_use]
    pub fn new(topology: &Topology, transaction_limit_ms: u64) -> Self {
        let topic_log = |topic: Topic| topology.topic(topic).map(|spec| TopicLog::new(0, spec.partitions));
        Self {
            topics: Topic::ALL.into_iter().map(topic_log).collect(),
            groups: Vec::new(),
            transactions: Transactions::default(),
            transaction_limit_ms,
            skew_ms: 0,
            may_step_back: false,
            markers: 0,
            effects: Vec::new(),
            group_effects: Vec::new(),
        }
    }

    /// The number of the group of this name, which is made at its first mention.
    pub fn group(&mut self, name: &str, input: Topic) -> GroupNo {
        let found = self.groups.iter().position(|group| group.name == name);
        let no = found.unwrap_or_else(|| {
            let partitions = self.topic(input).map_or(0, |log| log.partitions.len() as u32);
            self.groups.push(NamedGroup { name: name.to_owned(), input, state: Group::new(partitions) });
            self.groups.len() - 1
        });
        GroupNo(no as u32)
    }

    /// What a group knows: its members, generation and offsets.
    #[must_use]
    pub fn group_state(&self, group: GroupNo) -> &Group {
        &self.groups[group.0 as usize].state
    }

    /// The same, to be changed as an operator's tool would.
    pub fn group_state_mut(&mut self, group: GroupNo) -> &mut Group {
        &mut self.groups[group.0 as usize].state
    }

    /// Milliseconds since 1970 on the broker's clock.
    #[must_use]
    pub fn wall_ms(&self, now_ms: u64) -> i64 {
        EPOCH_MS + now_ms as i64 + self.skew_ms
    }

    /// Moves the broker's clock. Record times of a partition never decrease, unless `may_step_back`.
    pub fn jump_clock(&mut self, by_ms: i64, may_step_back: bool) {
        self.skew_ms += by_ms;
        self.may_step_back = may_step_back;
    }

    /// Appends a record that belongs to no transaction; `None` where there is no such partition.
    pub fn append(
        &mut self,
        now_ms: u64,
        topic: Topic,
        partition: PartitionId,
        content: Content,
    ) -> Option<Offset> {
        let (wall_ms, may_step_back) = (self.wall_ms(now_ms), self.may_step_back);
        let log = self.partition_mut(topic, partition)?;
        let offset = log.append(content, append_time_ms(log, wall_ms, may_step_back), None);
        self.effects.push(BrokerEffect::Readable(topic));
        Some(offset)
    }

    /// The log of a partition that the topology has.
    #[must_use]
    pub fn partition(&self, topic: Topic, partition: PartitionId) -> Option<&PartitionLog> {
        self.topic(topic)?.partitions.get(partition as usize)
    }

    /// Committed records of a partition below its last stable offset, those that were trimmed included.
    pub fn committed(
        &self,
        topic: Topic,
        partition: PartitionId,
        from: Offset,
    ) -> impl Iterator<Item = CommittedRecord<'_>> {
        self.partition(topic, partition).into_iter().flat_map(move |log| log.committed(from))
    }

    /// Removes records below `first`, as retention does.
    pub fn trim(&mut self, topic: Topic, partition: PartitionId, first: Offset) {
        if let Some(log) = self.partition_mut(topic, partition) {
            log.trim(first);
        }
    }

    /// Gives back the memory of what lies below `end`, which nobody may read any more, checkers included.
    pub fn forget(&mut self, topic: Topic, partition: PartitionId, end: Offset) {
        if let Some(log) = self.partition_mut(topic, partition) {
            log.forget(end);
        }
    }

    /// Deletes the topic and makes it again, empty and with another id; its groups rebalance. Their offsets
    /// stay, as they do for real.
    pub fn recreate(&mut self, topic: Topic, partitions: u32) {
        let slot = &mut self.topics[topic as usize];
        let life = slot.as_ref().map_or(0, |log| log.life + 1);
        *slot = Some(TopicLog::new(life, partitions));
        for no in (0..self.groups.len()).filter(|no| self.groups[*no].input == topic).collect::<Vec<_>>() {
            self.with_group(GroupNo(no as u32), |group, effects| group.resize(partitions, effects));
        }
    }

    /// Opens a transaction that holds an offset and leaves it open, as a producer does that died.
    pub fn hold(
        &mut self,
        now_ms: u64,
        name: &str,
        group: GroupNo,
        offset: (PartitionId, Committed),
    ) -> Result<(), Refusal> {
        let session = self.init_producer(name)?;
        self.transactions.add(session, [Target::Offsets(group.0)].into_iter(), now_ms)?;
        self.effects.push(BrokerEffect::ScanNeeded);
        self.group_state_mut(group).hold(session.producer, &[offset]);
        Ok(())
    }

    /// How many markers were written: while there are no more, nothing that was produced in transactions has
    /// become visible, and no offset was committed.
    #[must_use]
    pub fn markers(&self) -> u64 {
        self.markers
    }

    /// Whether no transaction is open and all markers are written.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        !self.transactions.any_unsettled()
    }

    /// Takes what is to be done; swap the vector back to save an allocation.
    pub fn take_effects(&mut self, into: &mut Vec<BrokerEffect>) {
        into.append(&mut self.effects);
    }

    /// Carries out a request. What it takes out of `request` is gone only when the verdict is an answer.
    pub fn handle(&mut self, now_ms: u64, request: &mut Request) -> Verdict {
        let answer = match request {
            Request::InitProducer { name } => match self.init_producer(name) {
                Ok(session) => Answer::Producer(session),
                Err(_) => return Verdict::Again,
            },
            Request::Join { group, at, known, client_id } => {
                let (group, at, known) = (*group, *at, *known);
                let joined =
                    self.with_group(group, |state, effects| state.join(at, known, client_id, effects));
                Answer::Joined(joined)
            }
            Request::Leave { group, member } => {
                self.with_group(*group, |state, effects| state.leave(*member, effects));
                Answer::Done
            }
            Request::Describe { topic } => self.describe(*topic),
            Request::Offsets { group, partitions, stable } => {
                let state = self.group_state(*group);
                if *stable && state.is_unstable(partitions) {
                    return Verdict::Again;
                }
                let offset = |partition: &PartitionId| (*partition, state.offset(*partition).cloned());
                Answer::Offsets(partitions.iter().map(offset).collect())
            }
            Request::Bounds { topic, partitions } => self.bounds(*topic, partitions),
            Request::Members { group } => Answer::Members(self.group_state(*group).members()),
            Request::CommitOffsets { session, group, member, generation, offsets } => {
                return self.commit_offsets(now_ms, *session, (*group, *member, *generation), offsets);
            }
            Request::Produce { session, records } => return self.produce(now_ms, *session, records),
            Request::EndTransaction { session, commit } => match self.transactions.end(*session, *commit) {
                Ok(ending) => {
                    self.announce(ending);
                    Answer::Done
                }
                Err(Refusal::Concurrent) => {
                    Answer::Failed(Failure::Fatal("the transaction was ended the other way".into()))
                }
                Err(Refusal::Fenced) => fenced(),
            },
            Request::Append { topic, partition, value } => {
                let content = Content { value: Some(value.clone()), ..Content::default() };
                match self.append(now_ms, *topic, *partition, content) {
                    Some(_) => Answer::Done,
                    None => unknown_partition(*topic, *partition),
                }
            }
        };
        Verdict::Answer(answer)
    }

    /// Writes the marker of a transaction that was decided.
    pub fn write_marker(&mut self, now_ms: u64, producer: ProducerId, target: Target) {
        let Some(commit) = self.transactions.marker_written(producer, target) else { return };
        self.markers += 1;
        match target {
            Target::Offsets(group) => self.group_state_mut(GroupNo(group)).end_transaction(producer, commit),
            Target::Records(topic, partition) => {
                let (wall_ms, may_step_back) = (self.wall_ms(now_ms), self.may_step_back);
                if let Some(log) = self.partition_mut(topic, partition) {
                    let time_ms = append_time_ms(log, wall_ms, may_step_back);
                    log.end_transaction(producer, commit, time_ms);
                    self.effects.push(BrokerEffect::Readable(topic));
                }
            }
        }
    }

    /// Aborts transactions that are open for too long; whether any is still open.
    pub fn scan(&mut self, now_ms: u64) -> bool {
        for ending in self.transactions.abort_older(now_ms, self.transaction_limit_ms) {
            self.effects.push(BrokerEffect::Noted(Fault::TransactionTimedOut));
            self.announce(Some(ending));
        }
        self.transactions.any_open()
    }

    /// Changes a group and passes on what it wants done.
    pub fn with_group<T>(
        &mut self,
        group: GroupNo,
        change: impl FnOnce(&mut Group, &mut Vec<GroupEffect>) -> T,
    ) -> T {
        let result = change(&mut self.groups[group.0 as usize].state, &mut self.group_effects);
        let effects = self.group_effects.drain(..);
        self.effects.extend(effects.map(|effect| BrokerEffect::Group { group, effect }));
        result
    }

    fn init_producer(&mut self, name: &str) -> Result<ProducerSession, Refusal> {
        let mut endings = Vec::new();
        let session = self.transactions.init(name, &mut endings);
        endings.into_iter().for_each(|ending| self.announce(Some(ending)));
        session
    }

    fn commit_offsets(
        &mut self,
        now_ms: u64,
        session: ProducerSession,
        (group, member, generation): (GroupNo, MemberNo, i32),
        offsets: &[(PartitionId, Committed)],
    ) -> Verdict {
        if offsets.iter().any(|(_, offset)| offset.metadata.len() > OFFSET_METADATA_BYTES_MAX) {
            let reason = "Offset metadata string too large".to_owned();
            return Verdict::Answer(Answer::Failed(Failure::Abortable(reason)));
        }
        if let Some(verdict) = self.begin(session, [Target::Offsets(group.0)].into_iter(), now_ms) {
            return verdict;
        }
        let state = &mut self.groups[group.0 as usize].state;
        let reason = match state.commit_in_transaction(session.producer, member, generation, offsets) {
            Ok(()) => {
                let owned = state.owned(member);
                let foreign = offsets.iter().filter(|(partition, _)| !owned.contains(partition));
                let report = |(partition, _): &(PartitionId, Committed)| BrokerEffect::NotOwned {
                    group,
                    member,
                    partition: *partition,
                };
                self.effects.extend(foreign.map(report));
                return Verdict::Answer(Answer::Done);
            }
            Err(OffsetRefusal::UnknownMember) => "The coordinator is not aware of this member",
            Err(OffsetRefusal::StaleGeneration) => "Specified group generation id is not valid",
        };
        self.effects.push(BrokerEffect::Noted(Fault::StaleGeneration));
        Verdict::Answer(Answer::Failed(Failure::Abortable(reason.to_owned())))
    }

    fn produce(&mut self, now_ms: u64, session: ProducerSession, records: &mut Vec<OutRecord>) -> Verdict {
        let missing = records.iter().find(|record| self.partition(record.topic, record.partition).is_none());
        if let Some(record) = missing {
            return Verdict::Answer(unknown_partition(record.topic, record.partition));
        }
        if let Some(record) = records.iter().find(|record| record.size_bytes() > RECORD_BYTES_MAX) {
            let reason =
                format!("a record of {} bytes for {} is too large", record.size_bytes(), record.topic);
            return Verdict::Answer(Answer::Failed(Failure::Abortable(reason)));
        }
        let targets = records.iter().map(|record| Target::Records(record.topic, record.partition));
        let targets: Vec<_> = targets.collect();
        if let Some(verdict) = self.begin(session, targets.into_iter(), now_ms) {
            return verdict;
        }
        let (wall_ms, may_step_back) = (self.wall_ms(now_ms), self.may_step_back);
        for record in std::mem::take(records) {
            let OutRecord { topic, partition, key, value, headers } = record;
            if let Some(log) = self.partition_mut(topic, partition) {
                let time_ms = append_time_ms(log, wall_ms, may_step_back);
                log.append(Content { key, value, headers }, time_ms, Some(session.producer));
            }
        }
        Verdict::Answer(Answer::Done)
    }

    /// Adds places to the session's transaction; `Some` is why that was not possible.
    fn begin(
        &mut self,
        session: ProducerSession,
        targets: impl Iterator<Item = Target>,
        now_ms: u64,
    ) -> Option<Verdict> {
        match self.transactions.add(session, targets, now_ms) {
            Ok(()) => {
                self.effects.push(BrokerEffect::ScanNeeded);
                None
            }
            Err(Refusal::Concurrent) => Some(Verdict::Again),
            Err(Refusal::Fenced) => Some(Verdict::Answer(fenced())),
        }
    }

    fn announce(&mut self, ending: Option<Ending>) {
        let Some(Ending { producer, targets }) = ending else { return };
        let due = targets.into_iter().map(|target| BrokerEffect::MarkerDue { producer, target });
        self.effects.extend(due);
    }

    fn describe(&self, topic: Topic) -> Answer {
        match self.topic(topic) {
            Some(log) => Answer::Description(TopicDescription {
                topic_id: format!("{topic}-{:04}", log.life),
                partitions: log.partitions.len() as u32,
            }),
            None => Answer::Failed(Failure::Fatal(format!("there is no topic '{topic}'"))),
        }
    }

    fn bounds(&self, topic: Topic, partitions: &[PartitionId]) -> Answer {
        let mut bounds = Vec::with_capacity(partitions.len());
        for partition in partitions {
            match self.partition(topic, *partition) {
                Some(log) => bounds.push((*partition, log.bounds())),
                None => return unknown_partition(topic, *partition),
            }
        }
        Answer::Bounds(bounds)
    }

    fn topic(&self, topic: Topic) -> Option<&TopicLog> {
        self.topics[topic as usize].as_ref()
    }

    fn partition_mut(&mut self, topic: Topic, partition: PartitionId) -> Option<&mut PartitionLog> {
        self.topics[topic as usize].as_mut()?.partitions.get_mut(partition as usize)
    }
}

impl TopicLog {
    fn new(life: u32, partitions: u32) -> Self {
        Self { life, partitions: (0..partitions).map(|_| PartitionLog::default()).collect() }
    }
}

fn append_time_ms(log: &PartitionLog, wall_ms: i64, may_step_back: bool) -> i64 {
    if may_step_back { wall_ms } else { wall_ms.max(log.last_time_ms()) }
}

fn fenced() -> Answer {
    let reason = "a newer instance of this producer, or the broker, ended its session";
    Answer::Failed(Failure::Fenced(reason.to_owned()))
}

fn unknown_partition(topic: Topic, partition: PartitionId) -> Answer {
    Answer::Failed(Failure::Fatal(format!("there is no partition {partition} of topic '{topic}'")))
}

#[cfg(test)]
mod tests;
