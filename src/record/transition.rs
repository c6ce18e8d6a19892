//! `transition`: what changed in a user's public presence; on `presence`, and the last one on
//! `presence-state`.

use bytes::Bytes;

use super::{RecordOrigin, Refusal, arena::Arena, json, json::Object, json_writer::JsonWriter};

/// A user's public status; the order is the priority over sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    Offline,
    Away,
    Online,
    Busy,
}

impl Status {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Away => "away",
            Self::Online => "online",
            Self::Busy => "busy",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Offline, Self::Away, Self::Online, Self::Busy].into_iter().find(|status| status.name() == name)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    Heartbeat,
    Goodbye,
    Expired,
    Idle,
    GatewayGone,
    Status,
}

impl Cause {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Heartbeat => "heartbeat",
            Self::Goodbye => "goodbye",
            Self::Expired => "expired",
            Self::Idle => "idle",
            Self::GatewayGone => "gateway_gone",
            Self::Status => "status",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Heartbeat, Self::Goodbye, Self::Expired, Self::Idle, Self::GatewayGone, Self::Status]
            .into_iter()
            .find(|cause| cause.name() == name)
    }
}

/// A transition, borrowed from the fold's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition<'a> {
    pub user: &'a str,
    pub version: u64,
    pub from: Status,
    pub to: Status,
    pub cause: Cause,
    /// Whose record or deadline caused it.
    pub session: Option<&'a str>,
    pub device: Option<&'a str>,
    /// Live sessions after it.
    pub sessions: u32,
    pub status_text: Option<&'a str>,
    pub activity: Option<&'a str>,
    pub occurred_at: i64,
    pub detected_at: i64,
    pub last_seen: i64,
    pub origin: RecordOrigin,
}

impl Transition<'_> {
    /// The record's value.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        self.write(JsonWriter::record("transition", 384)).into_bytes()
    }

    /// The same, beside other records.
    #[must_use]
    pub fn encode_in(&self, arena: &mut Arena) -> Bytes {
        arena.write(|bytes| self.write(JsonWriter::record_in(bytes, "transition")).into_vec())
    }

    fn write(&self, mut writer: JsonWriter) -> JsonWriter {
        writer.text("user", self.user);
        writer.integer("version", self.version as i64);
        writer.text("from", self.from.name());
        writer.text("to", self.to.name());
        writer.text("cause", self.cause.name());
        writer.optional_text("session", self.session);
        writer.optional_text("device", self.device);
        writer.integer("sessions", i64::from(self.sessions));
        writer.optional_text("status_text", self.status_text);
        writer.optional_text("activity", self.activity);
        writer.integer("occurred_at", self.occurred_at);
        writer.integer("detected_at", self.detected_at);
        writer.integer("last_seen", self.last_seen);
        self.origin.write(&mut writer);
        writer.end_object();
        writer
    }
}

/// A transition as a reader of `presence` or `presence-state` gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransitionView {
    pub user: String,
    pub version: u64,
    pub from: Status,
    pub to: Status,
    pub cause: Cause,
    pub session: Option<String>,
    pub device: Option<String>,
    pub sessions: u32,
    pub status_text: Option<String>,
    pub activity: Option<String>,
    pub occurred_at: i64,
    pub detected_at: i64,
    pub last_seen: i64,
    pub origin: RecordOrigin,
}

impl TransitionView {
    /// Reads a record's value.
    pub fn decode(value: &[u8]) -> Result<Self, Refusal> {
        let object = Object::read_record(Some(value), "transition", None)?;
        let status = |name| {
            Status::from_name(&object.text(name)?)
                .ok_or_else(|| json::invalid(format!("`{name}`: no status")))
        };
        let time = |name| object.integer(name, json::ANY_INTEGER);
        Ok(Self {
            user: object.id("user")?.into_owned(),
            version: object.integer("version", json::NOT_NEGATIVE)? as u64,
            from: status("from")?,
            to: status("to")?,
            cause: Cause::from_name(&object.text("cause")?)
                .ok_or_else(|| json::invalid("`cause`: no cause of a transition"))?,
            session: object.optional_id("session")?,
            device: object.optional_id("device")?,
            sessions: object.count("sessions")?,
            status_text: object.optional_text("status_text")?,
            activity: object.optional_text("activity")?,
            occurred_at: time("occurred_at")?,
            detected_at: time("detected_at")?,
            last_seen: time("last_seen")?,
            origin: RecordOrigin::read(&object)?,
        })
    }

    /// The same as it is written.
    #[must_use]
    pub fn as_transition(&self) -> Transition<'_> {
        Transition {
            user: &self.user,
            version: self.version,
            from: self.from,
            to: self.to,
            cause: self.cause,
            session: self.session.as_deref(),
            device: self.device.as_deref(),
            sessions: self.sessions,
            status_text: self.status_text.as_deref(),
            activity: self.activity.as_deref(),
            occurred_at: self.occurred_at,
            detected_at: self.detected_at,
            last_seen: self.last_seen,
            origin: self.origin,
        }
    }
}

#[cfg(test)]
mod tests;
