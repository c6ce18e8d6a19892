//! The records of `sends`: what they say, checked.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{
    Refusal,
    heartbeats::RefusedPart,
    json::{self, ANY_INTEGER, Object},
    json_writer::JsonWriter,
};
use crate::{
    fnv::Fnv1a,
    id::{ConversationId, parse_conversation},
    limits::{BODY_BYTES_MAX, RECIPIENTS_MAX, SEND_BYTES_MAX},
    topology::Topic,
};

mod scan;

/// A valid record of `sends`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendInput<'a> {
    Message(Message<'a>),
    Members(Members<'a>),
}

/// Somebody says something in a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message<'a> {
    pub conversation: Cow<'a, str>,
    pub sender: Cow<'a, str>,
    pub client_id: Cow<'a, str>,
    /// The JSON value as it was written, byte for byte.
    pub body: &'a str,
    /// The usable ones in the order given, duplicates among them; none given: the members.
    pub recipients: Option<Vec<Cow<'a, str>>>,
    /// The recipients that are no ids, by their place in the list.
    pub refused: Vec<RefusedPart>,
    /// Refused unless the sender is a member.
    pub members_only: bool,
    pub session: Option<Cow<'a, str>>,
    /// Milliseconds since 1970 by the sender's own clock.
    pub sent_at: Option<i64>,
}

/// Somebody changes who belongs to a group. No id is in both lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Members<'a> {
    pub conversation: Cow<'a, str>,
    pub by: Cow<'a, str>,
    pub client_id: Cow<'a, str>,
    pub add: Vec<Cow<'a, str>>,
    pub remove: Vec<Cow<'a, str>>,
}

/// A record of `sends` that is refused as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedSend {
    pub refusal: Refusal,
    /// `sender`, or `by` of a `members`, where it is an id.
    pub sender: Option<String>,
    pub client_id: Option<String>,
}

/// Decodes a value of `sends`. Nothing is said about the partition, nor about who is a member: that is the
/// fold's to judge.
pub fn decode(value: Option<&[u8]>) -> Result<SendInput<'_>, RefusedSend> {
    match value.and_then(scan::message) {
        Some(message) => Ok(SendInput::Message(message)),
        None => judge_record(value),
    }
}

fn judge_record(value: Option<&[u8]>) -> Result<SendInput<'_>, RefusedSend> {
    let size = json::check_size("record", value.map_or(0, <[u8]>::len), SEND_BYTES_MAX);
    let object = json::text(value).and_then(Object::read);
    match (size, object) {
        // Read all the same, so that its sender can be told.
        (Err(refusal), object) => Err(RefusedSend::new(refusal, object.ok().as_ref())),
        (Ok(()), Err(refusal)) => Err(RefusedSend::new(refusal, None)),
        (Ok(()), Ok(object)) => judge(&object).map_err(|refusal| RefusedSend::new(refusal, Some(&object))),
    }
}

/// Encodes a valid record; of recipients only the usable ones.
#[must_use]
pub fn encode(input: &SendInput<'_>) -> Vec<u8> {
    match input {
        SendInput::Message(message) => {
            let recipients = message.recipients.as_deref().unwrap_or_default();
            let mut writer = JsonWriter::record("message", 256 + message.body.len() + 24 * recipients.len());
            writer.text("conversation", &message.conversation);
            writer.text("sender", &message.sender);
            writer.text("client_id", &message.client_id);
            writer.raw("body", message.body);
            if message.recipients.is_some() {
                writer.texts("recipients", recipients);
            }
            if message.members_only {
                writer.boolean("members_only", true);
            }
            writer.optional_text("session", message.session.as_deref());
            writer.optional_integer("sent_at", message.sent_at);
            writer.end_object();
            writer.into_vec()
        }
        SendInput::Members(members) => {
            let ids = members.add.len() + members.remove.len();
            let mut writer = JsonWriter::record("members", 160 + 24 * ids);
            writer.text("conversation", &members.conversation);
            writer.text("by", &members.by);
            writer.text("client_id", &members.client_id);
            writer.texts("add", &members.add);
            writer.texts("remove", &members.remove);
            writer.end_object();
            writer.into_vec()
        }
    }
}

impl<'a> SendInput<'a> {
    /// The conversation whose partition the record belongs to.
    #[must_use]
    pub fn conversation(&self) -> &Cow<'a, str> {
        match self {
            Self::Message(message) => &message.conversation,
            Self::Members(members) => &members.conversation,
        }
    }
}

