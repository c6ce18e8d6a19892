//! A call to the broker on its way: lost, late, answered or not.

use std::{fmt, ops::RangeInclusive};

use super::{Event, Life, Network};
use crate::{
    log::{FetchId, LogCommand, Offset, PartitionId},
    sim::{
        Fault, Origin, PodId,
        coverage::calls::CallKind,
        log::{Answer, Failure, Notice, Request, Verdict},
        member::Tag,
    },
};

/// A request with what is needed to answer it.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) from: Origin,
    pub(super) tag: Tag,
    pub(super) request: Request,
    pub(super) deadline_ms: u64,
    /// Nobody waits for the answer any more.
    pub(super) mute: bool,
}

/// Between a client's own tries.
const RETRY_MS: RangeInclusive<u64> = 5..=60;

impl Network {
    pub(super) fn send(&mut self, from: Origin, tag: Tag, request: Request, limit_ms: u64) {
        let deadline_ms = self.now_ms() + limit_ms;
        let mut call = Call { from, tag, request, deadline_ms, mute: false };
        let mut at_ms = self.after(&self.settings.broker_ms.clone());
        match self.loss(&call) {
            // The client asks its group again by itself, for ever.
            Some(Loss::Never) if matches!(call.tag, Tag::Join) => at_ms = deadline_ms,
            Some(Loss::Late) if matches!(call.tag, Tag::Join) => {
                at_ms += self.random.u64(1..=2 * self.settings.call_ms);
            }
            Some(Loss::Never) => return self.time_out(&call),
            Some(Loss::Late) => {
                self.time_out(&call);
                call.mute = true;
                at_ms = deadline_ms + self.random.u64(1..=2 * self.settings.call_ms);
            }
            Some(Loss::Stalled) => {
                at_ms = self.now_ms() + self.settings.transaction_ms + self.settings.scan_ms;
                call.deadline_ms = at_ms + limit_ms;
            }
            None => {}
        }
        self.schedule.at(at_ms, Event::Arrive(call));
    }

    /// A client's retry loop, or the answer.
    pub(super) fn arrive(&mut self, mut call: Call) {
        let now_ms = self.now_ms();
        let pod = &self.pods[call.from.pod.0 as usize];
        let is_dead = pod.incarnation != call.from.incarnation || pod.life == Life::Down;
        if is_dead && !std::mem::replace(&mut call.mute, true) && self.random.bool() {
            // It died with its sender, or it was on the wire: either is possible.
            return self.transcript.line(format_args!("{now_ms} pod-{} dropped", call.from.pod.0));
        }
        let refusal = if call.mute || self.is_down() { None } else { self.refusal(&mut call) };
        self.caller = Some(call.from);
        let verdict = match refusal {
            _ if self.is_down() => Verdict::Again,
            Some(failure) => Verdict::Answer(Answer::Failed(failure)),
            None => self.handle(&mut call),
        };
        self.transcript.line(format_args!("{now_ms} broker {call} {verdict:?}"));
        self.carry_out_effects();
        self.caller = None;
        match verdict {
            Verdict::Again => self.again(call),
            Verdict::Answer(answer) => self.answer(call, answer),
        }
    }

    /// The broker carries out a request, or the same request twice: a client's own retry, which comes before
    /// anything else of that client. What was produced or joined twice is recognised.
    fn handle(&mut self, call: &mut Call) -> Verdict {
        let now_ms = self.now_ms();
        let recognised = matches!(call.request, Request::Produce { .. } | Request::Join { .. });
        let kind = CallKind::of(&call.tag, &call.request);
        let twice = !call.mute && !recognised && self.strikes_call(call.from.pod, Fault::CallTwice, kind);
        let mut verdict = self.broker.handle(now_ms, &mut call.request);
        if twice && matches!(verdict, Verdict::Answer(_)) {
            verdict = self.broker.handle(now_ms, &mut call.request);
        }
        let committed = matches!(call.request, Request::EndTransaction { commit: true, .. });
        if committed && !call.mute && verdict == Verdict::Answer(Answer::Done) {
            self.pods[call.from.pod.0 as usize].doing.decided();
        }
        verdict
    }

