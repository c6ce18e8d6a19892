//! Users that may leave memory once the rows of their last change are in the store.

use std::collections::VecDeque;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::mutant::{self, Mutant};

#[derive(Debug, Default)]
pub(super) struct Leaving {
    /// The batch of each user's last change.
    last: HashMap<u32, u64, FixedState>,
    /// (batch, user), batches ascending.
    queue: VecDeque<(u64, u32)>,
}

impl Leaving {
    /// `user` was folded in `batch` and nothing keeps it.
    pub fn offer(&mut self, user: u32, batch: u64) {
        if self.last.insert(user, batch) != Some(batch) {
            self.queue.push_back((batch, user));
        }
    }

    /// The next user whose last change is of `batch` or an earlier one. Whether it is still to go is the
    /// caller's to judge: a user that came back without another offer is named here too.
    pub fn next(&mut self, batch: u64) -> Option<u32> {
        let early = mutant::is(Mutant::UserLeavesBeforeAcknowledgement);
        let is_stored = |(offered, _): &(u64, u32)| *offered <= batch || early;
        while let Some((offered, user)) = self.queue.front().copied().filter(is_stored) {
            self.queue.pop_front();
            if self.last.get(&user) == Some(&offered) {
                self.last.remove(&user);
                return Some(user);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
