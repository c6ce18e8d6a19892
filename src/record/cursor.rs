//! `cursor`, the record of `cursors`: how far a user has read its inbox or a conversation. It stands on the
//! user's partition and is compacted by its key.

use bytes::Bytes;

use super::{
    Refusal,
    json::{self, NOT_NEGATIVE, Object},
    json_writer::JsonWriter,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CursorRecord<'a> {
    Inbox { user: &'a str, inbox: i64 },
    Conversation { user: &'a str, conversation: &'a str, seq: i64 },
}

impl CursorRecord<'_> {
    #[must_use]
    pub const fn user(&self) -> &str {
        match self {
            Self::Inbox { user, .. } | Self::Conversation { user, .. } => user,
        }
    }

    /// `user`, or `user/conversation`: an id has no slash, so no two cursors share a key.
    #[must_use]
    pub fn key(&self) -> Bytes {
        match self {
            Self::Inbox { user, .. } => Bytes::copy_from_slice(user.as_bytes()),
            Self::Conversation { user, conversation, .. } => Bytes::from([*user, *conversation].join("/")),
        }
    }

    /// The record's value.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut writer = JsonWriter::record("cursor", 160);
        writer.text("user", self.user());
        match self {
            Self::Inbox { inbox, .. } => writer.integer("inbox", *inbox),
            Self::Conversation { conversation, seq, .. } => {
                writer.text("conversation", conversation);
                writer.integer("seq", *seq);
            }
        }
        writer.end_object();
        writer.into_bytes()
    }
}

/// A cursor as a reader of `cursors` gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CursorView {
    Inbox { user: String, inbox: i64 },
    Conversation { user: String, conversation: String, seq: i64 },
}

impl CursorView {
    /// Reads a record's value.
    pub fn decode(value: &[u8]) -> Result<Self, Refusal> {
        let object = Object::read_record(Some(value), "cursor", None)?;
        let user = object.id("user")?.into_owned();
        let position = |name: &str| object.integer_field(name, NOT_NEGATIVE)?.optional(name);
        let conversation = object.conversation_field("conversation")?.optional("conversation")?;
        match (position("inbox")?, conversation, position("seq")?) {
            (Some(inbox), None, None) => Ok(Self::Inbox { user, inbox }),
            (None, Some(conversation), Some(seq)) => {
                Ok(Self::Conversation { user, conversation: conversation.into_owned(), seq })
            }
            _ => Err(json::invalid("either `inbox` is due, or `conversation` and `seq`")),
        }
    }

    /// The same as it is written.
    #[must_use]
    pub fn as_record(&self) -> CursorRecord<'_> {
        match self {
            Self::Inbox { user, inbox } => CursorRecord::Inbox { user, inbox: *inbox },
            Self::Conversation { user, conversation, seq } => {
                CursorRecord::Conversation { user, conversation, seq: *seq }
            }
        }
    }
}

#[cfg(test)]
mod tests;
