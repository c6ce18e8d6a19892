//! The fast path for messages; changes of members are rare.

use super::Message;
use crate::{
    limits::{BODY_BYTES_MAX, RECIPIENTS_MAX, SEND_BYTES_MAX},
    record::scanner::{Scanner, once},
};

const MESSAGE: &[u8] = br#"{"v":1,"type":"message","#;

pub(super) fn message(value: &[u8]) -> Option<Message<'_>> {
    if value.len() > SEND_BYTES_MAX {
        return None;
    }
    let mut scanner = Scanner::after(MESSAGE, value)?;
    let message = scanner.message()?;
    scanner.at_end().then_some(message)
}

impl<'a> Scanner<'a> {
    /// The fields in any order, the closing brace included.
    fn message(&mut self) -> Option<Message<'a>> {
        let (mut conversation, mut sender, mut client_id, mut body) = (None, None, None, None);
        let (mut recipients, mut members_only, mut session, mut sent_at) = (None, None, None, None);
        loop {
            if let Some(scanner) = self.named(b"\"conversation\":") {
                once(&mut conversation, scanner.conversation()?)?;
            } else if let Some(scanner) = self.named(b"\"sender\":") {
                once(&mut sender, scanner.id()?)?;
            } else if let Some(scanner) = self.named(b"\"client_id\":") {
                once(&mut client_id, scanner.id()?)?;
            } else if let Some(scanner) = self.named(b"\"body\":") {
                once(&mut body, scanner.opaque(BODY_BYTES_MAX)?)?;
            } else if let Some(scanner) = self.named(b"\"recipients\":") {
                once(&mut recipients, scanner.ids(RECIPIENTS_MAX)?)?;
            } else if let Some(scanner) = self.named(b"\"members_only\":") {
                once(&mut members_only, scanner.boolean()?)?;
            } else if let Some(scanner) = self.named(b"\"session\":") {
                once(&mut session, scanner.id()?)?;
            } else {
                once(&mut sent_at, self.named(b"\"sent_at\":")?.integer()?)?;
            }
            match self.next()? {
                b',' => {}
                b'}' => break,
                _ => return None,
            }
        }
        Some(Message {
            conversation: conversation?.into(),
            sender: sender?.into(),
            client_id: client_id?.into(),
            body: body?,
            recipients,
            refused: Vec::new(),
            members_only: members_only.unwrap_or(false),
            session: session.map(Into::into),
            sent_at,
        })
    }
}
