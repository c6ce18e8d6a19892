//! What waits for the writer: first in, first out for each of those who ask, bounded in bytes.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

/// Bytes of one lane in a group commit: what is queued beyond waits for the next one. So a client never waits
/// for all that engines have queued: a megabyte of rows takes the writer some ten milliseconds.
const GROUP_BYTES_MAX: usize = 1024 * 1024;
/// Bytes that clients may queue; above, they are told to ask again.
pub(super) const CLIENT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes that may be queued at all. Engines bound their own work below the difference, so that a flood of
/// clients never turns an engine away.
pub(super) const QUEUE_BYTES_MAX: usize = 128 * 1024 * 1024;
/// What an entry costs beside its payload.
const ENTRY_BYTES: usize = 64;

const _: () = assert!(CLIENT_BYTES_MAX + crate::limits::UNSTORED_BYTES_MAX < QUEUE_BYTES_MAX);
const _: () = assert!(crate::limits::TRANSACTION_OUTPUT_BYTES_MAX < QUEUE_BYTES_MAX - CLIENT_BYTES_MAX);

/// Who asks, which says how full the queue may be. Nothing that clients ask depends on what engines ask
/// beside them: only within a lane is there an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    Client,
    Engine,
}

/// Why work was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    Full,
    Closed,
}

impl Refused {
    /// What to tell whoever asked.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Full => {
                "the embedded log is behind: more is queued than its bound; ask again after a pause"
            }
            Self::Closed => "the embedded log is closing",
        }
    }
}

#[derive(Debug)]
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
}

#[derive(Debug)]
struct State<T> {
    clients: VecDeque<(T, usize)>,
    engines: VecDeque<(T, usize)>,
    bytes: usize,
    closed: bool,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        let state = State { clients: VecDeque::new(), engines: VecDeque::new(), bytes: 0, closed: false };
        Self { state: Mutex::new(state), filled: Condvar::new() }
    }
}

impl<T> Queue<T> {
    pub fn push(&self, lane: Lane, work: T, bytes: usize) -> Result<(), Refused> {
        let bytes = bytes + ENTRY_BYTES;
        let bytes_max = match lane {
            Lane::Client => CLIENT_BYTES_MAX,
            Lane::Engine => QUEUE_BYTES_MAX,
        };
        let mut state = self.lock();
        if state.closed {
            return Err(Refused::Closed);
        }
        if state.bytes + bytes > bytes_max {
            return Err(Refused::Full);
        }
        state.bytes += bytes;
        match lane {
            Lane::Client => state.clients.push_back((work, bytes)),
            Lane::Engine => state.engines.push_back((work, bytes)),
        }
        drop(state);
        self.filled.notify_one();
        Ok(())
    }

    /// What is queued, of each lane at least one piece of work and at most a group commit's bytes; `None`
    /// once the queue is closed and empty.
    pub fn take(&self) -> Option<Vec<T>> {
        let state = self.lock();
        let mut state = self
            .filled
            .wait_while(state, |state| state.is_empty() && !state.closed)
            .unwrap_or_else(PoisonError::into_inner);
        let mut group = Vec::new();
        let State { clients, engines, bytes, .. } = &mut *state;
        for lane in [clients, engines] {
            let mut lane_bytes = 0;
            while let Some((_, work_bytes)) = lane.front() {
                if lane_bytes > 0 && lane_bytes + work_bytes > GROUP_BYTES_MAX {
                    break;
                }
                lane_bytes += work_bytes;
                group.extend(lane.pop_front().map(|(work, _)| work));
            }
            *bytes -= lane_bytes;
        }
        (!group.is_empty()).then_some(group)
    }

    /// Takes no more; what is queued is still handed out.
    pub fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }

    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    fn is_empty(&self) -> bool {
        self.clients.is_empty() && self.engines.is_empty()
    }
}

#[cfg(test)]
mod tests;
