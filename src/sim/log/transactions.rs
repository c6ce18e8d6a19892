//! The transaction coordinator: producers by name, their epochs and what each has open.
//!
//! A request carries a producer's number and epoch, not which transaction it means: the old protocol, in
//! which a late request hits the next transaction of the same epoch.

use std::collections::{BTreeMap, BTreeSet};

use crate::{log::PartitionId, topology::Topic};

/// A producer's number; one per name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProducerId(pub u32);

/// What a client is given by `InitProducerId` and shows with every call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerSession {
    pub producer: ProducerId,
    pub epoch: i32,
}

/// A place that gets a marker when the transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    Records(Topic, PartitionId),
    /// The offsets of a group, by its number.
    Offsets(u32),
}

/// Why a call was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// A newer session of this name exists, or the broker aborted the transaction.
    Fenced,
    /// The former transaction's markers are still being written.
    Concurrent,
}

/// What a call to end a transaction, or the scan, brought about: a marker is due at each of these places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    pub producer: ProducerId,
    pub targets: Vec<Target>,
}

#[derive(Debug, Default)]
pub struct Transactions {
    producers: Vec<Producer>,
    by_name: BTreeMap<String, ProducerId>,
}

#[derive(Debug)]
struct Producer {
    name: String,
    epoch: i32,
    state: State,
    began_ms: u64,
    targets: BTreeSet<Target>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    Open,
    /// Decided; markers are being written.
    Ending {
        commit: bool,
    },
}

impl Transactions {
    /// `InitProducerId`: fences older sessions of the name and gives a new one, once what they had open is
    /// aborted. `Concurrent` means: ask again; an ending that this began is added to `endings`.
    pub fn init(&mut self, name: &str, endings: &mut Vec<Ending>) -> Result<ProducerSession, Refusal> {
        let producer = match self.by_name.get(name) {
            Some(producer) => *producer,
            None => {
                let producer = ProducerId(self.producers.len() as u32);
                let targets = BTreeSet::new();
                let new =
                    Producer { name: name.to_owned(), epoch: -1, state: State::Idle, began_ms: 0, targets };
                self.producers.push(new);
                self.by_name.insert(name.to_owned(), producer);
                producer
            }
        };
        let state = &mut self.producers[producer.0 as usize];
        match state.state {
            State::Idle => {
                state.epoch += 1;
                Ok(ProducerSession { producer, epoch: state.epoch })
            }
            State::Open => {
                state.epoch += 1;
                endings.extend(self.decide(producer, false));
                Err(Refusal::Concurrent)
            }
            State::Ending { .. } => Err(Refusal::Concurrent),
        }
    }

    /// Adds a place to the open transaction, opening one if there is none.
    pub fn add(
        &mut self,
        session: ProducerSession,
        targets: impl Iterator<Item = Target>,
        now_ms: u64,
    ) -> Result<(), Refusal> {
        let state = self.current(session)?;
        match state.state {
            State::Ending { .. } => return Err(Refusal::Concurrent),
            State::Open => {}
            State::Idle => {
                state.state = State::Open;
                state.began_ms = now_ms;
            }
        }
        state.targets.extend(targets);
        Ok(())
    }

    /// `EndTxn`: decides whatever the session has open. Ending what is decided the same way already, or
    /// nothing, is no error.
    pub fn end(&mut self, session: ProducerSession, commit: bool) -> Result<Option<Ending>, Refusal> {
        match self.current(session)?.state {
            State::Open => Ok(self.decide(session.producer, commit)),
            State::Ending { commit: decided } if decided != commit => Err(Refusal::Concurrent),
            State::Ending { .. } | State::Idle => Ok(None),
        }
    }

    /// The marker was written at `target`.
    pub fn marker_written(&mut self, producer: ProducerId, target: Target) -> Option<bool> {
        let state = &mut self.producers[producer.0 as usize];
        let State::Ending { commit } = state.state else { return None };
        state.targets.remove(&target).then(|| {
            if state.targets.is_empty() {
                state.state = State::Idle;
            }
            commit
        })
    }

    /// Aborts and fences what has been open for `limit_ms` or longer.
    pub fn abort_older(&mut self, now_ms: u64, limit_ms: u64) -> Vec<Ending> {
        let is_old = |state: &Producer| {
            state.state == State::Open && now_ms.saturating_sub(state.began_ms) >= limit_ms
        };
        let old: Vec<_> =
            (0..).zip(&self.producers).filter(|(_, state)| is_old(state)).map(|(no, _)| no).collect();
        let abort = |no: u32| {
            self.producers[no as usize].epoch += 1;
            self.decide(ProducerId(no), false)
        };
        old.into_iter().filter_map(abort).collect()
    }

    /// Whether any transaction is open, so that the scan has something to look for.
    #[must_use]
    pub fn any_open(&self) -> bool {
        self.producers.iter().any(|state| state.state == State::Open)
    }

    /// Whether any transaction is open or its markers are still being written.
    #[must_use]
    pub fn any_unsettled(&self) -> bool {
        self.producers.iter().any(|state| state.state != State::Idle)
    }

    #[must_use]
    pub fn name(&self, producer: ProducerId) -> &str {
        &self.producers[producer.0 as usize].name
    }

    fn current(&mut self, session: ProducerSession) -> Result<&mut Producer, Refusal> {
        let state = &mut self.producers[session.producer.0 as usize];
        if state.epoch == session.epoch { Ok(state) } else { Err(Refusal::Fenced) }
    }

    fn decide(&mut self, producer: ProducerId, commit: bool) -> Option<Ending> {
        let state = &mut self.producers[producer.0 as usize];
        state.state = State::Ending { commit };
        let targets: Vec<_> = state.targets.iter().copied().collect();
        if targets.is_empty() {
            state.state = State::Idle;
            return None;
        }
        Some(Ending { producer, targets })
    }
}

#[cfg(test)]
mod tests;
