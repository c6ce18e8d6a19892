//! Records of `deliveries` and `inbox`, as plain serde reads them.

use std::borrow::Cow;

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
struct Record<'a> {
    v: u32,
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    messages: Vec<Message<'a>>,
}

/// A message where it stands in its record.
#[derive(Debug, Deserialize)]
pub struct Message<'a> {
    #[serde(borrow)]
    conversation: Text<'a>,
    seq: i64,
    #[serde(borrow)]
    sender: Text<'a>,
    #[serde(borrow)]
    client_id: Text<'a>,
    #[serde(borrow)]
    session: Option<Text<'a>>,
    sent_at: Option<i64>,
    accepted_at: i64,
    #[serde(borrow)]
    body: &'a RawValue,
    #[serde(borrow, default)]
    recipients: Vec<Text<'a>>,
    #[serde(borrow, default)]
    entries: Vec<Entry<'a>>,
}

#[derive(Debug, Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    user: Text<'a>,
    seq: i64,
}

/// Copied only where it has an escape.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Reads a record of this type.
pub fn read(kind: &str, value: Option<&[u8]>) -> Result<Vec<Posted>, String> {
    Ok(messages(kind, value)?.into_iter().map(Posted::from).collect())
}

/// Reads a record of this type and copies nothing of it.
pub fn messages<'a>(kind: &str, value: Option<&'a [u8]>) -> Result<Vec<Message<'a>>, String> {
    let record: Record<'_> = serde_json::from_slice(value.unwrap_or_default())
        .map_err(|error| format!("a record of {kind} cannot be read: {error}"))?;
    if (record.v, &*record.kind.0) != (1, kind) {
        return Err(format!(
            "a record of {kind} says that it is '{}' of version {}",
            record.kind.0, record.v
        ));
    }
    Ok(record.messages)
}

impl Message<'_> {
    #[must_use]
    pub fn conversation(&self) -> &str {
        &self.conversation.0
    }

    /// Whom it goes to.
    pub fn users(&self) -> impl Iterator<Item = &str> {
        let recipients = self.recipients.iter().map(|user| &*user.0);
        recipients.chain(self.entries.iter().map(|entry| &*entry.user.0))
    }

    /// Whether it is the same message, whoever it goes to.
    #[must_use]
    pub fn is_same(&self, other: &Message<'_>) -> bool {
        let numbers = |one: &Message<'_>| (one.seq, one.sent_at, one.accepted_at);
        let texts = |a: &Message<'_>, b: &Message<'_>| {
            (&a.conversation, &a.sender, &a.client_id, &a.session)
                == (&b.conversation, &b.sender, &b.client_id, &b.session)
        };
        numbers(self) == numbers(other) && texts(self, other) && self.body.get() == other.body.get()
    }
}

impl From<Message<'_>> for Posted {
    fn from(message: Message<'_>) -> Self {
        let recipients = message.recipients.into_iter().map(|user| (user.0.into_owned(), None));
        let entries = message.entries.into_iter().map(|entry| (entry.user.0.into_owned(), Some(entry.seq)));
        Self {
            conversation: message.conversation.0.into_owned(),
            seq: message.seq,
            said: Said {
                sender: message.sender.0.into_owned(),
                client_id: message.client_id.0.into_owned(),
                session: message.session.map(|session| session.0.into_owned()),
                sent_at: message.sent_at,
                accepted_at: message.accepted_at,
                body: message.body.get().to_owned(),
            },
            to: recipients.chain(entries).collect(),
        }
    }
}
