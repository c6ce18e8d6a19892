//! `session`: where to route, on `sessions`; its end is a null value with headers.

use bytes::Bytes;

use super::{
    RecordOrigin, Refusal, arena::Arena, json, json::Object, json_writer::JsonWriter, transition::Cause,
};
use crate::log::Header;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SessionEvent {
    /// The first of its user.
    Join,
    /// A further one.
    Add,
    /// Gateway or device changed.
    Move,
}

impl SessionEvent {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Add => "add",
            Self::Move => "move",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Join, Self::Add, Self::Move].into_iter().find(|event| event.name() == name)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRecord<'a> {
    pub event: SessionEvent,
    pub user: &'a str,
    pub session: &'a str,
    pub device: Option<&'a str>,
    pub gateway: Option<&'a str>,
    /// Live sessions of the user after it.
    pub sessions: u32,
    pub origin: RecordOrigin,
}

impl SessionRecord<'_> {
    /// The record's value.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        self.write(JsonWriter::record("session", 256)).into_bytes()
    }

    /// The same, beside other records.
    #[must_use]
    pub fn encode_in(&self, arena: &mut Arena) -> Bytes {
        arena.write(|bytes| self.write(JsonWriter::record_in(bytes, "session")).into_vec())
    }

    fn write(&self, mut writer: JsonWriter) -> JsonWriter {
        writer.text("event", self.event.name());
        writer.text("user", self.user);
        writer.text("session", self.session);
        writer.optional_text("device", self.device);
        writer.optional_text("gateway", self.gateway);
        writer.integer("sessions", i64::from(self.sessions));
        self.origin.write(&mut writer);
        writer.end_object();
        writer
    }
}

/// A session's record as a reader of `sessions` gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionView {
    pub event: SessionEvent,
    pub user: String,
    pub session: String,
    pub device: Option<String>,
    pub gateway: Option<String>,
    pub sessions: u32,
    pub origin: RecordOrigin,
}

impl SessionView {
    /// Reads a record's value; a null value is an end and has nothing but its key and headers.
    pub fn decode(value: &[u8]) -> Result<Self, Refusal> {
        let object = Object::read_record(Some(value), "session", None)?;
        Ok(Self {
            event: SessionEvent::from_name(&object.text("event")?)
                .ok_or_else(|| json::invalid("`event`: must be \"join\", \"add\" or \"move\""))?,
            user: object.id("user")?.into_owned(),
            session: object.id("session")?.into_owned(),
            device: object.optional_id("device")?,
            gateway: object.optional_id("gateway")?,
            sessions: object.count("sessions")?,
            origin: RecordOrigin::read(&object)?,
        })
    }

    /// The same as it is written.
    #[must_use]
    pub fn as_record(&self) -> SessionRecord<'_> {
        SessionRecord {
            event: self.event,
            user: &self.user,
            session: &self.session,
            device: self.device.as_deref(),
            gateway: self.gateway.as_deref(),
            sessions: self.sessions,
            origin: self.origin,
        }
    }
}

/// The key of a session's records: `user/session`.
#[must_use]
pub fn session_key(user: &str, session: &str) -> Bytes {
    Bytes::from([user, session].join("/"))
}

/// The same, beside other records.
#[must_use]
pub fn session_key_in(arena: &mut Arena, user: &str, session: &str) -> Bytes {
    arena.write(|mut bytes| {
        bytes.extend_from_slice(user.as_bytes());
        bytes.push(b'/');
        bytes.extend_from_slice(session.as_bytes());
        bytes
    })
}

/// The headers of a session's end; `last` when the user has no other session.
#[must_use]
pub fn end_headers(last: bool, cause: Cause) -> Vec<Header> {
    let header = |name: &str, value: &'static str| Header {
        name: name.to_owned(),
        value: Some(Bytes::from_static(value.as_bytes())),
    };
    vec![
        header("heartline.event", if last { "leave" } else { "remove" }),
        header("heartline.cause", cause.name()),
    ]
}

#[cfg(test)]
mod tests;
