//! A client that chats straight into Kafka: groups of 2 to 500 members and direct conversations, sends that
//! are repeated, ids that are used for something else, membership changes in between, receipts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow};
use heartline::topology::{Topic, Topology};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use serde_json::{Value, json};

use super::deployment::lasting_client;

const GROUPS: usize = 160;
const DIRECT: usize = 40;
const USERS: usize = 2_000;
const MEMBERS_MAX: usize = 500;
/// Something is said this often; the small groups talk more than the large ones.
const SAY_EVERY: Duration = Duration::from_millis(60);

/// What the chat did.
#[derive(Debug, Default)]
pub struct Said {
    pub records: u64,
    pub repeated: u64,
    pub conflicting: u64,
    pub membership_changes: u64,
    pub receipts: u64,
}

pub struct Chat {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Said>>,
}

impl Chat {
    pub fn start(kafka: &str) -> Result<Self> {
        let producer: ThreadedProducer<DefaultProducerContext> = lasting_client(kafka)
            .set("enable.idempotence", "true")
            .set("message.timeout.ms", "600000")
            .create()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || Act::new(producer).run(&stopped));
        Ok(Self { stop, thread })
    }

    /// Ends the talk and waits until everything is in the log.
    pub fn stop(self) -> Result<Said> {
        self.stop.store(true, Ordering::Release);
        self.thread.join().map_err(|_| anyhow!("the chat panicked"))?
    }
}

struct Act {
    producer: ThreadedProducer<DefaultProducerContext>,
    topology: Topology,
    random: fastrand::Rng,
    /// Conversations with some of their users.
    conversations: Vec<(String, Vec<String>)>,
    /// Sends and membership changes that may be repeated.
    former: Vec<(String, Value)>,
    said: Said,
    number: u64,
}

fn user(number: usize) -> String {
    format!("member-{number}")
}

impl Act {
    fn new(producer: ThreadedProducer<DefaultProducerContext>) -> Self {
        let mut random = fastrand::Rng::with_seed(11);
        let mut conversations = Vec::new();
        for number in 0..GROUPS {
            // Most groups are small.
            let size = 2 + (MEMBERS_MAX - 2) * number * number / ((GROUPS - 1) * (GROUPS - 1));
            let first = random.usize(0..USERS);
            let members = (first..first + size).map(|number| user(number % USERS)).collect();
            conversations.push((format!("group/g:{number}"), members));
        }
        for number in 0..DIRECT {
            let (a, b) = (user(number), user(USERS / 2 + number));
            let (a, b) = if a < b { (a, b) } else { (b, a) };
            conversations.push((format!("direct/{a}/{b}"), vec![a, b]));
        }
        let topology = Topology::shipped();
        Self {
            producer,
            topology,
            random,
            conversations,
            former: Vec::new(),
            said: Said::default(),
            number: 0,
        }
    }

    fn run(mut self, stop: &AtomicBool) -> Result<Said> {
        for number in 0..GROUPS {
            let (conversation, members) = self.conversations[number].clone();
            let value = json!({"v": 1, "type": "members", "conversation": conversation, "by": "founder",
                "client_id": "founding", "add": members});
            self.send(Topic::Sends, &conversation, &value)?;
        }
        let mut next = Instant::now();
        while !stop.load(Ordering::Acquire) {
            self.act()?;
            next += SAY_EVERY;
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        self.producer.flush(Duration::from_secs(60)).context("the last messages")?;
        Ok(self.said)
    }

    fn act(&mut self) -> Result<()> {
        match self.random.u32(0..100) {
            0..60 => self.say(),
            60..75 => self.repeat(),
            75..80 => self.conflict(),
            80..88 => self.change_members(),
            _ => self.read(),
        }
    }

    fn some_conversation(&mut self) -> (String, String) {
        let share = self.random.f64();
        let index = (share * share * self.conversations.len() as f64) as usize;
        let (conversation, users) = &self.conversations[index];
        let sender = users[self.random.usize(0..users.len())].clone();
        (conversation.clone(), sender)
    }

    fn say(&mut self) -> Result<()> {
        let (conversation, sender) = self.some_conversation();
        self.number += 1;
        let padding = "x".repeat(if self.random.u32(0..20) == 0 { 2_000 } else { 100 });
        let body = json!({"text": padding, "number": self.number});
        let mut value = json!({"v": 1, "type": "message", "conversation": conversation, "sender": sender,
            "client_id": format!("c-{}", self.number), "body": body, "sent_at": 1_760_000_000_000_u64});
        if self.random.u32(0..20) == 0 {
            value["recipients"] = json!([user(1), user(2), user(1), "not/an id"]);
        }
        self.former.push((conversation.clone(), value.clone()));
        self.send(Topic::Sends, &conversation, &value)
    }

    fn repeat(&mut self) -> Result<()> {
        let Some((conversation, value)) = self.some_former() else { return Ok(()) };
        self.said.repeated += 1;
        self.send(Topic::Sends, &conversation, &value)
    }

    fn conflict(&mut self) -> Result<()> {
        let Some((conversation, mut value)) = self.some_former() else { return Ok(()) };
        match value["type"].as_str() {
            Some("message") => value["body"] = json!("something else"),
            _ => value["add"] = json!(["somebody-else"]),
        }
        self.said.conflicting += 1;
        self.send(Topic::Sends, &conversation, &value)
    }

    fn some_former(&mut self) -> Option<(String, Value)> {
        // The last few mostly, as a client that has no answer would.
        let back = self.random.usize(1..=self.former.len().clamp(1, 200));
        self.former.len().checked_sub(back).map(|index| self.former[index].clone())
    }

    fn change_members(&mut self) -> Result<()> {
        let index = self.random.usize(0..GROUPS);
        let conversation = self.conversations[index].0.clone();
        self.number += 1;
        self.said.membership_changes += 1;
        let (added, removed) = (self.random.usize(0..USERS), self.random.usize(0..USERS));
        let leaver = self.random.choice(&self.conversations[index].1).cloned().unwrap_or_default();
        let mut value = json!({"v": 1, "type": "members", "conversation": conversation, "by": "founder",
            "client_id": format!("m-{}", self.number), "add": [user(added)]});
        if added != removed && leaver != user(added) {
            value["remove"] = json!([leaver]);
        }
        self.former.push((conversation.clone(), value.clone()));
        self.send(Topic::Sends, &conversation, &value)
    }

    fn read(&mut self) -> Result<()> {
        let (conversation, reader) = self.some_conversation();
        self.said.receipts += 1;
        let (inbox, seq) = (self.random.u32(0..100), self.random.u32(0..30));
        let value = match self.random.bool() {
            true => json!({"v": 1, "type": "read", "user": reader, "inbox": inbox}),
            false => {
                json!({"v": 1, "type": "read", "user": reader, "conversation": conversation, "seq": seq})
            }
        };
        self.send(Topic::Receipts, &reader, &value)
    }

    fn send(&mut self, topic: Topic, key: &str, value: &Value) -> Result<()> {
        let partition = self.topology.place(topic, key.as_bytes());
        let payload = value.to_string();
        let record = BaseRecord::to(topic.name()).payload(&payload).key(key).partition(partition as i32);
        self.said.records += 1;
        self.producer.send(record).map_err(|(error, _)| error).context("a send")
    }
}
