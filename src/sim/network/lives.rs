//! Lives of pods, and what a world does to them and to the servers.

use std::collections::VecDeque;

use super::{Event, Life, Network, Pod};
use crate::{
    log::{Committed, PartitionId},
    sim::{
        Fault, Origin, PodId, SimMember,
        log::{Answer, GroupNo, Verdict, group::MemberNo},
        step::Doing,
    },
    topology::Topic,
};

impl Network {
    /// A place for a pod of this consumer group, not yet started.
    pub fn add_pod(&mut self, group: &str, input: Topic) -> PodId {
        let pod = PodId(self.pods.len() as u32);
        let group = self.broker.group(group, input);
        let at = Origin { pod, incarnation: 0 };
        self.pods.push(Pod {
            member: SimMember::new(group, input, at, self.settings.call_ms),
            group,
            input,
            incarnation: 0,
            life: Life::Down,
            joined: None,
            timer_ms: None,
            news: VecDeque::new(),
            told_until_ms: 0,
            held: Vec::new(),
            paused_ms: 0,
            unproved: false,
            doing: Doing::default(),
            partly: 0,
        });
        pod
    }

    /// Begins a new life of a pod that is down; returns its number, 1 for the first. A pod that lives goes
    /// on.
    pub fn start(&mut self, pod: PodId) -> u32 {
        let call_ms = self.settings.call_ms;
        let state = &mut self.pods[pod.0 as usize];
        if state.life == Life::Down {
            state.incarnation += 1;
            state.life = Life::Running;
            state.joined = None;
            state.timer_ms = None;
            state.unproved = false;
            state.doing = Doing::begun();
            state.partly = 0;
            state.held.clear();
            state.news.clear();
            let at = Origin { pod, incarnation: state.incarnation };
            state.member = SimMember::new(state.group, state.input, at, call_ms);
            self.note(pod, "starts");
        }
        self.pods[pod.0 as usize].incarnation
    }

    /// Ends a pod's life without a word to anybody.
    pub fn crash(&mut self, pod: PodId) {
        if self.pods[pod.0 as usize].life != Life::Down {
            self.befall_one(Fault::PodCrashed, pod);
            self.note(pod, "crashes");
            self.fall_silent(pod);
            let state = &mut self.pods[pod.0 as usize];
            state.life = Life::Down;
            state.held.clear();
        }
    }

    /// Ends a pod's life after it has left: an orderly exit.
    pub fn stop(&mut self, pod: PodId) {
        self.note(pod, "stops");
        self.fall_silent(pod);
        let state = &mut self.pods[pod.0 as usize];
        state.life = Life::Down;
        state.held.clear();
    }

    /// Stops a pod where it is, as `SIGSTOP` does.
    pub fn pause(&mut self, pod: PodId) {
        if self.pods[pod.0 as usize].life == Life::Running {
            self.befall_one(Fault::PodPaused, pod);
            self.note(pod, "pauses");
            self.fall_silent(pod);
            let now_ms = self.now_ms();
            let state = &mut self.pods[pod.0 as usize];
            (state.life, state.paused_ms) = (Life::Paused, now_ms);
        }
    }

    /// Lets a paused pod go on.
    pub fn resume(&mut self, pod: PodId) {
        if self.pods[pod.0 as usize].life != Life::Paused {
            return;
        }
        self.note(pod, "goes on");
        let (now_ms, session_ms) = (self.now_ms(), self.settings.session_ms);
        let state = &mut self.pods[pod.0 as usize];
        state.life = Life::Running;
        state.unproved |= now_ms - state.paused_ms > session_ms;
        if let Some(member) = state.joined {
            let group = state.group;
            self.broker.group_state_mut(group).speak_again(member);
        }
        for event in std::mem::take(&mut self.pods[pod.0 as usize].held) {
            match event {
                // It learns what became of its membership with its next heartbeat: until then it is a zombie.
                Event::Notice { to } => {
                    let at_ms = self.after(&(1..=self.settings.heartbeat_ms));
                    self.tell(to, at_ms);
                }
                event => self.schedule.at(self.schedule.now_ms(), event),
            }
        }
    }

    /// Whether the pod lives and is not paused.
    #[must_use]
    pub fn is_running(&self, pod: PodId) -> bool {
        self.pods[pod.0 as usize].life == Life::Running
    }

    /// Whether the pod lives, paused or not.
    #[must_use]
    pub fn is_alive(&self, pod: PodId) -> bool {
        self.pods[pod.0 as usize].life != Life::Down
    }

    /// The group throws a pod out that believes itself to be well: its heartbeats got lost.
    pub fn expire_session(&mut self, pod: PodId) {
        let state = &self.pods[pod.0 as usize];
        if let Some(member) = state.joined {
            self.expire(state.group, member);
        }
    }

    /// The group rebalances though nobody came or went.
    pub fn rebalance(&mut self, group: GroupNo) {
        self.befall(Fault::Rebalance, |pod| pod.group == group);
        self.broker.with_group(group, |state, effects| state.rebalance(effects));
        self.carry_out_effects();
    }

    /// From now on and for so long the broker answers nobody and does nothing.
    pub fn outage(&mut self, for_ms: u64) {
        self.befall(Fault::Outage, |_| true);
        self.down_until_ms = self.down_until_ms.max(self.now_ms() + for_ms);
    }

