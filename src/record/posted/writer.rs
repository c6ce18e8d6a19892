//! Writing `deliveries` and `inbox` as they come about: a message, its recipients, the next message.
//!
//! The fold calls this once per recipient, so nothing is kept but the text under way.

use bytes::Bytes;

use super::Posted;
use crate::{
    limits::{DELIVERIES_BYTES_MAX, RECIPIENTS_MAX},
    record::json_writer::JsonWriter,
};

/// A record of `deliveries` under way.
#[derive(Debug)]
pub struct DeliveriesWriter {
    messages: MessagesWriter,
}

impl DeliveriesWriter {
    #[must_use]
    pub fn new() -> Self {
        Self { messages: MessagesWriter::new("deliveries") }
    }

    /// Opens the next message and closes the one before it.
    pub fn message(&mut self, posted: &Posted<'_>) {
        self.messages.open(posted, "recipients");
    }

    /// Adds a recipient of the open message.
    ///
    /// # Panics
    /// When no message was opened.
    pub fn recipient(&mut self, user: &str) {
        self.messages.part().part_text(user);
    }

    /// Recipients in this record, of all its messages.
    #[must_use]
    pub const fn recipients(&self) -> usize {
        self.messages.parts
    }

    /// Bytes of the value, would it be finished now.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.messages.size_bytes()
    }

    /// Whether the record is to be closed: neither a message nor a recipient may be added to it.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.recipients() >= RECIPIENTS_MAX || self.size_bytes() >= DELIVERIES_BYTES_MAX
    }

    /// The record's value.
    #[must_use]
    pub fn finish(self) -> Bytes {
        self.messages.finish()
    }
}

impl Default for DeliveriesWriter {
    fn default() -> Self {
        Self::new()
    }
}

/// A record of `inbox` under way. It has no bound of its own: one is made of one record of `deliveries`.
#[derive(Debug)]
pub struct InboxWriter {
    messages: MessagesWriter,
}

impl InboxWriter {
    #[must_use]
    pub fn new() -> Self {
        Self { messages: MessagesWriter::new("inbox") }
    }

    /// Opens the next message and closes the one before it.
    pub fn message(&mut self, posted: &Posted<'_>) {
        self.messages.open(posted, "entries");
    }

    /// Adds an entry of the open message: its number in the inbox of `user`.
    ///
    /// # Panics
    /// When no message was opened.
    pub fn entry(&mut self, user: &str, seq: i64) {
        let writer = self.messages.part();
        writer.begin_part();
        writer.text("user", user);
        writer.integer("seq", seq);
        writer.end_object();
    }

    /// Entries in this record, of all its messages.
    #[must_use]
    pub const fn entries(&self) -> usize {
        self.messages.parts
    }

    /// Bytes of the value, would it be finished now.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.messages.size_bytes()
    }

    /// The record's value.
    #[must_use]
    pub fn finish(self) -> Bytes {
        self.messages.finish()
    }
}

impl Default for InboxWriter {
    fn default() -> Self {
        Self::new()
    }
}

/// What both are: messages, each with a list at its end.
#[derive(Debug)]
struct MessagesWriter {
    writer: JsonWriter,
    /// Whether a message, and the list in it, is open.
    is_open: bool,
    parts: usize,
}

impl MessagesWriter {
    fn new(kind: &str) -> Self {
        let mut writer = JsonWriter::record(kind, 1024);
        writer.begin_array("messages");
        Self { writer, is_open: false, parts: 0 }
    }

    fn open(&mut self, posted: &Posted<'_>, list: &str) {
        self.close();
        self.is_open = true;
        let writer = &mut self.writer;
        writer.begin_part();
        writer.text("conversation", &posted.conversation);
        writer.integer("seq", posted.seq);
        writer.text("sender", &posted.sender);
        writer.text("client_id", &posted.client_id);
        writer.optional_text("session", posted.session.as_deref());
        writer.optional_integer("sent_at", posted.sent_at);
        writer.integer("accepted_at", posted.accepted_at);
        writer.raw("body", posted.body);
        writer.begin_array(list);
    }

    /// Where the next part of the open list is to be written.
    fn part(&mut self) -> &mut JsonWriter {
        assert!(self.is_open, "a message is opened before its recipients are named");
        self.parts += 1;
        &mut self.writer
    }

    fn close(&mut self) {
        if self.is_open {
            self.writer.end_array();
            self.writer.end_object();
        }
    }

    fn size_bytes(&self) -> usize {
        let ends = if self.is_open { "]}]}" } else { "]}" };
        self.writer.len() + ends.len()
    }

    fn finish(mut self) -> Bytes {
        self.close();
        self.writer.end_array();
        self.writer.end_object();
        self.writer.into_bytes()
    }
}
