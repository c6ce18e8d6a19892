//! The records of `heartbeats`: what they say, checked.

use std::borrow::Cow;

use super::{Refusal, beacon::Beacon};

mod encode;
mod judge;
mod scan;

/// A valid record of `heartbeats`.
#[derive(Debug, Clone, PartialEq)]
pub enum Input<'a> {
    Heartbeat(Beat<'a>),
    /// The valid beats of a batch in order, each with its index, and the refused ones.
    Heartbeats {
        beats: Vec<(u32, Beat<'a>)>,
        refused: Vec<RefusedPart>,
    },
    Goodbye(End<'a>),
    Goodbyes {
        ends: Vec<(u32, End<'a>)>,
        refused: Vec<RefusedPart>,
    },
    GatewayGone {
        gateway: Cow<'a, str>,
        before: Option<i64>,
    },
    Status(StatusChoice<'a>),
    Beacon(Beacon<'a>),
}

/// A part of a batch that is refused while the rest is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedPart {
    pub index: u32,
    pub refusal: Refusal,
}

/// A field that may be left out, null, or given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Field<T> {
    #[default]
    LeftOut,
    Null,
    Given(T),
}

/// One session says that it is there.
#[derive(Debug, Clone, PartialEq)]
pub struct Beat<'a> {
    pub user: Cow<'a, str>,
    pub session: Cow<'a, str>,
    pub epoch: i64,
    pub counter: i64,
    pub device: Field<Cow<'a, str>>,
    pub gateway: Field<Cow<'a, str>>,
    /// `LEASE_MS_MIN` .. `LEASE_MS_MAX`.
    pub lease_ms: Field<i64>,
    pub idle_ms: Field<i64>,
    pub busy: Field<bool>,
    /// The JSON value as it was written, byte for byte.
    pub metadata: Field<&'a str>,
}

impl<'a> Beat<'a> {
    /// A beat that says nothing else.
    #[must_use]
    pub fn new(
        user: impl Into<Cow<'a, str>>,
        session: impl Into<Cow<'a, str>>,
        epoch: i64,
        counter: i64,
    ) -> Self {
        Self {
            user: user.into(),
            session: session.into(),
            epoch,
            counter,
            device: Field::LeftOut,
            gateway: Field::LeftOut,
            lease_ms: Field::LeftOut,
            idle_ms: Field::LeftOut,
            busy: Field::LeftOut,
            metadata: Field::LeftOut,
        }
    }
}

/// A session ends `after_ms` from now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End<'a> {
    pub user: Cow<'a, str>,
    pub session: Cow<'a, str>,
    pub epoch: i64,
    pub counter: i64,
    pub after_ms: i64,
}

/// The user's own choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusChoice<'a> {
    pub user: Cow<'a, str>,
    /// Null and `Auto` both clear the choice.
    pub status: Field<Choice>,
    pub status_text: Field<Cow<'a, str>>,
    pub activity: Field<Cow<'a, str>>,
    /// Record time.
    pub until_ms: Field<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Choice {
    Auto,
    Away,
    Busy,
    Invisible,
}

impl Choice {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Away => "away",
            Self::Busy => "busy",
            Self::Invisible => "invisible",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Auto, Self::Away, Self::Busy, Self::Invisible].into_iter().find(|choice| choice.name() == name)
    }
}

/// Decodes a value of `heartbeats`. Nothing is said about the partition: that is the fold's to judge.
///
/// The layout that producers send most is scanned; everything else, and every refusal, is the judge's.
pub fn decode(value: Option<&[u8]>) -> Result<Input<'_>, Refusal> {
    if let Some(value) = value {
        // Nothing lies between the scanner and the answer, so that a beat is built in its place: one that is
        // moved right after it was written waits for its own bytes.
        if let Some(beat) = scan::heartbeat(value) {
            return Ok(Input::Heartbeat(beat));
        }
        if let Some(beats) = scan::heartbeats(value) {
            return Ok(Input::Heartbeats { beats, refused: Vec::new() });
        }
    }
    judge::judge(value)
}

pub use encode::encode;

/// The user whose partition the record belongs to: for a batch that of the first valid part. A `beacon` and a
/// `gateway_gone` belong to the partition they were written to.
#[must_use]
pub fn routing_user<'a>(input: &'a Input<'_>) -> Option<&'a str> {
    match input {
        Input::Heartbeat(beat) => Some(&beat.user),
        Input::Heartbeats { beats, .. } => beats.first().map(|(_, beat)| beat.user.as_ref()),
        Input::Goodbye(end) => Some(&end.user),
        Input::Goodbyes { ends, .. } => ends.first().map(|(_, end)| end.user.as_ref()),
        Input::Status(choice) => Some(&choice.user),
        Input::GatewayGone { .. } | Input::Beacon(_) => None,
    }
}

#[cfg(test)]
mod tests;
