//! From an assignment to the offsets of its partitions, fencing by name what a dead pod left open.
//!
//! A *stable* read of offsets does not answer while a transaction that holds some of them is open. When it
//! stays silent while an unstable read answers, and only then, the names in the metadata and in
//! `progress_owners` are fenced, those of living members left out: fencing a living pod would kill its
//! transaction and free nothing.

use std::collections::BTreeSet;

use super::{Engine, Leaving, Phase, Producer, opening::Opening, requests::Question};
use crate::{
    log::{AssignmentId, Committed, LogCommand, LogError, Member, PartitionId, RequestId, TopicDescription},
    mutant::{self, Mutant},
    processor::Fold,
    store::Row,
    table::progress::owners_query,
    task::metadata::OffsetMetadata,
};

/// The longest an unstable read may take, which nothing holds back but the broker's absence.
const UNSTABLE_READ_MS: u64 = 5_000;
/// The pause before the offsets are asked for again.
const RETRY_MS: i64 = 200;

/// Where the reading of an assignment's offsets stands.
#[derive(Debug)]
pub(super) enum Claim {
    Waiting {
        until_ms: i64,
    },
    Describing(RequestId),
    Stable(RequestId),
    Unstable(RequestId),
    /// The names in the tables of owners, as far as they have been read.
    Owners {
        unanswered: usize,
        names: BTreeSet<String>,
    },
    Members {
        request: RequestId,
        names: BTreeSet<String>,
    },
    Fencing {
        names: BTreeSet<String>,
    },
}

type OffsetsAnswer = Result<Vec<(PartitionId, Option<Committed>)>, LogError>;

impl<F: Fold> Engine<F> {
    pub(super) fn assigned(&mut self, id: AssignmentId, member: String, partitions: Vec<PartitionId>) {
        self.drop_partitions();
        self.revoking = false;
        self.assignment = Some(super::Assignment { id, member, partitions });
        self.unproved = false;
        self.claim_again(0);
    }

    /// Reads the offsets of the assignment (again) after a pause, if there is one.
    pub(super) fn claim_again(&mut self, pause_ms: i64) {
        let assigned = self.assignment.as_ref().is_some_and(|assignment| !assignment.partitions.is_empty());
        let wanted = assigned && !self.revoking;
        self.claim = wanted.then_some(Claim::Waiting { until_ms: self.now.boot_ms + pause_ms });
    }

    pub(super) fn continue_claim(&mut self) {
        let ready = self.producer == Producer::Open && !self.revoking && self.leaving == Leaving::No;
        // What this assignment has sent may move the offsets, and the broker may not know of it yet: a stable
        // read would not wait for it. What a former one has sent is refused.
        let assignment = self.assignment.as_ref().map(|assignment| assignment.id);
        let moving = self.in_flight.as_ref().is_some_and(|sent| Some(sent.assignment) == assignment);
        let ready = ready && (!moving || mutant::is(Mutant::OwnTransactionNotWaitedFor));
        if let Some(Claim::Waiting { until_ms }) = self.claim
            && until_ms <= self.now.boot_ms
            && ready
        {
            let request = self.next_id();
            self.claim = Some(Claim::Describing(request));
            self.log(LogCommand::Describe { request });
        }
    }

    pub(super) fn described(&mut self, request: RequestId, result: Result<TopicDescription, LogError>) {
        if !matches!(self.claim, Some(Claim::Describing(asked)) if asked == request) {
            return;
        }
        match result {
            Ok(topic) => {
                let (input, expected) = (F::KIND.input(), self.config.topology.partitions(F::KIND.input()));
                if topic.partitions != expected {
                    return self.fatal(format!(
                        "topic '{input}' has {} partitions, the topology says {expected}; a partition count is for the \
                         life of a topic: correct topology.toml, or create the topic anew",
                        topic.partitions
                    ));
                }
                self.topic = Some(topic);
                self.read_stable();
            }
            Err(error) => self.claim_failed(&error),
        }
    }

    fn read_stable(&mut self) {
        let request = self.next_id();
        let limit_ms = self.config.pace.stable_read_ms;
        self.claim = Some(Claim::Stable(request));
        let stable = !mutant::is(Mutant::UnstableOffsetsTakenOver);
        self.read_offsets(request, stable, limit_ms);
    }

    fn read_offsets(&mut self, request: RequestId, stable: bool, limit_ms: u64) {
        let partitions =
            self.assignment.as_ref().map(|assignment| assignment.partitions.clone()).unwrap_or_default();
        self.log(LogCommand::ReadOffsets { request, partitions, stable, limit_ms });
    }

