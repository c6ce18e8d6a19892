//! What is told of a user and of its sessions: records and rows.

use serde_json::{Map, Value, json};

use super::{Now, Person, Session};
use crate::table;

/// The generation of a partition that nobody adopted.
const GENERATION: i32 = 1;

/// The order is the priority over a user's sessions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    #[default]
    Offline,
    Away,
    Online,
    Busy,
}

impl Status {
    pub fn name(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Away => "away",
            Self::Online => "online",
            Self::Busy => "busy",
        }
    }
}

/// What is public of a user: texts only while it does not look offline.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Public {
    pub status: Status,
    pub status_text: Option<String>,
    pub activity: Option<String>,
}

/// Why a user's status is what it is.
#[derive(Debug, Clone)]
pub struct Why {
    pub cause: &'static str,
    pub session: Option<String>,
    pub device: Option<String>,
    pub occurred_at: i64,
}

pub fn transition(now: &Now<'_>, user: &str, person: &Person, from: Status, why: Why) -> Value {
    let Public { status, status_text, activity } = &person.public;
    let texts = [
        ("session", why.session.as_ref()),
        ("device", why.device.as_ref()),
        ("status_text", status_text.as_ref()),
        ("activity", activity.as_ref()),
    ];
    let value = json!({
        "v": 1, "type": "transition", "user": user, "version": person.version, "from": from.name(),
        "to": status.name(), "cause": why.cause, "sessions": person.sessions.len(),
        "occurred_at": why.occurred_at, "detected_at": now.time_ms, "last_seen": person.last_seen,
        "origin": {"partition": now.partition, "offset": now.offset},
    });
    with(value, texts)
}

pub fn session(now: &Now<'_>, user: &str, id: &str, session: &Session, event: &str, live: u64) -> Value {
    let value = json!({
        "v": 1, "type": "session", "event": event, "user": user, "session": id, "sessions": live,
        "origin": {"partition": now.partition, "offset": now.offset},
    });
    with(value, [("device", session.device.as_ref()), ("gateway", session.gateway.as_ref())])
}

/// What there is not is left out.
fn with<const N: usize>(value: Value, texts: [(&str, Option<&String>); N]) -> Value {
    let mut fields = if let Value::Object(fields) = value { fields } else { Map::new() };
    for (name, text) in texts {
        fields.extend(text.map(|text| (name.to_owned(), Value::from(text.clone()))));
    }
    Value::Object(fields)
}

/// A user's own row.
pub fn user_row(now: &Now<'_>, person: &Person) -> Vec<table::Value> {
    let choice = &person.choice;
    vec![
        table::Value::BigInt(now.offset + 1),
        table::Value::text(person.public.status.name()),
        table::Value::optional_text(choice.status.as_deref()),
        choice.until_ms.map_or(table::Value::Null, table::Value::BigInt),
        table::Value::optional_text(choice.status_text.as_deref()),
        table::Value::optional_text(choice.activity.as_deref()),
        table::Value::BigInt(person.version as i64),
        table::Value::BigInt(person.last_seen),
        table::Value::Null,
        table::Value::Null,
        table::Value::Null,
        table::Value::Int(GENERATION),
    ]
}

/// A live session's row.
pub fn session_row(now: &Now<'_>, session: &Session) -> Vec<table::Value> {
    let mut cells = vec![table::Value::Null; 12];
    cells[0] = table::Value::BigInt(now.offset + 1);
    cells[1] = table::Value::text(session.status.name());
    cells[8] = table::Value::optional_text(session.device.as_deref());
    cells[9] = table::Value::optional_text(session.gateway.as_deref());
    cells[10] = table::Value::optional_text(session.metadata.as_deref());
    cells[11] = table::Value::Int(GENERATION);
    cells
}
