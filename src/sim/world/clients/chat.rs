//! Those who talk and read: sends in groups and between two, the same again, changes of membership, receipts,
//! and now and then something that no client should send.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use fastrand::Rng;

use super::{
    super::{
        newer::with_more,
        oracle::letters::FAKE,
        plan::{ChatPlan, Plan},
    },
    Wire,
    sends::{Change, Message, Send, faulty_receipt, faulty_send, garbage, receipt},
};
use crate::{
    limits::{INLINE_BODY_BYTES, SEND_BYTES_MAX},
    log::{Header, PartitionId},
    processor::FORWARDED,
    sim::{Fault, log::partition::Content},
    topology::{Topic, Topology},
};

/// Messages of a burst, and the bytes of each: more than a record of deliveries holds.
const BURST: usize = 10;
/// Of a record that the log takes and no dead letter can carry whole.
const LARGE_BYTES: usize = 1_000_000;
const BURST_BODY_BYTES: usize = 60 * 1024;
/// For how long a late record is on its way.
const LATE_MS: Range<u64> = 2_000..30_000;
/// Recipients that are no ids.
const UNUSABLE: [&str; 4] = [r#""a/b""#, "5", r#""""#, "null"];

/// Everybody who talks.
pub struct Chat {
    random: Rng,
    topology: Arc<Topology>,
    plan: ChatPlan,
    oddities_per_mille: u32,
    newer: bool,
    /// Groups first.
    conversations: Vec<String>,
    /// What was sent, to be sent again.
    history: Vec<Send>,
    /// Groups that have had their first members.
    founded: u32,
    /// Records that are on their way for longer than those that follow, and until when.
    late: Vec<(u64, Topic, PartitionId, Content)>,
    last_id: u64,
    next_ms: u64,
}

impl Chat {
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        let mut random = Rng::with_seed(plan.seed ^ 0x6368_6174);
        let chat = plan.chat.clone();
        let mut conversations: Vec<_> = (0..chat.groups).map(|number| format!("group/g-{number}")).collect();
        for _ in 0..chat.directs {
            let [a, b] = [(); 2].map(|()| format!("user-{}", random.u32(0..chat.users)));
            conversations.push(format!("direct/{}/{}", (&a).min(&b), (&a).max(&b)));
        }
        Self {
            next_ms: random.u64(0..5_000),
            random,
            topology: Arc::clone(&plan.topology),
            plan: chat,
            oddities_per_mille: plan.oddities_per_mille,
            newer: plan.newer_clients,
            conversations,
            history: Vec::new(),
            founded: 0,
            late: Vec::new(),
            last_id: 0,
        }
    }

    /// When somebody does something next.
    #[must_use]
    pub fn next_ms(&self) -> u64 {
        self.late.iter().map(|(at_ms, ..)| *at_ms).fold(self.next_ms, u64::min)
    }

    /// Lets somebody act if it is time.
    pub(super) fn act(&mut self, now_ms: u64, wire: &mut Wire<'_>) {
        let due = self.late.extract_if(.., |(at_ms, ..)| *at_ms <= now_ms);
        for (_, topic, partition, content) in due.collect::<Vec<_>>() {
            wire.note(Fault::Late, topic);
            wire.send(topic, partition, content);
        }
        if now_ms < self.next_ms {
            return;
        }
        self.next_ms = now_ms + self.random.u64(1..=2 * self.plan.pause_ms);
        if wire.silent {
            return;
        }
        if self.random.u32(0..1_000) < self.oddities_per_mille {
            self.send_oddity(now_ms, wire);
        }
        if self.founded < self.plan.groups {
            return self.found(wire);
        }
        match self.random.u32(0..1_000) {
            0..=599 => {
                let send = Send::Message(self.message());
                self.send_new(send, wire);
            }
            600..=719 => {
                if let Some(send) = self.earlier() {
                    wire.note(Fault::Repeated, Topic::Sends);
                    self.send(&send, wire);
                }
            }
            720..=739 => {
                if let Some(send) = self.earlier() {
                    self.send(&send.altered(), wire);
                }
            }
            740..=819 => {
                let send = Send::Change(self.change());
                self.send_new(send, wire);
            }
            _ => self.read(wire),
        }
        if self.random.u32(0..1_000) < self.plan.bursts_per_mille {
            self.burst(wire);
        }
    }

    /// The first members of the next group.
    fn found(&mut self, wire: &mut Wire<'_>) {
        let conversation = format!("group/g-{}", self.founded);
        self.founded += 1;
        let mut change = self.change();
        change.conversation = conversation;
        change.add = Some((0..self.plan.members).map(|number| format!("user-{number}")).collect());
        change.remove = None;
        self.send_new(Send::Change(change), wire);
    }

    fn message(&mut self) -> Message {
        let random = &mut self.random;
        let conversation = random.choice(&self.conversations).cloned().unwrap_or_default();
        let sender = format!("user-{}", random.u32(0..self.plan.users));
        self.last_id += 1;
        let body = match random.u32(0..6) {
            0 => "null".to_owned(),
            1 => format!(r#"[1e400, 1.0, {}]"#, self.last_id),
            2 => r#""ünï\u00e7\n""#.to_owned(),
            _ => format!(r#"{{"z": 1, "text":"message {}"}}"#, self.last_id),
        };
        let large = random.u32(0..1_000) < self.plan.large_per_mille;
        let large_bytes = random.usize(INLINE_BODY_BYTES - 10..3 * INLINE_BODY_BYTES);
        let recipients = match random.u32(0..10) {
            0..=6 => None,
            kind => {
                let count = random.u32(0..6);
                let mut names: Vec<_> = (0..count)
                    .map(|_| format!(r#""user-{}""#, random.u32(0..self.plan.users.min(60))))
                    .collect();
                if kind == 9 {
                    for _ in 0..random.u32(1..=3) {
                        names.extend(random.choice(&UNUSABLE).map(ToString::to_string));
                    }
                    random.shuffle(&mut names);
                }
                Some(names)
            }
        };
        Message {
            conversation,
            sender,
            client_id: format!("c-{}", self.last_id),
            body: if large { format!("\"{}\"", "l".repeat(large_bytes)) } else { body },
            recipients,
            members_only: random.u32(0..10) == 0,
        }
    }

    fn change(&mut self) -> Change {
        let random = &mut self.random;
        self.last_id += 1;
        let mut some = |count: u32| -> Vec<String> {
            (0..random.u32(0..=count)).map(|_| format!("user-{}", random.u32(0..self.plan.users))).collect()
        };
        let (add, mut remove) = (some(5), some(4));
        remove.retain(|user| !add.contains(user));
        let (add, remove) = match random.u32(0..4) {
            0 => (Some(add), None),
            1 => (None, Some(remove)),
            _ => (Some(add), Some(remove)),
        };
        Change {
            conversation: format!("group/g-{}", random.u32(0..self.plan.groups)),
            by: format!("user-{}", random.u32(0..self.plan.users)),
            client_id: format!("m-{}", self.last_id),
            add,
            remove,
        }
    }

    /// Something that was sent before; often it was not long ago.
    fn earlier(&mut self) -> Option<Send> {
        let from = if self.random.bool() { self.history.len().saturating_sub(20) } else { 0 };
        self.random.choice(&self.history[from..]).cloned()
    }

    fn burst(&mut self, wire: &mut Wire<'_>) {
        let conversation = self.random.choice(&self.conversations).cloned().unwrap_or_default();
        for _ in 0..BURST {
            let mut message = self.message();
            message.conversation.clone_from(&conversation);
            message.body = format!("\"{}\"", "b".repeat(BURST_BODY_BYTES));
            self.send(&Send::Message(message), wire);
        }
    }

    /// Somebody has read something, or says so.
    fn read(&mut self, wire: &mut Wire<'_>) {
        let random = &mut self.random;
        let user = format!("user-{}", random.u32(0..self.plan.users));
        let bound = self.last_id as i64 + 2;
        let inbox = (random.u32(0..3) > 0).then(|| random.i64(0..bound));
        let conversation = random.choice(&self.conversations).map(String::as_str);
        let conversation = conversation.filter(|_| inbox.is_none() || random.u32(0..3) == 0);
        let conversation = conversation.map(|conversation| (conversation, random.i64(0..bound)));
        let value = receipt(&user, inbox, conversation);
        let partition = self.topology.place(Topic::Receipts, user.as_bytes());
        wire.send(Topic::Receipts, partition, content(&user, value));
    }

    fn send_new(&mut self, send: Send, wire: &mut Wire<'_>) {
        self.send(&send, wire);
        self.history.push(send);
    }

    fn send(&mut self, send: &Send, wire: &mut Wire<'_>) {
        let conversation = send.conversation();
        let partition = self.topology.place(Topic::Sends, conversation.as_bytes());
        let mut content = content(conversation, send.to_json(&mut self.random));
        if self.newer
            && self.random.u32(0..8) == 0
            && let Some(newer) = content.value.as_deref().and_then(with_more)
        {
            wire.note(Fault::NewerFormat, Topic::Sends);
            content.value = Some(newer);
        }
        wire.send(Topic::Sends, partition, content);
    }

    /// Garbage, faulty or misplaced records.
    fn send_oddity(&mut self, now_ms: u64, wire: &mut Wire<'_>) {
        let partition = self.any_partition();
        let user = format!("user-{}", self.random.u32(0..self.plan.users));
        match self.random.u32(0..13) {
            0..=2 => {
                wire.note(Fault::Garbage, Topic::Sends);
                let message = self.message();
                let value = Some(faulty_send(&mut self.random, message).into());
                let key = self.random.bool().then(|| Bytes::from(user));
                wire.send(Topic::Sends, partition, Content { key, value, headers: Vec::new() });
            }
            3 => {
                wire.note(Fault::Garbage, Topic::Receipts);
                let value = Some(faulty_receipt(&mut self.random, &user).into());
                wire.send(Topic::Receipts, partition, Content { key: None, value, headers: Vec::new() });
            }
            4 => {
                wire.note(Fault::Misrouted, Topic::Sends);
                let message = Send::Message(self.message());
                let mut content = content(message.conversation(), message.to_json(&mut self.random));
                // As if it had been forwarded already: where it does not belong it is refused.
                if self.random.u32(0..3) == 0 {
                    let value = Some(Bytes::from_static(b"1"));
                    let header = |name: &str| Header { name: name.to_owned(), value: value.clone() };
                    content.headers.extend([header(FORWARDED), header(FAKE)]);
                }
                wire.send(Topic::Sends, partition, content);
            }
            5 => {
                wire.note(Fault::Misrouted, Topic::Receipts);
                let value = receipt(&user, Some(self.last_id as i64), None);
                wire.send(Topic::Receipts, partition, content(&user, value));
            }
            6 => {
                wire.note(Fault::Garbage, Topic::Deliveries);
                let value = Some(garbage(&mut self.random).into());
                wire.send(Topic::Deliveries, partition, Content { key: None, value, headers: Vec::new() });
            }
            7 => {
                wire.note(Fault::Oversize, Topic::Sends);
                let mut message = self.message();
                let bytes = *self.random.choice(&[SEND_BYTES_MAX, LARGE_BYTES]).unwrap_or(&0);
                message.body = format!("\"{}\"", "o".repeat(bytes));
                self.send(&Send::Message(message), wire);
            }
            8 | 9 => {
                // What was said before is often sent again before it arrives.
                let send = Send::Message(self.message());
                self.delay(now_ms, &send);
                self.history.push(send);
            }
            10 => {
                let send = Send::Change(self.change());
                self.delay(now_ms, &send);
                self.history.push(send);
            }
            11 => {
                let value = receipt(&user, Some(self.last_id as i64), None);
                let partition = self.topology.place(Topic::Receipts, user.as_bytes());
                let late_ms = now_ms + self.random.u64(LATE_MS);
                self.late.push((late_ms, Topic::Receipts, partition, content(&user, value)));
            }
            _ => {
                let topic = *self.random.choice(&[Topic::Sends, Topic::Receipts]).unwrap_or(&Topic::Sends);
                wire.send(topic, partition, Content::default());
            }
        }
    }

    /// A send that arrives after those that follow it.
    fn delay(&mut self, now_ms: u64, send: &Send) {
        let conversation = send.conversation();
        let partition = self.topology.place(Topic::Sends, conversation.as_bytes());
        let content = content(conversation, send.to_json(&mut self.random));
        let late_ms = now_ms + self.random.u64(LATE_MS);
        self.late.push((late_ms, Topic::Sends, partition, content));
    }

    fn any_partition(&mut self) -> PartitionId {
        self.random.u32(0..self.topology.partitions(Topic::Sends))
    }
}

fn content(key: &str, value: String) -> Content {
    Content { key: Some(Bytes::from(key.to_owned())), value: Some(value.into()), headers: Vec::new() }
}
