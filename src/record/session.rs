//! `session`: where to route, on `sessions`; its end is a null value with headers.

use bytes::Bytes;

use super::{RecordOrigin, transition::Cause};
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
        todo!()
    }
}

/// The key of a session's records: `user/session`.
#[must_use]
pub fn session_key(user: &str, session: &str) -> Bytes {
    Bytes::from([user, session].join("/"))
}

/// The headers of a session's end; `last` when the user has no other session.
#[must_use]
pub fn end_headers(last: bool, cause: Cause) -> Vec<Header> {
    let _ = (last, cause);
    todo!()
}
