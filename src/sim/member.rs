//! The client of one pod: what stands between an engine's commands and the broker's requests.
//!
//! It holds what a Kafka client holds - the producer's session, the group metadata of each assignment, the
//! positions of its fetches, the transaction under way - and no more. A transaction's steps are sent one
//! after the other, each when the answer to the former one has come, so that a pod can die between any two.

use std::collections::{BTreeMap, VecDeque};

use crate::{
    log::{
        AssignmentId, Chunk, FetchId, LogCommand, LogError, LogEvent, Offset, PartitionId, RequestId,
        TransactionOutcome,
    },
    sim::{
        Origin,
        log::{
            Answer, Failure, GroupNo, Notice, ProducerSession, Request, SimBroker, group::MemberNo,
            partition::ReadLimits,
        },
    },
    topology::Topic,
};

pub mod transaction;

use self::transaction::Running;

/// What a call's answer is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tag {
    Open,
    Join,
    Leave,
    Describe(RequestId),
    Offsets(RequestId),
    Bounds(RequestId),
    Members(RequestId),
    Fence(RequestId, String),
    Beacon(PartitionId),
    /// A step of the transaction with this number.
    Step(u64),
    /// The end of the transaction with this number.
    End(u64),
}

/// What a client wants done.
#[derive(Debug)]
pub enum Action {
    /// A request to the broker; without an answer within `limit_ms` it has timed out.
    Send {
        tag: Tag,
        request: Request,
        limit_ms: u64,
    },
    Emit(LogEvent),
    /// Call [`SimMember::poll_due`] with this number after a fetch's time.
    PollSoon {
        poll: u64,
    },
    /// The same, when its wait is over.
    PollAt {
        poll: u64,
        at_ms: u64,
    },
    /// The engine did what no engine may do.
    Broken(Breach),
}

/// A rule of the log's contract that an engine broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Breach {
    /// A producer whose state is unclear began a transaction.
    TaintedProducerUsed,
    /// A transaction was begun while another was under way.
    TransactionsOverlap,
    /// An offset was committed for a partition that the group did not give to the member.
    CommitNotOwned,
    /// A transaction's first step were not its offsets.
    OffsetsNotFirst,
    /// A name was fenced that the group had just listed among those of its members.
    LivingMemberFenced,
    /// After a pause longer than the session timeout a row was written before the group was heard of again.
    WrittenUnproved,
}

#[derive(Debug)]
pub struct SimMember {
    group: GroupNo,
    input: Topic,
    at: Origin,
    call_limit_ms: u64,
    name: String,
    session: Option<ProducerSession>,
    tainted: bool,
    membership: Membership,
    /// The group metadata captured with each assignment, the newest last.
    captured: VecDeque<(AssignmentId, MemberNo, i32)>,
    owned: Vec<PartitionId>,
    revoking: bool,
    fetches: BTreeMap<PartitionId, Fetching>,
    /// Where fetches stood that were stopped: what they had read already may still arrive.
    stopped: BTreeMap<PartitionId, (FetchId, Offset)>,
    polls: VecDeque<PendingPoll>,
    polls_ever: u64,
    running: Option<Running>,
    transactions_ever: u64,
    /// The names of the group's members, as they were listed last.
    listed: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Membership {
    None,
    Joining,
    Member(MemberNo),
}

#[derive(Debug)]
struct Fetching {
    fetch: FetchId,
    position: Offset,
    headers: bool,
    out_of_range: bool,
    /// A chunk of an older fetch that is still to arrive: its fetch and position.
    stale: Option<(FetchId, Offset)>,
}

#[derive(Debug)]
struct PendingPoll {
    poll: u64,
    limits: ReadLimits,
    until_ms: u64,
    /// A call of `poll_due` is on its way.
    called: bool,
}

/// How many assignments' metadata a client remembers: an engine uses the last, tests older ones.
const CAPTURED_MAX: usize = 8;
/// Records of a chunk that arrives too late.
const STALE_RECORDS_MAX: usize = 100;

impl SimMember {
    /// A client that has done nothing yet. Calls without a limit of their own time out after `call_limit_ms`.
    #[must_use]
    pub fn new(group: GroupNo, input: Topic, at: Origin, call_limit_ms: u64) -> Self {
        Self {
            group,
            input,
            at,
            call_limit_ms,
            name: String::new(),
            session: None,
            tainted: false,
            membership: Membership::None,
            captured: VecDeque::new(),
            owned: Vec::new(),
            revoking: false,
            fetches: BTreeMap::new(),
            stopped: BTreeMap::new(),
            polls: VecDeque::new(),
            polls_ever: 0,
            running: None,
            transactions_ever: 0,
            listed: Vec::new(),
        }
    }

