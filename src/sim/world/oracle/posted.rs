//! Records of `deliveries` and `inbox`, as plain serde reads them.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Said;

/// A message in such a record, and whom it goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    pub conversation: String,
    pub seq: i64,
    pub said: Said,
    /// With the number of the entry, where it has one.
    pub to: Vec<(String, Option<i64>)>,
}

#[derive(Deserialize)]
struct Record {
    v: u32,
    #[serde(rename = "type")]
    kind: String,
    messages: Vec<Message>,
}

#[derive(Deserialize)]
struct Message {
    conversation: String,
    seq: i64,
    sender: String,
    client_id: String,
    session: Option<String>,
    sent_at: Option<i64>,
    accepted_at: i64,
    body: Box<RawValue>,
    #[serde(default)]
    recipients: Vec<String>,
    #[serde(default)]
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    user: String,
    seq: i64,
}

/// Reads a record of this type.
pub fn read(kind: &str, value: Option<&[u8]>) -> Result<Vec<Posted>, String> {
    let record: Record = serde_json::from_slice(value.unwrap_or_default())
        .map_err(|error| format!("a record of {kind} cannot be read: {error}"))?;
    if (record.v, &*record.kind) != (1, kind) {
        return Err(format!("a record of {kind} says that it is '{}' of version {}", record.kind, record.v));
    }
    Ok(record.messages.into_iter().map(Posted::from).collect())
}

impl From<Message> for Posted {
    fn from(message: Message) -> Self {
        let recipients = message.recipients.into_iter().map(|user| (user, None));
        let entries = message.entries.into_iter().map(|entry| (entry.user, Some(entry.seq)));
        Self {
            conversation: message.conversation,
            seq: message.seq,
            said: Said {
                sender: message.sender,
                client_id: message.client_id,
                session: message.session,
                sent_at: message.sent_at,
                accepted_at: message.accepted_at,
                body: message.body.get().to_owned(),
            },
            to: recipients.chain(entries).collect(),
        }
    }
}
