//! The clients of a deployment: those that send heartbeats, and those that talk and read.

use crate::{
    log::PartitionId,
    sim::{Network, log::partition::Content},
    topology::Topic,
};

use super::plan::Plan;

pub mod chat;
pub mod heartbeats;
mod sends;

use chat::Chat;
use heartbeats::Heartbeats;

/// All clients of a deployment.
pub struct Clients {
    heartbeats: Heartbeats,
    chat: Chat,
    silent_until_ms: u64,
    stopped: bool,
    sent: u64,
}

/// The way to the broker.
struct Wire<'a> {
    network: &'a mut Network,
    /// The producers are cut off.
    silent: bool,
    sent: u64,
}

impl Clients {
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        Self {
            heartbeats: Heartbeats::new(plan),
            chat: Chat::new(plan),
            silent_until_ms: 0,
            stopped: false,
            sent: 0,
        }
    }

    /// When the next client does something.
    #[must_use]
    pub fn next_ms(&self) -> u64 {
        if self.stopped { u64::MAX } else { self.heartbeats.next_ms().min(self.chat.next_ms()) }
    }

    /// Records that the broker took.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// All clients are silent from here on.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    /// The producers are cut off until then.
    pub fn fall_silent(&mut self, until_ms: u64) {
        self.silent_until_ms = until_ms;
    }

    /// Lets every client act whose time has come.
    pub fn act(&mut self, now_ms: u64, network: &mut Network) {
        let mut wire = Wire { network, silent: now_ms < self.silent_until_ms, sent: 0 };
        self.heartbeats.act(now_ms, &mut wire);
        self.chat.act(now_ms, &mut wire);
        self.sent += wire.sent;
    }
}

impl Wire<'_> {
    fn send(&mut self, topic: Topic, partition: PartitionId, content: Content) {
        if self.network.append(topic, partition, content).is_some() {
            self.sent += 1;
        }
    }
}
