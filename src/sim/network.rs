//! Between engines and servers: delays, faults, lives of pods. The contract is in [`crate::sim`].

use std::{collections::VecDeque, ops::RangeInclusive};

use fastrand::Rng;

use super::{
    Fault, Faults, Keep, Origin, PodId, SimBroker, SimMember, SimStore, Transcript,
    coverage::calls::CallKind,
    fault::Occasion,
    log::{
        BrokerEffect, GroupNo, Notice, Request,
        group::{GroupEffect, MemberNo},
        partition::Content,
    },
    member::{Action, Breach},
    schedule::Schedule,
    step::{Doing, Steps},
};
use crate::{
    log::{AssignmentId, LogCommand, LogError, LogEvent, Offset, PartitionId, TransactionOutcome},
    store::StoreEvent,
    topology::{Topic, Topology},
};

mod call;
mod describe;
mod event;
mod lives;
mod storage;

use self::{describe::Described, event::Event};

/// How long things take, in milliseconds; ranges are drawn from, evenly.
#[derive(Debug, Clone)]
pub struct Settings {
    /// One way between a pod and the broker.
    pub broker_ms: RangeInclusive<u64>,
    /// From a record being readable to a waiting poll's answer.
    pub fetch_ms: RangeInclusive<u64>,
    /// From a transaction's end to each of its markers.
    pub marker_ms: RangeInclusive<u64>,
    /// One way between a pod and the store.
    pub store_ms: RangeInclusive<u64>,
    pub heartbeat_ms: u64,
    pub session_ms: u64,
    pub rebalance_ms: u64,
    pub transaction_ms: u64,
    /// Between the broker's looks for transactions that are open for too long.
    pub scan_ms: u64,
    /// After which a caller of the broker gives up.
    pub call_ms: u64,
    /// After which a caller of the store gives up.
    pub store_call_ms: u64,
    pub keep: Keep,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            broker_ms: 1..=8,
            fetch_ms: 1..=10,
            marker_ms: 0..=15,
            store_ms: 1..=8,
            heartbeat_ms: 2_000,
            session_ms: 10_000,
            rebalance_ms: 12_000,
            transaction_ms: 8_000,
            scan_ms: 10_000,
            call_ms: 5_000,
            store_call_ms: 5_000,
            keep: Keep::Digest,
        }
    }
}

/// Something for an engine.
#[derive(Debug)]
pub struct Delivery {
    pub pod: PodId,
    pub incarnation: u32,
    pub event: PodEvent,
}

#[derive(Debug)]
pub enum PodEvent {
    Log(LogEvent),
    Store(StoreEvent),
    /// The time that [`Network::timer`] named has come.
    Timer,
}

#[derive(Debug)]
pub struct Network {
    settings: Settings,
    schedule: Schedule<Event>,
    random: Rng,
    faults: Faults,
    broker: SimBroker,
    store: SimStore,
    pods: Vec<Pod>,
    ready: VecDeque<Delivery>,
    assignments_ever: AssignmentId,
    down_until_ms: u64,
    store_stalled_until_ms: u64,
    scan_armed: bool,
    breaches: Vec<(PodId, Breach)>,
    /// Whose request the broker carries out.
    caller: Option<Origin>,
    transcript: Transcript,
    steps: u64,
    /// Reused between events.
    actions: Vec<Action>,
    effects: Vec<BrokerEffect>,
}

#[derive(Debug)]
struct Pod {
    member: SimMember,
    group: GroupNo,
    input: Topic,
    incarnation: u32,
    life: Life,
    /// Its member as the group last took it in; the client learns of that later.
    joined: Option<MemberNo>,
    timer_ms: Option<u64>,
    /// What its group has to tell it, in that order, also where a pause comes between.
    news: VecDeque<Notice>,
    /// When it hears the last of them.
    told_until_ms: u64,
    /// What a paused pod will see when it goes on.
    held: Vec<Event>,
    /// When it was paused, and whether it has gone on after more than the session timeout and heard nothing
    /// of
    /// its group since.
    paused_ms: u64,
    unproved: bool,
    doing: Doing,
    /// Of how many more writes the store applies some and answers none.
    partly: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Down,
    Running,
    Paused,
}