    /// A `Fetch` that replaces another one may be followed by what the older one had read already.
    pub(super) fn stale_of(
        &mut self,
        pod: PodId,
        command: &LogCommand,
    ) -> Option<(PartitionId, FetchId, Offset)> {
        let LogCommand::Fetch { partition, .. } = command else { return None };
        let (fetch, position) = self.pods[pod.0 as usize].member.position(*partition)?;
        let strikes = self.strikes(pod, Fault::StaleChunk);
        // What the client had read ahead begins a little before where the engine last read.
        strikes.then(|| (*partition, fetch, (position - 10).max(0)))
    }

    /// What strikes a whole transaction rather than one of its calls.
    pub(super) fn prepare_faults(&mut self, pod: PodId, command: &LogCommand) {
        if !matches!(command, LogCommand::Transact(_)) {
            return;
        }
        if self.strikes(pod, Fault::ProducerFenced) {
            let name = self.pods[pod.0 as usize].member.name().to_owned();
            self.take_name(&name);
        }
    }

    pub(super) fn notify(&mut self, to: Origin, notice: Notice) {
        // Assignments answer a call; everything else is learned with the next heartbeat.
        let range = match notice {
            Notice::Assigned { .. } => self.settings.broker_ms.clone(),
            Notice::Rebalancing | Notice::Expired { .. } => 1..=self.settings.heartbeat_ms,
        };
        let mut drawn_ms = self.after(&range);
        if let Notice::Assigned { member, .. } = notice
            && to == self.origin(to.pod)
            && self.pods[to.pod.0 as usize].life != Life::Down
        {
            if self.strikes_call(to.pod, Fault::AnswerLost, CallKind::Join) {
                // The client goes on waiting, and the group for its heartbeats.
                let group = self.pods[to.pod.0 as usize].group;
                let at_ms = self.now_ms() + self.settings.session_ms;
                return self.schedule.at(at_ms, Event::Unheard { group, member });
            }
            if self.strikes_call(to.pod, Fault::AnswerLate, CallKind::Join) {
                drawn_ms += self.random.u64(200..=self.settings.call_ms);
            }
        }
        if to == self.origin(to.pod) {
            self.pods[to.pod.0 as usize].news.push_back(notice);
            self.tell(to, drawn_ms);
        }
    }

    /// Lets a pod hear the next of its group's news at `at_ms`, or when it hears those before.
    pub(super) fn tell(&mut self, to: Origin, at_ms: u64) {
        let pod = &mut self.pods[to.pod.0 as usize];
        pod.told_until_ms = at_ms.max(pod.told_until_ms);
        self.schedule.at(pod.told_until_ms, Event::Notice { to });
    }

    fn again(&mut self, call: Call) {
        let at_ms = self.after(&RETRY_MS);
        // Joining is tried for ever, as clients do; the rest gives up.
        if at_ms < call.deadline_ms || matches!(call.tag, Tag::Join) {
            self.schedule.at(at_ms, Event::Arrive(call));
        } else if !call.mute {
            self.time_out(&call);
        }
    }

    fn answer(&mut self, call: Call, answer: Answer) {
        let Call { from, tag, request, deadline_ms, mute } = call;
        if let Request::Join { group, .. } = request {
            self.joined(from, group, &answer);
        }
        // Of joining the group tells by its notices; only what went wrong is an answer.
        if mute || (matches!(tag, Tag::Join) && !matches!(answer, Answer::Failed(_))) {
            return;
        }
        let kind = CallKind::of(&tag, &request);
        let may_be_late = !matches!(tag, Tag::Join);
        if may_be_late && self.strikes_call(from.pod, Fault::AnswerLost, kind) {
            let answer = Answer::Failed(Failure::TimedOut);
            return self.schedule.at(deadline_ms, Event::Answer { to: from, tag, answer });
        }
        let mut at_ms = self.after(&self.settings.broker_ms.clone());
        if may_be_late && self.strikes_call(from.pod, Fault::AnswerLate, kind) {
            at_ms += self.random.u64(200..=self.settings.call_ms + 500);
        }
        if comes_twice(&tag) && self.strikes_call(from.pod, Fault::AnswerTwice, kind) {
            let again_ms = at_ms + self.random.u64(0..=self.settings.call_ms);
            let (tag, answer) = (tag.clone(), answer.clone());
            self.schedule.at(again_ms, Event::Answer { to: from, tag, answer });
        }
        // Joining has no deadline: it is tried until the group has answered.
        let (at_ms, answer) = match at_ms > deadline_ms && !matches!(tag, Tag::Join) {
            true => (deadline_ms, Answer::Failed(Failure::TimedOut)),
            false => (at_ms, answer),
        };
        self.schedule.at(at_ms, Event::Answer { to: from, tag, answer });
    }

