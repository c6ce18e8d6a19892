//! Sends and receipts as clients write them, by hand and not by the product's code; and what no client should
//! write, each with one fault.

use std::fmt::Write as _;

use fastrand::Rng;

use crate::limits::{BODY_BYTES_MAX, JSON_DEPTH_MAX};

/// What a client says in a conversation.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub conversation: String,
    pub sender: String,
    pub client_id: String,
    /// JSON.
    pub body: String,
    /// Each as JSON; some are no ids.
    pub recipients: Option<Vec<String>>,
    pub members_only: bool,
}

/// What a client changes in a group.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub conversation: String,
    pub by: String,
    pub client_id: String,
    pub add: Option<Vec<String>>,
    pub remove: Option<Vec<String>>,
}

#[derive(Debug, Clone)]
pub(super) enum Send {
    Message(Message),
    Change(Change),
}

impl Send {
    pub fn conversation(&self) -> &str {
        match self {
            Self::Message(message) => &message.conversation,
            Self::Change(change) => &change.conversation,
        }
    }

    /// The record's value; a retry may differ in what is not the payload.
    pub fn to_json(&self, random: &mut Rng) -> String {
        match self {
            Self::Message(message) => message.to_json(random),
            Self::Change(change) => change.to_json(),
        }
    }

    /// The same id with another payload.
    pub fn altered(mut self) -> Self {
        match &mut self {
            Self::Message(message) => message.body = format!("[{}]", message.body),
            Self::Change(change) => {
                change.add.get_or_insert_default().push("somebody-else".to_owned());
            }
        }
        self
    }
}

impl Message {
    fn to_json(&self, random: &mut Rng) -> String {
        let Self { conversation, sender, client_id, body, recipients, members_only } = self;
        let mut json = format!(
            r#"{{"v":1,"type":"message","conversation":"{conversation}","sender":"{sender}",
               "client_id":"{client_id}""#
        );
        if let Some(recipients) = recipients {
            let _ = write!(json, r#","recipients":[{}]"#, recipients.join(", "));
        }
        if *members_only || random.u32(0..20) == 0 {
            let _ = write!(json, r#","members_only":{members_only}"#);
        }
        if random.u32(0..3) == 0 {
            let _ = write!(json, r#","session":"s{}""#, random.u32(0..3));
        }
        if random.bool() {
            let _ = write!(json, r#","sent_at":{}"#, random.i64(-1..2_000_000_000_000));
        }
        if random.u32(0..10) == 0 {
            json.push_str(r#","later":{"versions":["may", 1.5]}"#);
        }
        let _ = write!(json, r#", "body": {body} }}"#);
        json
    }
}

impl Change {
    fn to_json(&self) -> String {
        let Self { conversation, by, client_id, add, remove } = self;
        let mut json = format!(
            r#"{{"v":1,"type":"members","conversation":"{conversation}","by":"{by}",
               "client_id":"{client_id}""#
        );
        for (name, users) in [("add", add), ("remove", remove)] {
            if let Some(users) = users {
                let users: Vec<_> = users.iter().map(|user| format!(r#""{user}""#)).collect();
                let _ = write!(json, r#","{name}":[{}]"#, users.join(","));
            }
        }
        json.push('}');
        json
    }
}

/// A receipt for an inbox, for a conversation, or for both.
pub(super) fn receipt(user: &str, inbox: Option<i64>, conversation: Option<(&str, i64)>) -> String {
    let mut json = format!(r#"{{"v":1,"type":"read","user":"{user}""#);
    if let Some(inbox) = inbox {
        let _ = write!(json, r#","inbox":{inbox}"#);
    }
    if let Some((conversation, seq)) = conversation {
        let _ = write!(json, r#","conversation":"{conversation}","seq":{seq}"#);
    }
    json.push('}');
    json
}

/// Bytes that are no record at all.
pub(super) fn garbage(random: &mut Rng) -> Vec<u8> {
    (0..random.usize(0..80)).map(|_| random.u8(..)).collect()
}

/// A send with one fault.
pub(super) fn faulty_send(random: &mut Rng, mut message: Message) -> Vec<u8> {
    let (sender, client_id) = (message.sender.clone(), message.client_id.clone());
    let change = |conversation: &str, rest: &str| {
        format!(
            r#"{{"v":1,"type":"members","conversation":"{conversation}","by":"{sender}",
               "client_id":"{client_id}"{rest}}}"#
        )
    };
    let json = match random.u32(0..18) {
        0 => return garbage(random),
        1 => message.to_json(random) + "}",
        2 => message.to_json(random).replacen("\"v\":1", "\"v\":1,\"body\":1", 1),
        3 => {
            message.body = ["[".repeat(JSON_DEPTH_MAX), "]".repeat(JSON_DEPTH_MAX)].concat();
            message.to_json(random)
        }
        4 => {
            message.body = r#"{"a":1,"b":[{"c":1, "c":2}]}"#.to_owned();
            message.to_json(random)
        }
        5 => message.to_json(random).replacen("\"message\"", "\"massage\"", 1),
        6 => message.to_json(random).replacen("\"v\":1", "\"v\":2", 1),
        7 => {
            message.conversation = "team".to_owned();
            message.to_json(random)
        }
        8 => {
            message.conversation = "direct/zoe/adam".to_owned();
            message.to_json(random)
        }
        9 => {
            message.sender = "user/1".to_owned();
            message.to_json(random)
        }
        10 => message.to_json(random).replacen("\"body\"", "\"embodied\"", 1),
        11 => message.to_json(random).replacen("\"v\":1", "\"v\":1,\"members_only\":\"no\"", 1),
        12 => {
            message.body = format!("\"{}\"", "x".repeat(BODY_BYTES_MAX - 1));
            message.to_json(random)
        }
        13 => {
            message.client_id = "c".repeat(129);
            message.to_json(random)
        }
        14 => change("direct/user-1/user-2", r#","add":["user-3"]"#),
        15 => change("group/g-0", r#","add":["user-1","user-2"],"remove":["user-2"]"#),
        16 => change("group/g-0", ""),
        _ => change("group/g-0", r#","add":["user-1",7]"#),
    };
    json.into_bytes()
}

/// A receipt with one fault.
pub(super) fn faulty_receipt(random: &mut Rng, user: &str) -> Vec<u8> {
    let rest = match random.u32(0..7) {
        0 => return garbage(random),
        1 => "",
        2 => r#","seq":4"#,
        3 => r#","conversation":"group/g-0""#,
        4 => r#","inbox":1.0"#,
        5 => r#","inbox":-1"#,
        _ => r#","inbox":9007199254740992"#,
    };
    format!(r#"{{"v":1,"type":"read","user":"{user}"{rest}}}"#).into_bytes()
}