impl Message<'_> {
    /// What a retry under the same client id must repeat: not its session nor its time. It is in rows, so it
    /// must never change.
    #[must_use]
    pub fn payload_hash(&self) -> u64 {
        let hash = Fnv1a::default()
            .field(b"message")
            .field(self.body.as_bytes())
            .bytes(&[u8::from(self.members_only), u8::from(self.recipients.is_some())]);
        hash.fields(self.recipients.as_deref().unwrap_or_default()).finish()
    }
}

impl Members<'_> {
    /// What a retry under the same client id must repeat. It is in rows, so it must never change.
    #[must_use]
    pub fn payload_hash(&self) -> u64 {
        Fnv1a::default().field(b"members").fields(&self.add).fields(&self.remove).finish()
    }
}

impl RefusedSend {
    fn new(refusal: Refusal, object: Option<&Object<'_>>) -> Self {
        let id = |name: &str| object.and_then(|object| object.id(name).ok()).map(Cow::into_owned);
        let is_members = object.is_some_and(|object| object.text("type").is_ok_and(|kind| kind == "members"));
        Self { refusal, sender: id(if is_members { "by" } else { "sender" }), client_id: id("client_id") }
    }
}

fn judge<'a>(object: &Object<'a>) -> Result<SendInput<'a>, Refusal> {
    object.check_version()?;
    match object.text("type")?.as_ref() {
        "message" => judge_message(object).map(SendInput::Message),
        "members" => judge_members(object).map(SendInput::Members),
        other => Err(json::unknown_type(Topic::Sends, other)),
    }
}

fn judge_message<'a>(object: &Object<'a>) -> Result<Message<'a>, Refusal> {
    object.check_nested(&["body", "recipients"], 1)?;
    let recipients = object.parts_field("recipients")?.optional("recipients")?;
    if let Some(parts) = &recipients {
        check_count("`recipients`", parts.len())?;
    }
    let (recipients, refused) = match recipients {
        None => (None, Vec::new()),
        Some(parts) => {
            let (usable, refused) = judge_recipients(parts);
            (Some(usable), refused)
        }
    };
    Ok(Message {
        conversation: object.conversation("conversation")?,
        sender: object.id("sender")?,
        client_id: object.id("client_id")?,
        body: object.opaque("body", BODY_BYTES_MAX)?,
        recipients,
        refused,
        members_only: object.boolean_field("members_only")?.optional("members_only")?.unwrap_or(false),
        session: object.id_field("session")?.optional("session")?,
        sent_at: object.integer_field("sent_at", ANY_INTEGER)?.optional("sent_at")?,
    })
}

/// Judges each recipient on its own, so that one that is no id costs the others nothing.
fn judge_recipients(parts: Vec<&RawValue>) -> (Vec<Cow<'_, str>>, Vec<RefusedPart>) {
    let (mut usable, mut refused) = (Vec::with_capacity(parts.len()), Vec::new());
    for (index, raw) in (0..).zip(parts) {
        match json::as_id(&"recipient", raw) {
            Ok(id) => usable.push(id),
            Err(refusal) => refused.push(RefusedPart { index, refusal }),
        }
    }
    (usable, refused)
}

fn judge_members<'a>(object: &Object<'a>) -> Result<Members<'a>, Refusal> {
    object.check_nested(&[], 1)?;
    let conversation = object.conversation("conversation")?;
    if let Ok(ConversationId::Direct(..)) = parse_conversation(&conversation) {
        return Err(json::invalid(
            "`conversation`: the members of a direct conversation are its two users; use a group",
        ));
    }
    let ids = |name: &str| object.ids_field(name)?.optional(name);
    let (add, remove) = (ids("add")?, ids("remove")?);
    if add.is_none() && remove.is_none() {
        return Err(json::invalid("`add` and `remove` are missing; give at least one of them"));
    }
    let (add, remove) = (add.unwrap_or_default(), remove.unwrap_or_default());
    check_count("`add` and `remove`", add.len() + remove.len())?;
    check_disjoint(&add, &remove)?;
    Ok(Members { conversation, by: object.id("by")?, client_id: object.id("client_id")?, add, remove })
}

fn check_disjoint(add: &[Cow<'_, str>], remove: &[Cow<'_, str>]) -> Result<(), Refusal> {
    let mut added: Vec<&str> = add.iter().map(AsRef::as_ref).collect();
    added.sort_unstable();
    match remove.iter().position(|id| added.binary_search(&id.as_ref()).is_ok()) {
        None => Ok(()),
        Some(at) => Err(json::invalid(format!("`remove[{at}]`: the id is in `add`, too"))),
    }
}

fn check_count(what: &str, count: usize) -> Result<(), Refusal> {
    if count <= RECIPIENTS_MAX {
        return Ok(());
    }
    Err(json::oversize(format!("{what}: {count} ids, at most {RECIPIENTS_MAX} are accepted")))
}

#[cfg(test)]
mod tests;
