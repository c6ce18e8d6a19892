//! What an engine must do when it is told of an error that nobody knows: exit and say so.

use std::collections::BTreeMap;

use crate::{
    log::{ErrorClass, LogCommand, LogError, LogEvent, RequestId, TransactionOutcome},
    sim::PodId,
};

/// The question to its log that each pod asked last and still waits for. A question that something came
/// between is nobody's any more: an engine need not listen to its answer.
#[derive(Debug, Default)]
pub(super) struct Asked(BTreeMap<PodId, RequestId>);

impl Asked {
    pub(super) fn submitted(&mut self, pod: PodId, command: &LogCommand) {
        match command {
            LogCommand::Describe { request }
            | LogCommand::ReadOffsets { request, .. }
            | LogCommand::ReadBounds { request, .. }
            | LogCommand::ListMembers { request } => {
                self.0.insert(pod, *request);
            }
            LogCommand::StopFetch { .. } => self.forget(pod),
            _ => {}
        }
    }

    pub(super) fn forget(&mut self, pod: PodId) {
        self.0.remove(&pod);
    }

    /// Whether the engine must be over once it has heard this.
    pub(super) fn must_exit(&mut self, pod: PodId, event: &LogEvent) -> bool {
        let is_fatal = |error: &LogError| error.class == ErrorClass::Fatal;
        let (request, error) = match event {
            LogEvent::Assigned { .. } | LogEvent::Revoking { .. } | LogEvent::Lost { .. } => {
                self.forget(pod);
                return false;
            }
            LogEvent::TransactionEnded { outcome, .. } => {
                if *outcome != TransactionOutcome::Committed {
                    self.forget(pod);
                }
                return matches!(outcome, TransactionOutcome::Fatal { .. });
            }
            LogEvent::ProducerFailed { error } | LogEvent::Failed { error } => return is_fatal(error),
            LogEvent::BeaconAppended { result, .. } => return result.as_ref().is_err_and(is_fatal),
            LogEvent::Described { request, result } => (request, result.as_ref().err()),
            LogEvent::OffsetsRead { request, result } => (request, result.as_ref().err()),
            LogEvent::BoundsRead { request, result } => (request, result.as_ref().err()),
            LogEvent::MembersListed { request, result } => (request, result.as_ref().err()),
            _ => return false,
        };
        let is_awaited = self.0.get(&pod) == Some(request);
        if is_awaited || error.is_some() {
            self.forget(pod);
        }
        is_awaited && error.is_some_and(is_fatal)
    }
}