    /// Takes a command at `now_ms`.
    pub fn submit(&mut self, now_ms: u64, command: LogCommand, actions: &mut Vec<Action>) {
        match command {
            LogCommand::OpenProducer { name } => self.open_producer(name, actions),
            LogCommand::Join => self.join(None, actions),
            LogCommand::Leave => self.leave(actions),
            LogCommand::Release => self.release(actions),
            LogCommand::Describe { request } => {
                let topic = self.input;
                self.send(Tag::Describe(request), Request::Describe { topic }, actions);
            }
            LogCommand::ReadOffsets { request, partitions, stable, limit_ms } => {
                let limit_ms = if stable { limit_ms } else { self.call_limit_ms.min(limit_ms.max(1)) };
                let request_sent = Request::Offsets { group: self.group, partitions, stable };
                actions.push(Action::Send { tag: Tag::Offsets(request), request: request_sent, limit_ms });
            }
            LogCommand::ReadBounds { request, partitions } => {
                let topic = self.input;
                self.send(Tag::Bounds(request), Request::Bounds { topic, partitions }, actions);
            }
            LogCommand::ListMembers { request } => {
                let group = self.group;
                self.send(Tag::Members(request), Request::Members { group }, actions);
            }
            LogCommand::FenceName { request, name } => {
                if self.listed.contains(&name) {
                    actions.push(Action::Broken(Breach::LivingMemberFenced));
                }
                self.send(Tag::Fence(request, name.clone()), Request::InitProducer { name }, actions);
            }
            LogCommand::Fetch { partition, from, fetch, headers } => {
                self.fetch(partition, from, fetch, headers)
            }
            LogCommand::StopFetch { partition } => {
                if let Some(fetching) = self.fetches.remove(&partition) {
                    self.stopped.insert(partition, (fetching.fetch, fetching.position));
                }
            }
            LogCommand::Poll { records_max, bytes_max, wait_ms } => {
                self.polls_ever += 1;
                let (poll, limits) = (self.polls_ever, ReadLimits { records_max, bytes_max });
                let until_ms = now_ms + wait_ms;
                self.polls.push_back(PendingPoll { poll, limits, until_ms, called: true });
                actions.push(Action::PollSoon { poll });
            }
            LogCommand::Transact(transaction) => self.transact(transaction, actions),
            LogCommand::Beacon { partition, value } => {
                let request = Request::Append { topic: self.input, partition, value };
                self.send(Tag::Beacon(partition), request, actions);
            }
        }
    }

    /// Takes the answer to a call.
    pub fn answered(&mut self, tag: Tag, answer: Answer, actions: &mut Vec<Action>) {
        let event = match (tag, answer) {
            (Tag::Step(number) | Tag::End(number), answer) => {
                return self.transaction_answered(number, answer, actions);
            }
            (Tag::Open, answer) => return self.producer_opened(answer, actions),
            // What follows is told by the group's notices.
            (Tag::Join, Answer::Joined(_) | Answer::Done) => return,
            (Tag::Join, other) => LogEvent::Failed { error: error(other) },
            (Tag::Leave, _) => LogEvent::Left,
            (Tag::Describe(request), Answer::Description(description)) => {
                LogEvent::Described { request, result: Ok(description) }
            }
            (Tag::Describe(request), other) => LogEvent::Described { request, result: Err(error(other)) },
            (Tag::Offsets(request), Answer::Offsets(offsets)) => {
                LogEvent::OffsetsRead { request, result: Ok(offsets) }
            }
            (Tag::Offsets(request), other) => LogEvent::OffsetsRead { request, result: Err(error(other)) },
            (Tag::Bounds(request), Answer::Bounds(bounds)) => {
                LogEvent::BoundsRead { request, result: Ok(bounds) }
            }
            (Tag::Bounds(request), other) => LogEvent::BoundsRead { request, result: Err(error(other)) },
            (Tag::Members(request), Answer::Members(members)) => {
                self.listed = members.iter().map(|member| member.client_id.clone()).collect();
                LogEvent::MembersListed { request, result: Ok(members) }
            }
            (Tag::Members(request), other) => LogEvent::MembersListed { request, result: Err(error(other)) },
            (Tag::Fence(request, name), Answer::Producer(_)) => {
                LogEvent::NameFenced { request, name, result: Ok(()) }
            }
            (Tag::Fence(request, name), other) => {
                LogEvent::NameFenced { request, name, result: Err(error(other)) }
            }
            (Tag::Beacon(partition), Answer::Done) => LogEvent::BeaconAppended { partition, result: Ok(()) },
            (Tag::Beacon(partition), other) => {
                LogEvent::BeaconAppended { partition, result: Err(error(other)) }
            }
        };
        actions.push(Action::Emit(event));
    }

