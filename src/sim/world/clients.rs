//! The clients of a deployment: those that send heartbeats, and those that talk and read.

use std::collections::VecDeque;

use crate::{
    log::PartitionId,
    sim::{Fault, Network, log::partition::Content},
    topology::Topic,
};

use super::{case::Sent, plan::Plan};

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
    /// What is sent instead of what clients would send.
    script: Option<VecDeque<Sent>>,
    /// What was sent, where that is kept.
    recorded: Option<Vec<Sent>>,
}

/// The way to the broker.
struct Wire<'a> {
    network: &'a mut Network,
    /// The producers are cut off.
    silent: bool,
    sent: u64,
    recorded: Option<&'a mut Vec<Sent>>,
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
            script: None,
            recorded: None,
        }
    }

    /// Keeps from now on what is sent.
    pub fn record(&mut self) {
        self.recorded = Some(Vec::new());
    }

    /// What was sent since [`Clients::record`].
    #[must_use]
    pub fn into_recorded(self) -> Vec<Sent> {
        self.recorded.unwrap_or_default()
    }

    /// From now on exactly this is sent.
    pub fn follow(&mut self, records: Vec<Sent>) {
        self.script = Some(records.into());
    }

    /// When the next client does something.
    #[must_use]
    pub fn next_ms(&self) -> u64 {
        match &self.script {
            _ if self.stopped => u64::MAX,
            Some(script) => script.front().map_or(u64::MAX, |sent| sent.at_ms),
            None => self.heartbeats.next_ms().min(self.chat.next_ms()),
        }
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
        let silent = now_ms < self.silent_until_ms;
        let mut wire = Wire { network, silent, sent: 0, recorded: self.recorded.as_mut() };
        if let Some(script) = &mut self.script {
            while script.front().is_some_and(|sent| sent.at_ms <= now_ms)
                && let Some(Sent { topic, partition, content, .. }) = script.pop_front()
            {
                wire.send(topic, partition, content);
            }
            self.sent += wire.sent;
            return;
        }
        self.heartbeats.act(now_ms, &mut wire);
        self.chat.act(now_ms, &mut wire);
        self.sent += wire.sent;
    }
}

impl Wire<'_> {
    /// What is about to be sent is meant to be wrong.
    fn note(&mut self, fault: Fault, topic: Topic) {
        self.network.bring_about(fault, Some(topic));
    }

    fn send(&mut self, topic: Topic, partition: PartitionId, content: Content) {
        if let Some(recorded) = &mut self.recorded {
            let (at_ms, content) = (self.network.now_ms(), content.clone());
            recorded.push(Sent { at_ms, topic, partition, content });
        }
        if self.network.append(topic, partition, content).is_some() {
            self.sent += 1;
        }
    }
}
