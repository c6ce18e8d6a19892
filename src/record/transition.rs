//! `transition`: what changed in a user's public presence; on `presence`, and the last one on `presence-state`.

use super::RecordOrigin;

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
    pub fn encode(&self) -> bytes::Bytes {
        todo!()
    }
}
