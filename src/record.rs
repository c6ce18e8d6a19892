//! Everything that crosses the log: one type a file, decode and encode.
//!
//! Decoding gives one of three answers: unreadable or invalid (a [`Refusal`]), or a valid value that borrows
//! from the record. Nothing a producer can send makes it panic.

use std::fmt;

pub mod arena;
pub mod beacon;
pub mod cursor;
pub mod dead_letter;
pub mod heartbeats;
mod json;
mod json_writer;
pub mod posted;
pub mod receipts;
mod scanner;
pub mod sends;
pub mod session;
pub mod transition;

/// Why a record, or a part of it, is refused: the dead letter's `heartline.reason` and its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub reason: Reason,
    /// What, where, what to do.
    pub message: String,
}

impl Refusal {
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    Malformed,
    Invalid,
    Unsupported,
    Oversize,
    Conflict,
    NotMember,
    Recipients,
    Beats,
}

impl Reason {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Invalid => "invalid",
            Self::Unsupported => "unsupported",
            Self::Oversize => "oversize",
            Self::Conflict => "conflict",
            Self::NotMember => "not_member",
            Self::Recipients => "recipients",
            Self::Beats => "beats",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where an output came from: the `origin` of published records (here the offset of the cause, as the
/// contract has it).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordOrigin {
    pub partition: crate::log::PartitionId,
    pub offset: crate::log::Offset,
}

impl RecordOrigin {
    fn write(self, writer: &mut json_writer::JsonWriter) {
        writer.begin_object("origin");
        writer.integer("partition", i64::from(self.partition));
        writer.integer("offset", self.offset);
        writer.end_object();
    }

    fn read(object: &json::Object<'_>) -> Result<Self, Refusal> {
        let origin = json::Object::read_nested("`origin`", object.required("origin")?, 1)?;
        Ok(Self {
            partition: origin.count("partition")?,
            offset: origin.integer("offset", json::NOT_NEGATIVE)?,
        })
    }
}

#[cfg(test)]
mod tests;