    /// Takes what the group says; `assignment` is a number that was never used.
    pub fn notified(&mut self, notice: Notice, assignment: AssignmentId, actions: &mut Vec<Action>) {
        match notice {
            Notice::Rebalancing if self.owned.is_empty() => self.rejoin(actions),
            Notice::Rebalancing => {
                self.revoking = true;
                actions.push(Action::Emit(LogEvent::Revoking { partitions: self.owned.clone() }));
            }
            Notice::Assigned { member, .. } if self.membership == Membership::None => {
                // Left before the join was answered: nobody shall wait for this member.
                self.send(Tag::Join, Request::Leave { group: self.group, member }, actions);
            }
            Notice::Assigned { member, id, generation, partitions } => {
                self.membership = Membership::Member(member);
                self.captured.push_back((assignment, member, generation));
                if self.captured.len() > CAPTURED_MAX {
                    self.captured.pop_front();
                }
                self.fetches.clear();
                self.owned.clone_from(&partitions);
                actions.push(Action::Emit(LogEvent::Assigned { assignment, member: id, partitions }));
            }
            Notice::Expired { member } => match self.membership {
                Membership::Member(current) if current != member => {}
                Membership::None => {}
                Membership::Member(_) | Membership::Joining => {
                    self.revoking = false;
                    self.fetches.clear();
                    let partitions = std::mem::take(&mut self.owned);
                    if !partitions.is_empty() {
                        actions.push(Action::Emit(LogEvent::Lost { partitions }));
                    }
                    self.join(None, actions);
                }
            },
        }
    }

    /// Answers a poll if there is something to read, or its wait is over; otherwise it waits on. While the
    /// broker is `away` nothing is read.
    pub fn poll_due(
        &mut self,
        now_ms: u64,
        poll: u64,
        broker: Option<&SimBroker>,
        actions: &mut Vec<Action>,
    ) {
        let Some(index) = self.polls.iter().position(|pending| pending.poll == poll) else { return };
        self.polls[index].called = false;
        let limits = self.polls[index].limits;
        let chunks = broker.map_or_else(Vec::new, |broker| self.gather(broker, limits, actions));
        let until_ms = self.polls[index].until_ms;
        if chunks.is_empty() && now_ms < until_ms {
            actions.push(Action::PollAt { poll, at_ms: until_ms });
            return;
        }
        self.polls.remove(index);
        actions.push(Action::Emit(LogEvent::Polled { chunks }));
    }

    /// There may be something to read on the input: polls that wait look again soon.
    pub fn readable(&mut self, topic: Topic, actions: &mut Vec<Action>) {
        if topic != self.input {
            return;
        }
        for pending in self.polls.iter_mut().filter(|pending| !pending.called) {
            pending.called = true;
            actions.push(Action::PollSoon { poll: pending.poll });
        }
    }

    /// The chunk that a seek leaves behind in the client arrives with the next poll.
    pub fn leave_stale_chunk(&mut self, partition: PartitionId, fetch: FetchId, position: Offset) {
        if let Some(fetching) = self.fetches.get_mut(&partition) {
            fetching.stale = Some((fetch, position));
        }
    }

    /// Whether it reads anything.
    #[must_use]
    pub fn is_reading(&self) -> bool {
        !self.fetches.is_empty()
    }

    /// The position of the first partition that is read is refused, though it is there.
    pub fn refuse_position(&mut self, actions: &mut Vec<Action>) {
        if let Some((partition, fetching)) = self.fetches.first_key_value() {
            let (partition, fetch) = (*partition, fetching.fetch);
            actions.push(Action::Emit(LogEvent::OutOfRange { partition, fetch }));
        }
    }

    /// Fetch and position of a partition that is being read, or was.
    #[must_use]
    pub fn position(&self, partition: PartitionId) -> Option<(FetchId, Offset)> {
        let present = self.fetches.get(&partition).map(|fetching| (fetching.fetch, fetching.position));
        present.or_else(|| self.stopped.get(&partition).copied())
    }

    /// This member's number in its group, once it has one.
    #[must_use]
    pub fn member(&self) -> Option<MemberNo> {
        match self.membership {
            Membership::Member(member) => Some(member),
            Membership::None | Membership::Joining => None,
        }
    }

    #[must_use]
    pub fn group(&self) -> GroupNo {
        self.group
    }

    /// The name of its producer.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn send(&self, tag: Tag, request: Request, actions: &mut Vec<Action>) {
        actions.push(Action::Send { tag, request, limit_ms: self.call_limit_ms });
    }

