//! What one listener gets, frame by frame.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use axum::body::Bytes;
use tokio::{
    sync::{OwnedSemaphorePermit, broadcast::error::RecvError, watch},
    time::{Instant, Interval, interval_at},
};

use super::{
    handover::Handover,
    hub::{Subscription, Transition},
};
use crate::{
    client::{Tail, TailEvent},
    http::{positions::Positions, sse},
    log::LogError,
};

/// A listener's own tail, and the permit to have one.
pub struct OwnTail {
    pub tail: Tail,
    pub handover: Handover,
    pub permit: OwnedSemaphorePermit,
}

/// A listener.
pub struct Feed {
    pub subscription: Subscription,
    /// `None`: everybody.
    pub users: Option<BTreeSet<String>>,
    /// Where the listener is.
    pub positions: Positions,
    /// The versions that a snapshot told.
    pub told: BTreeMap<String, u64>,
    pub own: Option<OwnTail>,
    pub shutdown: watch::Receiver<bool>,
    /// Frames to be sent before anything else.
    pub frames: VecDeque<Bytes>,
    ended: bool,
    keep_alive: Interval,
}

enum Turn {
    Shared(Result<Arc<Transition>, RecvError>),
    Own(Option<Result<TailEvent, LogError>>),
    KeepAlive,
    Shutdown,
}

impl Feed {
    #[must_use]
    pub fn new(subscription: Subscription, positions: Positions, shutdown: watch::Receiver<bool>) -> Self {
        let first = Instant::now() + sse::KEEP_ALIVE_EVERY;
        Self {
            subscription,
            users: None,
            positions,
            told: BTreeMap::new(),
            own: None,
            shutdown,
            frames: VecDeque::new(),
            ended: false,
            keep_alive: interval_at(first, sse::KEEP_ALIVE_EVERY),
        }
    }

    /// The next frame; `None` when it was the last.
    pub async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(frame) = self.frames.pop_front() {
                return Some(frame);
            }
            if self.ended {
                return None;
            }
            match self.turn().await {
                Turn::Shared(Ok(transition)) => {
                    let (partition, offset) = (transition.partition, transition.offset);
                    if self.own.as_mut().is_none_or(|own| own.handover.shared(partition, offset)) {
                        self.deliver(&transition);
                    }
                }
                Turn::Shared(Err(RecvError::Lagged(_))) => {
                    self.end("too slow to keep up; connect again with Last-Event-ID to go on without loss");
                }
                Turn::Own(Some(Ok(event))) => self.own_event(event),
                Turn::Own(Some(Err(error))) => self.fail(&error.message),
                Turn::Own(None) => self.fail("the topic's reading has ended"),
                Turn::KeepAlive => {
                    self.frames.push_back(sse::comment("keep-alive", Some(&self.positions.to_string())));
                }
                Turn::Shared(Err(RecvError::Closed)) => {
                    self.end(
                        "the topic was made anew or has lost records; connect again with a snapshot of the users \
                         that you follow, or without one to hear what comes from now on",
                    );
                }
                Turn::Shutdown => {
                    self.end("shutting down; connect again with Last-Event-ID to go on without loss");
                }
            }
        }
    }

    async fn turn(&mut self) -> Turn {
        let own = async {
            match &mut self.own {
                Some(own) => own.tail.events.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = self.shutdown.wait_for(|down| *down) => Turn::Shutdown,
            shared = self.subscription.receiver.recv() => Turn::Shared(shared),
            record = own => Turn::Own(record),
            _ = self.keep_alive.tick() => Turn::KeepAlive,
        }
    }

    fn own_event(&mut self, event: TailEvent) {
        let Some(OwnTail { handover, .. }) = &mut self.own else { return };
        match event {
            TailEvent::Record(record) => {
                let takes = handover.own(record.partition, record.offset);
                if takes && let Some(transition) = super::hub::decode(&record) {
                    self.deliver(&transition);
                }
            }
            TailEvent::End(partition, end) => {
                if let Some(reached) = handover.own_end(partition, end) {
                    self.positions.reach(partition, reached);
                }
            }
        }
        self.own = self.own.take().filter(|own| !own.handover.is_finished());
    }

    fn deliver(&mut self, transition: &Transition) {
        if !self.positions.pass(transition.partition, transition.offset) {
            return;
        }
        let id = || self.positions.to_string();
        if self.wants(transition) {
            self.frames.extend(frame(transition, Some(id())));
        }
    }

    /// Whether the listener asked for the user and has not been told already.
    pub fn wants(&self, transition: &Transition) -> bool {
        let listed = self.users.as_ref().is_none_or(|users| users.contains(&transition.user));
        listed && self.told.get(&transition.user).is_none_or(|told| transition.version > *told)
    }

    fn end(&mut self, why: &str) {
        self.frames.push_back(sse::comment(why, None));
        self.ended = true;
    }

    fn fail(&mut self, message: &str) {
        self.frames.push_back(sse::failure(message));
        self.ended = true;
    }
}

/// The transition as an event; its value is the record's, as it is.
pub fn frame(transition: &Transition, id: Option<String>) -> Option<Bytes> {
    let data = std::str::from_utf8(&transition.value).ok()?.to_owned();
    Some(sse::Event { id, event: "transition".to_owned(), data }.encode())
}