    /// From now on and for so long the store does nothing.
    pub fn stall_store(&mut self, for_ms: u64) {
        self.befall(Fault::StoreStalled, |_| true);
        self.store_stalled_until_ms = self.store_stalled_until_ms.max(self.now_ms() + for_ms);
    }

    /// The broker's clock jumps; where `may_step_back`, record times of a partition may decrease from now on.
    pub fn jump_clock(&mut self, by_ms: i64, may_step_back: bool) {
        self.befall(Fault::ClockJump, |_| true);
        self.broker.jump_clock(by_ms, may_step_back);
    }

    /// Retention removes what is below `first`.
    pub fn trim(&mut self, topic: Topic, partition: PartitionId, first: i64) {
        self.befall(Fault::Trimmed, |pod| pod.input == topic);
        self.broker.trim(topic, partition, first);
    }

    /// Somebody else opens a producer of this name, which fences the one that has it; whether it is open. It
    /// is not while the end of a transaction of that name is being written: who wants it asks again.
    pub fn fence(&mut self, name: &str) -> bool {
        self.befall(Fault::ProducerFenced, |pod| pod.member.name() == name);
        self.take_name(name)
    }

    /// A producer of this name opens a transaction with an offset of the group and goes away without ending
    /// it.
    pub fn hold_transaction(
        &mut self,
        name: &str,
        group: GroupNo,
        offset: (PartitionId, Committed),
    ) -> Result<(), String> {
        let refused = |refusal| format!("producer '{name}': {refusal:?}");
        self.with_broker(|broker, now_ms| broker.hold(now_ms, name, group, offset)).map_err(refused)
    }

    /// Something that a world brings about meets the pods that read `topic`, or all.
    pub fn bring_about(&mut self, fault: Fault, topic: Option<Topic>) {
        self.befall(fault, |pod| topic.is_none_or(|topic| pod.input == topic));
    }

    /// Something that a world brings about meets one pod.
    pub fn bring_about_at(&mut self, fault: Fault, pod: PodId) {
        self.befall_one(fault, pod);
    }

    /// Whether the pod's machine dies after the output that was just made; then, for how long it is down.
    pub fn dies_between_outputs(&mut self, pod: PodId) -> Option<u64> {
        self.strikes(pod, Fault::CrashBetweenOutputs).then(|| self.random.u64(100..15_000))
    }

    pub(super) fn befall_one(&mut self, fault: Fault, pod: PodId) {
        self.faults.note(fault);
        self.faults.met(fault, self.pods[pod.0 as usize].doing.steps());
    }

    /// A fault that came about, and the pods that it meets.
    pub(super) fn befall(&mut self, fault: Fault, meets: impl Fn(&Pod) -> bool) {
        self.faults.note(fault);
        for pod in self.pods.iter().filter(|pod| pod.life != Life::Down && meets(pod)) {
            self.faults.met(fault, pod.doing.steps());
        }
    }

    pub(super) fn take_name(&mut self, name: &str) -> bool {
        let mut request = super::Request::InitProducer { name: name.to_owned() };
        let verdict = self.with_broker(|broker, now_ms| broker.handle(now_ms, &mut request));
        matches!(verdict, Verdict::Answer(_))
    }

    /// A `Join` was carried out: one whose sender is not well is missed from the start.
    pub(super) fn joined(&mut self, from: Origin, group: GroupNo, answer: &Answer) {
        let Answer::Joined(Some(member)) = *answer else { return };
        let pod = &mut self.pods[from.pod.0 as usize];
        if pod.incarnation == from.incarnation {
            pod.joined = Some(member);
        }
        if pod.incarnation != from.incarnation || pod.life != Life::Running {
            self.miss(group, member);
        }
    }

    pub(super) fn silence_over(&mut self, group: GroupNo, member: MemberNo, silence: u64) {
        if self.broker.with_group(group, |state, effects| state.silence_due(member, silence, effects)) {
            self.befall(Fault::SessionExpired, |pod| pod.joined == Some(member) && pod.group == group);
            self.carry_out_effects();
        }
    }

    pub(super) fn expire(&mut self, group: GroupNo, member: MemberNo) {
        if self.broker.with_group(group, |state, effects| state.expire(member, effects)) {
            self.befall(Fault::SessionExpired, |pod| pod.joined == Some(member) && pod.group == group);
            self.carry_out_effects();
        }
    }

    fn fall_silent(&mut self, pod: PodId) {
        let state = &self.pods[pod.0 as usize];
        if let Some(member) = state.joined {
            self.miss(state.group, member);
        }
    }

    fn miss(&mut self, group: GroupNo, member: MemberNo) {
        let Some(silence) = self.broker.group_state_mut(group).fall_silent(member) else { return };
        // The last heartbeat was some time before this moment.
        let since_ms = self.random.u64(0..=self.settings.heartbeat_ms);
        let at_ms = self.now_ms() + self.settings.session_ms - since_ms.min(self.settings.session_ms);
        self.schedule.at(at_ms, Event::Silence { group, member, silence });
    }

    fn note(&mut self, pod: PodId, what: &str) {
        let (now_ms, incarnation) = (self.now_ms(), self.pods[pod.0 as usize].incarnation);
        self.transcript.line(format_args!("{now_ms} pod-{}.{incarnation} {what}", pod.0));
    }
}