    fn open_producer(&mut self, name: String, actions: &mut Vec<Action>) {
        self.session = None;
        if let Some(running) = self.running.take() {
            let reason = "the producer was closed while the transaction was under way".to_owned();
            Self::end_transaction(running.id, TransactionOutcome::Unclear { reason }, actions);
        }
        self.name.clone_from(&name);
        self.send(Tag::Open, Request::InitProducer { name }, actions);
    }

    fn producer_opened(&mut self, answer: Answer, actions: &mut Vec<Action>) {
        let event = match answer {
            Answer::Producer(session) => {
                self.session = Some(session);
                self.tainted = false;
                LogEvent::ProducerOpened
            }
            other => LogEvent::ProducerFailed { error: error(other) },
        };
        actions.push(Action::Emit(event));
    }

    fn join(&mut self, known: Option<MemberNo>, actions: &mut Vec<Action>) {
        if known.is_none() {
            self.membership = Membership::Joining;
        }
        let client_id = self.name.clone();
        let request = Request::Join { group: self.group, at: self.at, known, client_id };
        self.send(Tag::Join, request, actions);
    }

    fn rejoin(&mut self, actions: &mut Vec<Action>) {
        if let Membership::Member(member) = self.membership {
            self.join(Some(member), actions);
        }
    }

    fn release(&mut self, actions: &mut Vec<Action>) {
        if !std::mem::take(&mut self.revoking) {
            return;
        }
        self.owned.clear();
        self.fetches.clear();
        self.rejoin(actions);
    }

    fn leave(&mut self, actions: &mut Vec<Action>) {
        let left = std::mem::replace(&mut self.membership, Membership::None);
        self.owned.clear();
        self.fetches.clear();
        self.polls.clear();
        self.running = None;
        self.session = None;
        match left {
            Membership::Member(member) => {
                self.send(Tag::Leave, Request::Leave { group: self.group, member }, actions);
            }
            Membership::None | Membership::Joining => actions.push(Action::Emit(LogEvent::Left)),
        }
    }

    fn fetch(&mut self, partition: PartitionId, from: Offset, fetch: FetchId, headers: bool) {
        // A partition that was lost in the meantime is not read; the event that says so is on its way.
        if self.owned.contains(&partition) {
            let fetching = Fetching { fetch, position: from, headers, out_of_range: false, stale: None };
            self.fetches.insert(partition, fetching);
        }
    }

    fn gather(&mut self, broker: &SimBroker, limits: ReadLimits, actions: &mut Vec<Action>) -> Vec<Chunk> {
        let mut chunks = Vec::new();
        let (mut records, mut bytes) = (0, 0);
        for (partition, fetching) in &mut self.fetches {
            let Some(log) = broker.partition(self.input, *partition) else { continue };
            if let Some((fetch, position)) = fetching.stale.take() {
                let limits = ReadLimits { records_max: STALE_RECORDS_MAX, bytes_max: limits.bytes_max };
                let mut chunk = Chunk::new(*partition, fetch);
                log.read(position, limits, &mut chunk);
                chunks.extend((!chunk.is_empty()).then_some(chunk));
            }
            let bounds = log.bounds();
            if fetching.position < bounds.first || fetching.position > bounds.end {
                if !std::mem::replace(&mut fetching.out_of_range, true) {
                    let (partition, fetch) = (*partition, fetching.fetch);
                    actions.push(Action::Emit(LogEvent::OutOfRange { partition, fetch }));
                }
                continue;
            }
            if records >= limits.records_max || bytes >= limits.bytes_max {
                break;
            }
            if !log.has_stable(fetching.position) {
                continue;
            }
            let mut chunk = Chunk::new(*partition, fetching.fetch).keeping_headers(fetching.headers);
            let left =
                ReadLimits { records_max: limits.records_max - records, bytes_max: limits.bytes_max - bytes };
            fetching.position = log.read(fetching.position, left, &mut chunk);
            records += chunk.len();
            bytes += chunk.size_bytes();
            chunks.extend((!chunk.is_empty()).then_some(chunk));
        }
        chunks
    }
}

fn error(answer: Answer) -> LogError {
    match answer {
        Answer::Failed(Failure::TimedOut) => LogError::retriable("the broker did not answer in time"),
        Answer::Failed(Failure::Retriable(message) | Failure::Abortable(message)) => {
            LogError::retriable(message)
        }
        Answer::Failed(Failure::Fenced(message) | Failure::Fatal(message)) => LogError::fatal(message),
        other => LogError::fatal(format!("the broker answered another question: {other:?}")),
    }
}
