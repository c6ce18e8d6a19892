//! Consumer groups of one member each, and producers by name. In memory: a process that is gone has nothing
//! under way.

use std::{collections::BTreeMap, sync::Arc};

use crate::log::{AssignmentId, Member};

/// A producer: of one name only the one that was opened last may transact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Producer {
    pub name: Arc<str>,
    pub epoch: u64,
}

/// The member of a group.
pub(super) struct Membership {
    pub assignment: AssignmentId,
    pub member: Member,
    /// Is told its assignment when another member takes its place.
    pub superseded: Box<dyn FnOnce(AssignmentId) + Send>,
}

#[derive(Default)]
pub(super) struct Groups {
    epochs: BTreeMap<Arc<str>, u64>,
    members: BTreeMap<Arc<str>, Membership>,
}

impl Groups {
    pub fn open(&mut self, producer: Producer) {
        self.epochs.insert(producer.name, producer.epoch);
    }

    pub fn is_current(&self, producer: &Producer) -> bool {
        self.epochs.get(&producer.name) == Some(&producer.epoch)
    }

    pub fn join(&mut self, group: Arc<str>, membership: Membership) {
        if let Some(old) = self.members.insert(group, membership) {
            (old.superseded)(old.assignment);
        }
    }

    pub fn is_assigned(&self, group: &str, assignment: AssignmentId) -> bool {
        self.members.get(group).is_some_and(|membership| membership.assignment == assignment)
    }

    pub fn leave(&mut self, group: &str, assignment: Option<AssignmentId>) {
        if assignment.is_some_and(|assignment| self.is_assigned(group, assignment)) {
            self.members.remove(group);
        }
    }

    pub fn members(&self, group: &str) -> Vec<Member> {
        self.members.get(group).map(|membership| membership.member.clone()).into_iter().collect()
    }
}