impl Network {
    /// A deployment with the topology's topics, all empty, and no pods.
    #[must_use]
    pub fn new(seed: u64, topology: &Topology, settings: Settings) -> Self {
        Self {
            schedule: Schedule::default(),
            random: Rng::with_seed(seed),
            faults: Faults::new(seed),
            broker: SimBroker::new(topology, settings.transaction_ms),
            store: SimStore::default(),
            pods: Vec::new(),
            ready: VecDeque::new(),
            assignments_ever: 0,
            down_until_ms: 0,
            store_stalled_until_ms: 0,
            scan_armed: false,
            breaches: Vec::new(),
            caller: None,
            transcript: Transcript::new(settings.keep),
            steps: 0,
            actions: Vec::new(),
            effects: Vec::new(),
            settings,
        }
    }

    /// Milliseconds since the run began.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.schedule.now_ms()
    }

    /// Events that happened so far, deliveries included.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    #[must_use]
    pub fn broker(&self) -> &SimBroker {
        &self.broker
    }

    #[must_use]
    pub fn store(&self) -> &SimStore {
        &self.store
    }

    /// The store, to prepare or to spoil its contents.
    pub fn store_mut(&mut self) -> &mut SimStore {
        &mut self.store
    }

    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// What is to go wrong.
    pub fn faults_mut(&mut self) -> &mut Faults {
        &mut self.faults
    }

    /// From now on, one way between a pod and the store takes so long.
    pub fn set_store_ms(&mut self, store_ms: RangeInclusive<u64>) {
        self.settings.store_ms = store_ms;
    }

    /// What engines did against the contract, in order.
    #[must_use]
    pub fn breaches(&self) -> &[(PodId, Breach)] {
        &self.breaches
    }

    #[must_use]
    pub fn transcript(&self) -> &Transcript {
        &self.transcript
    }

    /// For lines of the world's own.
    pub fn transcript_mut(&mut self) -> &mut Transcript {
        &mut self.transcript
    }

    /// The number of a group, for the broker's methods.
    pub fn group(&mut self, name: &str, input: Topic) -> GroupNo {
        self.broker.group(name, input)
    }

    /// Changes the broker as an operator or a server's fault does: trimming, moving offsets, making topics
    /// again. What follows from it happens.
    pub fn with_broker<T>(&mut self, change: impl FnOnce(&mut SimBroker, u64) -> T) -> T {
        let result = change(&mut self.broker, self.schedule.now_ms());
        self.carry_out_effects();
        result
    }

    /// A client's record; `None` while the broker is down or where there is no such partition.
    pub fn append(&mut self, topic: Topic, partition: PartitionId, content: Content) -> Option<Offset> {
        if self.is_down() {
            return None;
        }
        let now_ms = self.now_ms();
        let offset = self.broker.append(now_ms, topic, partition, content)?;
        self.transcript.line(format_args!("{now_ms} append {topic}/{partition} at {offset}"));
        self.carry_out_effects();
        Some(offset)
    }

    /// How far the pod's engine is in its protocol.
    #[must_use]
    pub fn at_steps(&self, pod: PodId) -> Steps {
        self.pods[pod.0 as usize].doing.steps()
    }

    /// The name of the pod's producer.
    #[must_use]
    pub fn producer_name(&self, pod: PodId) -> &str {
        self.pods[pod.0 as usize].member.name()
    }

    /// Lets the pod's timer fire at `at_ms`, or now if that is past; replaces what was set before.
    pub fn timer(&mut self, pod: PodId, at_ms: u64) {
        let to = self.origin(pod);
        let state = &mut self.pods[pod.0 as usize];
        if state.life == Life::Down || state.timer_ms == Some(at_ms) {
            return;
        }
        state.timer_ms = Some(at_ms);
        self.schedule.at(at_ms, Event::Timer { to, at_ms });
    }

    /// Takes a command of the pod's engine for its log.
    pub fn submit_log(&mut self, pod: PodId, command: LogCommand) {
        if self.pods[pod.0 as usize].life != Life::Running {
            return;
        }
        let now_ms = self.now_ms();
        self.transcript.line(format_args!("{now_ms} pod-{} > {}", pod.0, Described(&command)));
        self.pods[pod.0 as usize].doing.log_command(&command);
        self.prepare_faults(pod, &command);
        let stale = self.stale_of(pod, &command);
        let mut actions = std::mem::take(&mut self.actions);
        let member = &mut self.pods[pod.0 as usize].member;
        member.submit(now_ms, command, &mut actions);
        if let Some((partition, fetch, position)) = stale {
            member.leave_stale_chunk(partition, fetch, position);
        }
        self.carry_out(pod, actions);
    }

    /// The next delivery; `None` when nothing will ever happen again unless something is submitted.
    pub fn next_event(&mut self) -> Option<(u64, Delivery)> {
        self.deliver_until(u64::MAX)
    }

    /// The next delivery at `limit_ms` or before. Without one the clock then stands at `limit_ms`.
    pub fn next_event_until(&mut self, limit_ms: u64) -> Option<(u64, Delivery)> {
        let delivery = self.deliver_until(limit_ms);
        if delivery.is_none() {
            self.schedule.pass_until(limit_ms);
        }
        delivery
    }

    fn deliver_until(&mut self, limit_ms: u64) -> Option<(u64, Delivery)> {
        loop {
            while let Some(delivery) = self.ready.pop_front() {
                let now_ms = self.now_ms();
                let pod = &mut self.pods[delivery.pod.0 as usize];
                if pod.incarnation != delivery.incarnation {
                    continue;
                }
                // The world may stop a pod between two deliveries of one instant.
                match pod.life {
                    Life::Down => {}
                    Life::Paused => pod.held.push(Event::Deliver(delivery)),
                    Life::Running => {
                        let number = delivery.pod.0;
                        pod.unproved &= !is_proof(&delivery.event);
                        match &delivery.event {
                            PodEvent::Log(event) => pod.doing.log_event(event),
                            PodEvent::Store(event) => pod.doing.store_event(event),
                            PodEvent::Timer => {}
                        }
                        let event = Described(&delivery.event);
                        self.transcript.line(format_args!("{now_ms} pod-{number} < {event}"));
                        return Some((now_ms, delivery));
                    }
                }
            }
            let event = self.schedule.next_until(limit_ms)?;
            self.steps += 1;
            self.happen(event);
        }
    }

    fn happen(&mut self, event: Event) {
        let now_ms = self.now_ms();
        if let Some(to) = event.recipient() {
            let pod = &mut self.pods[to.pod.0 as usize];
            if pod.incarnation != to.incarnation || pod.life == Life::Down {
                return;
            }
            if pod.life == Life::Paused {
                pod.held.push(event);
                return;
            }
        } else if self.is_down() && event.waits_for_broker() {
            let at_ms = self.down_until_ms + self.random.u64(0..=self.settings.heartbeat_ms);
            self.schedule.at(at_ms, event);
            return;
        }
        match event {
            Event::Arrive(call) => self.arrive(call),
            Event::Answer { to, tag, answer } => self.with_member(to.pod, |member, actions| {
                member.answered(tag, answer, actions);
            }),
            Event::Notice { to } => {
                let Some(notice) = self.pods[to.pod.0 as usize].news.pop_front() else { return };
                self.assignments_ever += 1;
                let assignment = self.assignments_ever;
                self.with_member(to.pod, |member, actions| member.notified(notice, assignment, actions));
            }
            Event::Poll { to, poll } => self.poll_due(to.pod, poll),
            Event::Timer { to, at_ms } => {
                let pod = &mut self.pods[to.pod.0 as usize];
                if pod.timer_ms == Some(at_ms) {
                    pod.timer_ms = None;
                    self.deliver(to, PodEvent::Timer);
                }
            }
            Event::Deliver(delivery) => self.ready.push_back(delivery),
            Event::StoreArrive(call) => self.store_arrive(call),
            Event::StoreAnswer { to, event } => self.deliver(to, PodEvent::Store(event)),
            Event::Marker { producer, target } => {
                self.transcript.line(format_args!("{now_ms} marker {} {target:?}", producer.0));
                self.broker.write_marker(now_ms, producer, target);
                self.carry_out_effects();
            }
            Event::Scan => {
                self.scan_armed = self.broker.scan(now_ms);
                if self.scan_armed {
                    self.schedule.at(now_ms + self.settings.scan_ms, Event::Scan);
                }
                self.carry_out_effects();
            }
            Event::Unheard { group, member } => self.expire(group, member),
            Event::Silence { group, member, silence } => self.silence_over(group, member, silence),
            Event::RebalanceEnd { group, rebalance } => {
                let change = |state: &mut super::log::group::Group, effects: &mut Vec<GroupEffect>| {
                    state.rebalance_due(rebalance, effects)
                };
                for _ in 0..self.broker.with_group(group, change) {
                    self.befall(Fault::RebalanceTimedOut, |pod| pod.group == group);
                }
                self.carry_out_effects();
            }
        }
    }

    fn poll_due(&mut self, pod: PodId, poll: u64) {
        let (now_ms, down) = (self.now_ms(), self.is_down());
        let mut actions = std::mem::take(&mut self.actions);
        let broker = (!down).then_some(&self.broker);
        self.pods[pod.0 as usize].member.poll_due(now_ms, poll, broker, &mut actions);
        for action in &mut actions {
            if let Action::Emit(LogEvent::Polled { chunks }) = action
                && let Some(chunk) = chunks.first().cloned()
                && self.strikes(pod, Fault::ChunkTwice)
            {
                self.faults.met_call(Fault::AnswerTwice, CallKind::Poll);
                chunks.push(chunk);
            }
        }
        let reads = !down && self.pods[pod.0 as usize].member.is_reading();
        if reads && self.strikes(pod, Fault::RangeRefused) {
            self.pods[pod.0 as usize].member.refuse_position(&mut actions);
        }
        if reads && self.strikes_call(pod, Fault::UnknownError, CallKind::Poll) {
            let error = LogError::fatal("the broker answered a fetch with an error that nobody knows");
            actions.push(Action::Emit(LogEvent::Failed { error }));
        }
        self.carry_out(pod, actions);
    }

    fn deliver(&mut self, to: Origin, event: PodEvent) {
        self.ready.push_back(Delivery { pod: to.pod, incarnation: to.incarnation, event });
    }

    /// An event of a member's client; of a transaction's end its engine may be told twice.
    fn emit(&mut self, to: Origin, event: LogEvent) {
        let end = match &event {
            LogEvent::TransactionEnded { outcome: TransactionOutcome::Aborted { .. }, .. } => {
                Some(CallKind::Abort)
            }
            LogEvent::TransactionEnded { .. } => Some(CallKind::Commit),
            _ => None,
        };
        if let Some(call) = end
            && self.strikes_call(to.pod, Fault::AnswerTwice, call)
        {
            let event = PodEvent::Log(event.clone());
            let again = Delivery { pod: to.pod, incarnation: to.incarnation, event };
            let at_ms = self.after(&(0..=self.settings.call_ms));
            self.schedule.at(at_ms, Event::Deliver(again));
        }
        self.deliver(to, PodEvent::Log(event));
    }

    fn with_member(&mut self, pod: PodId, change: impl FnOnce(&mut SimMember, &mut Vec<Action>)) {
        let mut actions = std::mem::take(&mut self.actions);
        change(&mut self.pods[pod.0 as usize].member, &mut actions);
        self.carry_out(pod, actions);
    }

    fn carry_out(&mut self, pod: PodId, mut actions: Vec<Action>) {
        let to = self.origin(pod);
        for action in actions.drain(..) {
            match action {
                Action::Send { tag, request, limit_ms } => {
                    self.pods[pod.0 as usize].doing.transaction_goes_on(&request);
                    self.send(to, tag, request, limit_ms);
                }
                Action::Emit(event) => self.emit(to, event),
                Action::PollSoon { poll } => {
                    let at_ms = self.after(&self.settings.fetch_ms.clone());
                    self.schedule.at(at_ms, Event::Poll { to, poll });
                }
                Action::PollAt { poll, at_ms } => self.schedule.at(at_ms, Event::Poll { to, poll }),
                Action::Broken(breach) => self.breaches.push((pod, breach)),
            }
        }
        self.actions = actions;
    }

    fn carry_out_effects(&mut self) {
        let mut effects = std::mem::take(&mut self.effects);
        self.broker.take_effects(&mut effects);
        let now_ms = self.now_ms();
        for effect in effects.drain(..) {
            match effect {
                BrokerEffect::MarkerDue { producer, target } => {
                    let at_ms = self.after(&self.settings.marker_ms.clone());
                    self.schedule.at(at_ms, Event::Marker { producer, target });
                }
                BrokerEffect::ScanNeeded if self.scan_armed => {}
                BrokerEffect::ScanNeeded => {
                    self.scan_armed = true;
                    let at_ms = now_ms + self.random.u64(0..=self.settings.scan_ms);
                    self.schedule.at(at_ms, Event::Scan);
                }
                BrokerEffect::Group { effect: GroupEffect::Notify { to, notice }, .. } => {
                    self.notify(to, notice);
                }
                BrokerEffect::Group { group, effect: GroupEffect::RebalanceTimer { rebalance } } => {
                    let at_ms = now_ms + self.settings.rebalance_ms;
                    self.schedule.at(at_ms, Event::RebalanceEnd { group, rebalance });
                }
                BrokerEffect::Readable(topic) => self.wake_polls(topic),
                BrokerEffect::Noted(fault) => match self.caller {
                    // A request may outlive its sender.
                    Some(caller) if caller != self.origin(caller.pod) => self.faults.note(fault),
                    Some(caller) => self.befall_one(fault, caller.pod),
                    None => self.befall(fault, |pod| pod.doing.steps().in_transaction()),
                },
                BrokerEffect::NotOwned { group, member, .. } => {
                    let owner = self
                        .pods
                        .iter()
                        .position(|pod| pod.group == group && pod.member.member() == Some(member));
                    let pod = PodId(owner.unwrap_or(self.pods.len()) as u32);
                    self.breaches.push((pod, Breach::CommitNotOwned));
                }
            }
        }
        self.effects = effects;
    }

    fn wake_polls(&mut self, topic: Topic) {
        for no in 0..self.pods.len() {
            if self.pods[no].input == topic && self.pods[no].life != Life::Down {
                self.with_member(PodId(no as u32), |member, actions| member.readable(topic, actions));
            }
        }
    }

    fn origin(&self, pod: PodId) -> Origin {
        Origin { pod, incarnation: self.pods[pod.0 as usize].incarnation }
    }

    fn strikes(&mut self, pod: PodId, fault: Fault) -> bool {
        self.strikes_at(pod, fault, None)
    }

    /// The same for a call, or for its answer.
    fn strikes_call(&mut self, pod: PodId, fault: Fault, call: CallKind) -> bool {
        let strikes = self.strikes_at(pod, fault, Some(call));
        if strikes {
            self.faults.met_call(fault, call);
        }
        strikes
    }

    fn strikes_at(&mut self, pod: PodId, fault: Fault, call: Option<CallKind>) -> bool {
        let doing = &self.pods[pod.0 as usize].doing;
        let occasion = Occasion { at_ms: self.schedule.now_ms(), pod, fault, call };
        let strikes = self.faults.strikes(occasion, || doing.steps());
        if strikes {
            self.faults.met(fault, doing.steps());
        }
        strikes
    }

    fn is_down(&self) -> bool {
        self.now_ms() < self.down_until_ms
    }

    /// A moment as far ahead as a draw from `range` says.
    fn after(&mut self, range: &RangeInclusive<u64>) -> u64 {
        self.schedule.now_ms() + self.random.u64(range.clone())
    }
}

/// Whether it tells a member that its group knows it, or where it begins anew.
fn is_proof(event: &PodEvent) -> bool {
    matches!(
        event,
        PodEvent::Log(
            LogEvent::Assigned { .. }
                | LogEvent::OffsetsRead { .. }
                | LogEvent::TransactionEnded { outcome: TransactionOutcome::Committed, .. }
        )
    )
}

#[cfg(test)]
mod tests;
