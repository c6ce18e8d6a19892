//! One tail of `presence` per process, shared by everybody who listens.
//!
//! It starts with the first listener and is begun again where it stopped when the log fails, so that
//! listeners see no gap. When the log has no such place any more, everybody is told to connect again. A
//! listener who does not keep up is cut off by the bound of the channel; memory does not grow with slowness.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use serde::Deserialize;
use tokio::sync::{broadcast, watch};

use crate::{
    client::{Tail, TailFrom, TailRecord, TopicClient},
    http::{error::ApiError, now_ms, positions::Positions},
    log::{LogError, Offset, PartitionId},
    topology::Topic,
};

/// Events that a listener may be behind.
const BEHIND_MAX: usize = 8_192;
/// Events that are kept for those who come a moment later.
const RECENT_MAX: usize = 4_096;
const START_WITHIN: Duration = Duration::from_secs(10);
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// How far the log's clock may be ahead of ours when the tail starts.
const CLOCK_MARGIN_MS: i64 = 1_000;

/// A transition as it was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    pub partition: PartitionId,
    pub offset: Offset,
    pub user: String,
    pub version: u64,
    /// Record time of the heartbeat or beacon that brought it about, and that record's partition.
    pub detected_at_ms: i64,
    pub cause_partition: PartitionId,
    pub value: Bytes,
}

/// A listener's share: everything from `positions` on comes through `receiver`.
#[derive(Debug)]
pub struct Subscription {
    pub receiver: broadcast::Receiver<Arc<Transition>>,
    pub positions: Positions,
    /// What came just before `positions`, in order.
    pub recent: Vec<Arc<Transition>>,
    older_ms: BTreeMap<PartitionId, i64>,
    started_ms: i64,
}

impl Subscription {
    /// Everything that is neither in `recent` nor still to come was detected, in this partition of
    /// `heartbeats`, at this record time or before.
    #[must_use]
    pub fn older_than_recent_ms(&self, cause_partition: PartitionId) -> i64 {
        self.older_ms.get(&cause_partition).copied().unwrap_or(self.started_ms + CLOCK_MARGIN_MS)
    }
}

/// The shared tail; clones share it.
#[derive(Clone)]
pub struct Hub(Arc<Shared>);

struct Shared {
    topics: Arc<dyn TopicClient>,
    state: Mutex<State>,
    /// Whether the tail runs, or why it does not yet.
    running: watch::Sender<Result<bool, LogError>>,
}

struct State {
    started: bool,
    started_ms: i64,
    positions: Positions,
    recent: VecDeque<Arc<Transition>>,
    older_ms: BTreeMap<PartitionId, i64>,
    sender: broadcast::Sender<Arc<Transition>>,
}

impl State {
    fn new(started: bool) -> Self {
        Self {
            started,
            started_ms: 0,
            positions: Positions::default(),
            recent: VecDeque::new(),
            older_ms: BTreeMap::new(),
            sender: broadcast::channel(BEHIND_MAX).0,
        }
    }
}

impl Hub {
    #[must_use]
    pub fn new(topics: Arc<dyn TopicClient>) -> Self {
        let state = State::new(false);
        Self(Arc::new(Shared { topics, state: Mutex::new(state), running: watch::channel(Ok(false)).0 }))
    }