    fn time_out(&mut self, call: &Call) {
        let (to, tag, answer) = (call.from, call.tag.clone(), Answer::Failed(Failure::TimedOut));
        self.schedule.at(call.deadline_ms, Event::Answer { to, tag, answer });
    }

    /// Whether the call gets lost or is late.
    fn loss(&mut self, call: &Call) -> Option<Loss> {
        let (pod, kind) = (call.from.pod, CallKind::of(&call.tag, &call.request));
        if kind == CallKind::Beacon && self.strikes(pod, Fault::BeaconLost) {
            self.faults.met_call(Fault::CallLost, kind);
            return Some(Loss::Never);
        }
        if kind == CallKind::Beacon && self.strikes(pod, Fault::BeaconLate) {
            self.faults.met_call(Fault::CallLate, kind);
            return Some(Loss::Late);
        }
        let may_stall = matches!(call.tag, Tag::Step(_) | Tag::End(_));
        match kind {
            CallKind::Beacon => None,
            CallKind::Commit if self.strikes(pod, Fault::EndTransactionLate) => Some(Loss::Late),
            _ if may_stall && self.strikes(pod, Fault::ClientStalled) => Some(Loss::Stalled),
            _ if self.strikes_call(pod, Fault::CallLost, kind) => Some(Loss::Never),
            _ if self.strikes_call(pod, Fault::CallLate, kind) => Some(Loss::Late),
            _ => None,
        }
    }

    /// Whether the broker refuses the call out of its own mood, or for a reason that nobody knows: then it
    /// may have had its effect.
    fn refusal(&mut self, call: &mut Call) -> Option<Failure> {
        let (pod, kind) = (call.from.pod, CallKind::of(&call.tag, &call.request));
        match kind {
            CallKind::Produce if self.strikes(pod, Fault::ProduceRefused) => {
                return Some(Failure::Abortable("the broker refused to append".into()));
            }
            CallKind::Commit if self.strikes(pod, Fault::TransactionAborted) => {
                return Some(Failure::Abortable("the broker refused to commit".into()));
            }
            _ => {}
        }
        if !self.strikes_call(pod, Fault::UnknownError, kind) {
            return None;
        }
        if !matches!(kind, CallKind::Join) && self.random.bool() {
            self.broker.handle(self.schedule.now_ms(), &mut call.request);
        }
        Some(Failure::Fatal("the broker answered with an error that nobody knows".into()))
    }
}

/// Answers that belong to no request of their own come once, as the log's contract has it.
fn comes_twice(tag: &Tag) -> bool {
    match tag {
        Tag::Describe(_)
        | Tag::Offsets(_)
        | Tag::Bounds(_)
        | Tag::Members(_)
        | Tag::Fence(..)
        | Tag::Beacon(_) => true,
        Tag::Open | Tag::Join | Tag::Leave | Tag::Step(_) | Tag::End(_) => false,
    }
}

enum Loss {
    Never,
    Late,
    /// Its client stops for so long that the broker's scan is over before it goes on.
    Stalled,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, tag, mute, .. } = self;
        write!(f, "pod-{}.{} {tag:?}{}", from.pod.0, from.incarnation, if *mute { " mute" } else { "" })
    }
}
