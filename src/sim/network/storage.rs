//! A request to the store on its way: refused, lost, late, answered.

use super::{Event, Life, Network, describe::Described};
use crate::{
    log::RequestId,
    sim::{Breach, Fault, Origin, PodId},
    store::{StoreCommand, StoreError, StoreErrorClass, StoreEvent},
    table::progress::OWNERS,
};

/// A request with what is needed to answer it.
#[derive(Debug)]
pub(super) struct StoreCall {
    from: Origin,
    command: StoreCommand,
    deadline_ms: u64,
    /// Nobody waits for the answer any more.
    mute: bool,
}

/// Writes that are struck together.
const PARTLY_WRITES: u8 = 4;

impl Network {
    /// Takes a command of the pod's engine for its store.
    pub fn submit_store(&mut self, pod: PodId, command: StoreCommand) {
        if self.pods[pod.0 as usize].life != Life::Running {
            return;
        }
        let now_ms = self.now_ms();
        self.transcript.line(format_args!("{now_ms} pod-{} > {}", pod.0, Described(&command)));
        self.pods[pod.0 as usize].doing.store_command(&command);
        if let StoreCommand::Write { batch, .. } = &command
            && self.pods[pod.0 as usize].unproved
            && batch.table.name != OWNERS.name
        {
            self.breaches.push((pod, Breach::WrittenUnproved));
        }
        let (from, deadline_ms) = (self.origin(pod), now_ms + self.settings.store_call_ms);
        let mut call = StoreCall { from, command, deadline_ms, mute: false };
        let request = call.request();
        let arrival_ms = self.after(&self.settings.store_ms.clone());
        if self.strikes(pod, Fault::StoreRefused) {
            return self.store_fails(from, request, arrival_ms, "the store is overloaded");
        }
        if self.strikes(pod, Fault::StoreLost) {
            return self.store_fails(from, request, deadline_ms, "the store did not answer in time");
        }
        if self.applies_partly(pod, &call.command) {
            self.store_fails(from, request, deadline_ms, "the store did not answer in time");
            call.mute = true;
            if self.random.bool() {
                return;
            }
        } else if self.strikes(pod, Fault::StoreLate) {
            self.store_fails(from, request, deadline_ms, "the store did not answer in time");
            call.mute = true;
            let late_ms = now_ms + self.random.u64(1..=3 * self.settings.store_call_ms);
            return self.schedule.at(late_ms, Event::StoreArrive(call));
        }
        self.schedule.at(arrival_ms, Event::StoreArrive(call));
    }

    /// Whether this write is one of several of which the store applies some.
    fn applies_partly(&mut self, pod: PodId, command: &StoreCommand) -> bool {
        if !matches!(command, StoreCommand::Write { .. }) {
            return false;
        }
        let partly = &mut self.pods[pod.0 as usize].partly;
        if *partly > 0 {
            *partly -= 1;
            return true;
        }
        let strikes = self.strikes(pod, Fault::StorePartly);
        if strikes {
            self.pods[pod.0 as usize].partly = PARTLY_WRITES - 1;
        }
        strikes
    }

    pub(super) fn store_arrive(&mut self, mut call: StoreCall) {
        let now_ms = self.now_ms();
        let pod = &self.pods[call.from.pod.0 as usize];
        let is_dead = pod.incarnation != call.from.incarnation || pod.life == Life::Down;
        if is_dead && !std::mem::replace(&mut call.mute, true) && self.random.bool() {
            return self.transcript.line(format_args!("{now_ms} store pod-{} dropped", call.from.pod.0));
        }
        if now_ms < self.store_stalled_until_ms {
            return self.wait_for_store(call);
        }
        let request = call.request();
        let StoreCall { from, command, mute, .. } = call;
        let (number, what) = (from.pod.0, if mute { " mute" } else { "" });
        self.transcript.line(format_args!("{now_ms} store pod-{number}{what} {request}"));
        let event = self.store.execute(now_ms, command);
        if !mute {
            let at_ms = self.after(&self.settings.store_ms.clone());
            self.schedule.at(at_ms, Event::StoreAnswer { to: from, event });
        }
    }

    /// Until the stall is over; whoever gives up before is told so, and the request takes effect all the
    /// same.
    fn wait_for_store(&mut self, mut call: StoreCall) {
        let at_ms = self.store_stalled_until_ms + self.random.u64(self.settings.store_ms.clone());
        if at_ms > call.deadline_ms && !std::mem::replace(&mut call.mute, true) {
            let request = call.request();
            let message = "the store did not answer in time";
            self.store_fails(call.from, request, call.deadline_ms, message);
        }
        self.schedule.at(at_ms, Event::StoreArrive(call));
    }

    fn store_fails(&mut self, to: Origin, request: RequestId, at_ms: u64, message: &str) {
        let error = StoreError { class: StoreErrorClass::Retriable, message: message.to_owned() };
        let event = StoreEvent::Failed { request, error };
        self.schedule.at(at_ms, Event::StoreAnswer { to, event });
    }
}

impl StoreCall {
    fn request(&self) -> RequestId {
        match &self.command {
            StoreCommand::Write { request, .. } | StoreCommand::Read { request, .. } => *request,
        }
    }
}