    fn claim_failed(&mut self, error: &LogError) {
        if error.is_fatal() {
            return self.fatal(error.message.clone());
        }
        self.trouble(error.message.clone());
        self.claim_again(RETRY_MS);
    }

    pub(super) fn offsets_read(&mut self, request: RequestId, result: OffsetsAnswer) {
        match (&self.claim, result) {
            (Some(Claim::Stable(asked)), Ok(offsets)) if *asked == request => {
                self.claim = None;
                self.open_partitions(offsets);
            }
            (Some(Claim::Stable(asked)), Err(error)) if *asked == request => {
                if error.is_fatal() {
                    return self.fatal(error.message);
                }
                if mutant::is(Mutant::FenceByNameSkipped) {
                    return self.claim_again(RETRY_MS);
                }
                let request = self.next_id();
                self.claim = Some(Claim::Unstable(request));
                self.read_offsets(request, false, UNSTABLE_READ_MS);
            }
            (Some(Claim::Unstable(asked)), Ok(offsets)) if *asked == request => self.ask_for_owners(&offsets),
            (Some(Claim::Unstable(asked)), Err(error)) if *asked == request => self.claim_failed(&error),
            _ => {}
        }
    }

    fn ask_for_owners(&mut self, offsets: &[(PartitionId, Option<Committed>)]) {
        let metadata = offsets.iter().filter_map(|(_, committed)| committed.as_ref());
        let names = metadata.filter_map(|committed| OffsetMetadata::decode(&committed.metadata));
        let names = names.map(|metadata| metadata.producer).collect();
        self.claim = Some(Claim::Owners { unanswered: offsets.len(), names });
        for (partition, _) in offsets {
            self.ask(*partition, Question::Owners, owners_query(F::KIND.input(), *partition));
        }
    }

    pub(super) fn owners_read(&mut self, rows: &[Row]) {
        let Some(Claim::Owners { unanswered, names }) = &mut self.claim else { return };
        let found = rows.iter().filter_map(|row| row.clustering.first()?.as_text().map(str::to_owned));
        names.extend(found.filter(|_| !mutant::is(Mutant::OwnersTableIgnored)));
        *unanswered -= 1;
        if *unanswered == 0 {
            let names = std::mem::take(names);
            let request = self.next_id();
            self.claim = Some(Claim::Members { request, names });
            self.log(LogCommand::ListMembers { request });
        }
    }

    pub(super) fn members_listed(&mut self, request: RequestId, result: Result<Vec<Member>, LogError>) {
        if self.fence_question == Some(request) {
            self.fence_question = None;
            return self.judge_fencing(result);
        }
        let Some(Claim::Members { request: asked, names }) = &mut self.claim else { return };
        if *asked != request {
            return;
        }
        let mut names = std::mem::take(names);
        match result {
            Ok(members) => {
                for member in members.iter().filter(|_| !mutant::is(Mutant::LivingMemberFenced)) {
                    names.remove(&member.client_id);
                }
                names.remove(&self.config.name);
                if names.is_empty() {
                    // A living member is finishing its transaction.
                    return self.claim_again(RETRY_MS);
                }
                for name in names.clone() {
                    let request = self.next_id();
                    self.log(LogCommand::FenceName { request, name });
                }
                self.claim = Some(Claim::Fencing { names });
            }
            Err(error) => self.claim_failed(&error),
        }
    }

    pub(super) fn name_fenced(&mut self, name: &str, result: Result<(), LogError>) {
        let Some(Claim::Fencing { names }) = &mut self.claim else { return };
        if names.remove(name) && names.is_empty() {
            self.read_stable();
        }
        if let Err(error) = result {
            // The stable read tells whether it mattered.
            self.trouble(error.message);
        }
    }

    fn open_partitions(&mut self, offsets: Vec<(PartitionId, Option<Committed>)>) {
        let partitions: Vec<_> = offsets.iter().map(|(partition, _)| *partition).collect();
        for (partition, committed) in offsets {
            self.openings.insert(partition, Opening::new(committed));
            self.ask_for_facts(partition);
        }
        self.ask_for_bounds(partitions);
    }

    /// What a person should know about partitions whose offsets are not read yet.
    pub(super) fn claim_phase(&self) -> Option<Phase> {
        self.claim.as_ref().map(|claim| match claim {
            Claim::Fencing { .. } => Phase::Fencing,
            _ => Phase::Claiming,
        })
    }
}
