//! The standard load of sends: 120-byte bodies in groups of one size, every user in one group.

use anyhow::Result;
use heartline::{
    id::partition_of,
    topology::{Topic, Topology},
};

use super::load::{Outgoing, Sender};

pub const SENDS: &str = "sends";
/// With its quotes.
const BODY_BYTES: usize = 120;
/// Members that one record may add.
const ADD_MAX: u64 = 10_000;

/// Groups of so many members each.
pub struct Chat {
    pub groups: u64,
    pub size: u64,
    /// Conversations and users of different chats never meet.
    name: &'static str,
    partitions: u32,
}

impl Chat {
    pub fn new(name: &'static str, groups: u64, size: u64) -> Self {
        Self { groups, size, name, partitions: Topology::shipped().partitions(Topic::Sends) }
    }

    pub fn conversation(&self, group: u64) -> String {
        format!("group/{}-{group}", self.name)
    }

    /// 16 bytes.
    pub fn member(&self, group: u64, index: u64) -> String {
        let (name, number) = (self.name, group * self.size + index);
        format!("{name}{number:0width$}", width = 16 - name.len())
    }

    /// Fills the groups.
    pub fn join(&self, sender: &Sender) -> Result<()> {
        for group in 0..self.groups {
            for first in (0..self.size).step_by(ADD_MAX as usize) {
                let last = self.size.min(first + ADD_MAX);
                let members: Vec<String> =
                    (first..last).map(|index| format!("\"{}\"", self.member(group, index))).collect();
                let value = format!(
                    r#"{{"v":1,"type":"members","conversation":"{}","by":"{}","client_id":"m-{first}","add":[{}]}}"#,
                    self.conversation(group),
                    self.member(group, 0),
                    members.join(",")
                );
                self.append(sender, SENDS, group, &value)?;
            }
        }
        sender.flush()
    }

    /// Sends the message of this number to a group.
    pub fn send(&self, sender: &Sender, topic: &str, group: u64, number: u64) -> Result<()> {
        self.append(sender, topic, group, &self.message(group, number))
    }

    fn message(&self, group: u64, number: u64) -> String {
        format!(
            r#"{{"v":1,"type":"message","conversation":"{}","sender":"{}","client_id":"c-{number}","body":"{}"}}"#,
            self.conversation(group),
            self.member(group, number % self.size),
            "x".repeat(BODY_BYTES - 2)
        )
    }

    fn append(&self, sender: &Sender, topic: &str, group: u64, value: &str) -> Result<()> {
        let key = self.conversation(group);
        let partition = partition_of(key.as_bytes(), self.partitions) as i32;
        sender.send(Outgoing::new(topic, partition, &key, value))
    }
}
