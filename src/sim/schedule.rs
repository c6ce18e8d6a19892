//! Virtual time: one queue of everything that is yet to happen, ordered by (time, sequence).

use std::{cmp::Reverse, collections::BinaryHeap};

/// The queue and the clock that it drives. Two events of the same millisecond happen in the order in which
/// they were scheduled, so that a run depends on nothing but its seed.
#[derive(Debug)]
pub struct Schedule<E> {
    now_ms: u64,
    sequence: u64,
    /// Entries are small; what happens lies in `slots`, so that sifting moves 24 bytes.
    queue: BinaryHeap<Reverse<(u64, u64, u32)>>,
    slots: Vec<Option<E>>,
    free: Vec<u32>,
}

impl<E> Default for Schedule<E> {
    fn default() -> Self {
        Self { now_ms: 0, sequence: 0, queue: BinaryHeap::new(), slots: Vec::new(), free: Vec::new() }
    }
}

impl<E> Schedule<E> {
    /// Milliseconds since the run began.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Lets `event` happen at `at_ms`, or now if that is past.
    pub fn at(&mut self, at_ms: u64, event: E) {
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(event);
                slot
            }
            None => {
                self.slots.push(Some(event));
                (self.slots.len() - 1) as u32
            }
        };
        self.sequence += 1;
        self.queue.push(Reverse((at_ms.max(self.now_ms), self.sequence, slot)));
    }

    /// The next event that is due at `limit_ms` or before; the clock moves to it. Without one the clock
    /// stays.
    pub fn next_until(&mut self, limit_ms: u64) -> Option<E> {
        let Reverse((at_ms, _, _)) = *self.queue.peek()?;
        if at_ms > limit_ms {
            return None;
        }
        let Reverse((at_ms, _, slot)) = self.queue.pop()?;
        self.now_ms = at_ms;
        self.free.push(slot);
        self.slots[slot as usize].take()
    }

    /// Moves the clock to `at_ms` where nothing is due before.
    pub fn pass_until(&mut self, at_ms: u64) {
        debug_assert!(
            self.queue.peek().is_none_or(|Reverse((due_ms, _, _))| *due_ms >= at_ms),
            "time does not pass over an event"
        );
        self.now_ms = self.now_ms.max(at_ms);
    }
}

#[cfg(test)]
mod tests;