    /// Begins to listen; waits for the tail if it has to be started.
    pub async fn subscribe(&self) -> Result<Subscription, ApiError> {
        let mut running = self.0.running.subscribe();
        if !std::mem::replace(&mut self.0.state().started, true) {
            tokio::spawn(run(Arc::downgrade(&self.0), self.0.topics.clone()));
        }
        let subscribed = async {
            while running.wait_for(|state| *state == Ok(true)).await.is_ok() {
                if let Some(subscription) = self.0.subscription() {
                    return Some(subscription);
                }
            }
            None
        };
        if let Ok(Some(subscription)) = tokio::time::timeout(START_WITHIN, subscribed).await {
            return Ok(subscription);
        }
        let why = self.0.running.borrow().clone().err();
        let why = why.map_or_else(|| "the log does not answer".to_owned(), |error| error.message);
        Err(ApiError::unavailable("log_away", format!("topic {}: {why}", Topic::Presence)))
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A share of the tail, if it runs.
    fn subscription(&self) -> Option<Subscription> {
        let state = self.state();
        (*self.running.borrow() == Ok(true)).then(|| Subscription {
            receiver: state.sender.subscribe(),
            positions: state.positions.clone(),
            recent: state.recent.iter().cloned().collect(),
            older_ms: state.older_ms.clone(),
            started_ms: state.started_ms,
        })
    }

    /// Forgets everything, so that the tail begins anew and every listener's channel is closed.
    fn forget(&self) {
        let mut state = self.state();
        *state = State::new(true);
        let _ = self.running.send_replace(Ok(false));
    }

    /// Where the tail is, and what it brings, change together: a listener can come in between two records
    /// only.
    fn take(&self, record: &TailRecord) {
        let transition = decode(record).map(Arc::new);
        let mut state = self.state();
        if !state.positions.pass(record.partition, record.offset) {
            return;
        }
        let Some(transition) = transition else { return };
        state.recent.push_back(transition.clone());
        if state.recent.len() > RECENT_MAX
            && let Some(old) = state.recent.pop_front()
        {
            let older_ms = state.older_ms.entry(old.cause_partition).or_insert(old.detected_at_ms);
            *older_ms = old.detected_at_ms.max(*older_ms);
        }
        // Nobody listening is no error.
        let _ = state.sender.send(transition);
    }
}

/// Follows the topic for as long as the hub lives.
async fn run(hub: std::sync::Weak<Shared>, topics: Arc<dyn TopicClient>) {
    let mut from = TailFrom::End;
    loop {
        let error = match topics.tail(Topic::Presence, from.clone()).await {
            Ok(tail) => match follow(&hub, tail).await {
                Some(error) => error,
                None => return,
            },
            Err(error) => error,
        };
        let Some(shared) = hub.upgrade() else { return };
        tracing::warn!(%error, "following topic presence failed; trying again");
        let reached = shared.state().positions.clone();
        from = TailFrom::Positions(reached.iter().collect());
        if reached.iter().next().is_none() {
            let _ = shared.running.send_replace(Err(error));
            from = TailFrom::End;
        } else if is_gone(&*topics, &reached).await {
            tracing::warn!(
                "topic presence was made anew, or has lost what was not read yet; beginning at its end"
            );
            shared.forget();
            from = TailFrom::End;
        }
        drop(shared);
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

/// Whether the log has one of these positions no longer, or not yet: it is another one by the same name, or
/// it was cut. A log that does not answer has them until it says otherwise.
async fn is_gone(topics: &dyn TopicClient, reached: &Positions) -> bool {
    let Ok(bounds) = topics.bounds(Topic::Presence).await else { return false };
    let within = |(partition, offset): (PartitionId, Offset)| {
        let mut of_partition = bounds.iter().filter(|(other, _)| *other == partition);
        of_partition.any(|(_, bounds)| (bounds.first..=bounds.end).contains(&offset))
    };
    !reached.iter().all(within)
}

/// Passes on what a tail brings, until it fails; `None` when the hub is gone.
async fn follow(hub: &std::sync::Weak<Shared>, mut tail: Tail) -> Option<LogError> {
    {
        let shared = hub.upgrade()?;
        let mut state = shared.state();
        if state.started_ms == 0 {
            state.started_ms = now_ms();
        }
        let known = std::mem::take(&mut state.positions);
        state.positions = known.or(&tail.positions.iter().copied().collect());
        let _ = shared.running.send_replace(Ok(true));
    }
    loop {
        let record = tail.next().await;
        let shared = hub.upgrade()?;
        match record {
            Some(Ok(record)) => shared.take(&record),
            Some(Err(error)) => return Some(error),
            None => return Some(LogError::retriable("the tail has ended")),
        }
    }
}

#[derive(Deserialize)]
struct Raw {
    user: String,
    version: u64,
    detected_at: i64,
    origin: RawOrigin,
}

#[derive(Deserialize)]
struct RawOrigin {
    partition: PartitionId,
}

/// A transition as a record says it; `None` for what is none.
pub fn decode(record: &TailRecord) -> Option<Transition> {
    let value = record.value.clone()?;
    let raw: Raw = serde_json::from_slice(&value).ok()?;
    Some(Transition {
        partition: record.partition,
        offset: record.offset,
        user: raw.user,
        version: raw.version,
        detected_at_ms: raw.detected_at,
        cause_partition: raw.origin.partition,
        value,
    })
}
