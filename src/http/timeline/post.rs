//! A message as readers get it.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::ReadError;
use crate::table::{inbox::EntryRow, message::MessageRow};

/// An entry of an inbox, or a message of a conversation's history.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Post {
    /// The number in the inbox, or in the conversation.
    pub seq: i64,
    pub conversation: Box<str>,
    /// Of an entry: the message's number in its conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation_seq: Option<i64>,
    pub sender: Box<str>,
    pub client_id: Box<str>,
    /// Byte for byte as it was sent.
    pub body: Box<RawValue>,
    /// Milliseconds by the sender's own clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<i64>,
    /// Record time of the send.
    pub accepted_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<Box<str>>,
}

impl Post {
    /// An entry of an inbox; its body may stand elsewhere.
    pub(super) fn of_entry(seq: i64, row: &EntryRow<'_>, body: &str) -> Result<Self, ReadError> {
        Ok(Self {
            seq,
            conversation: row.conversation.into(),
            conversation_seq: Some(row.conversation_seq),
            sender: row.sender.into(),
            client_id: row.client_id.into(),
            body: raw(row.conversation, row.conversation_seq, body)?,
            sent_at: row.sent_at_ms,
            accepted_at: row.accepted_at_ms,
            session: row.session.map(Into::into),
        })
    }

    pub(super) fn of_message(conversation: &str, seq: i64, row: &MessageRow<'_>) -> Result<Self, ReadError> {
        Ok(Self {
            seq,
            conversation: conversation.into(),
            conversation_seq: None,
            sender: row.sender.into(),
            client_id: row.client_id.into(),
            body: raw(conversation, seq, row.body)?,
            sent_at: row.sent_at_ms,
            accepted_at: row.accepted_at_ms,
            session: row.session.map(Into::into),
        })
    }
}

fn raw(conversation: &str, seq: i64, body: &str) -> Result<Box<RawValue>, ReadError> {
    RawValue::from_string(body.to_owned())
        .map_err(|error| ReadError::Damaged(format!("the body of {conversation} {seq} is no JSON: {error}")))
}
