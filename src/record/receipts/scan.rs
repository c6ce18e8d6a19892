//! The fast path for `read`.

use super::Read;
use crate::{
    limits::RECEIPT_BYTES_MAX,
    record::scanner::{Scanner, once},
};

const READ: &[u8] = br#"{"v":1,"type":"read","#;

pub(super) fn read(value: &[u8]) -> Option<Read<'_>> {
    if value.len() > RECEIPT_BYTES_MAX {
        return None;
    }
    let mut scanner = Scanner::after(READ, value)?;
    let (mut user, mut inbox, mut conversation, mut seq) = (None, None, None, None);
    loop {
        if let Some(scanner) = scanner.named(b"\"user\":") {
            once(&mut user, scanner.id()?)?;
        } else if let Some(scanner) = scanner.named(b"\"inbox\":") {
            once(&mut inbox, scanner.integer()?)?;
        } else if let Some(scanner) = scanner.named(b"\"conversation\":") {
            once(&mut conversation, scanner.conversation()?)?;
        } else {
            once(&mut seq, scanner.named(b"\"seq\":")?.integer()?)?;
        }
        match scanner.next()? {
            b',' => {}
            b'}' => break,
            _ => return None,
        }
    }
    let is_whole = conversation.is_some() == seq.is_some() && (inbox.is_some() || seq.is_some());
    let read = Read { user: user?.into(), inbox, conversation: conversation.map(Into::into), seq };
    (is_whole && scanner.at_end()).then_some(read)
}
