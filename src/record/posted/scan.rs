//! The fast path for `deliveries`, which only their own writer writes: its fields in its order.

use super::{DELIVERIES_VALUE_BYTES_MAX, Delivery, Posted};
use crate::{
    limits::{BODY_BYTES_MAX, RECIPIENTS_MAX},
    record::scanner::Scanner,
};

const DELIVERIES: &[u8] = br#"{"v":1,"type":"deliveries","messages":["#;

pub(super) fn deliveries(value: &[u8]) -> Option<Vec<Delivery<'_>>> {
    if value.len() > DELIVERIES_VALUE_BYTES_MAX {
        return None;
    }
    let mut scanner = Scanner::after(DELIVERIES, value)?;
    let (mut deliveries, mut left) = (Vec::new(), RECIPIENTS_MAX);
    loop {
        let posted = scanner.posted()?;
        let recipients = scanner.named(b",\"recipients\":")?.ids(left)?;
        left -= recipients.len();
        deliveries.push(Delivery { posted, recipients });
        scanner.expect(b'}')?;
        match scanner.next()? {
            b',' => {}
            b']' => break,
            _ => return None,
        }
    }
    (scanner.eat(b"}") && scanner.at_end()).then_some(deliveries)
}

impl<'a> Scanner<'a> {
    /// A message up to its body.
    fn posted(&mut self) -> Option<Posted<'a>> {
        Some(Posted {
            conversation: self.named(b"{\"conversation\":")?.conversation()?.into(),
            seq: self.named(b",\"seq\":")?.integer().filter(|seq| *seq > 0)?,
            sender: self.named(b",\"sender\":")?.id()?.into(),
            client_id: self.named(b",\"client_id\":")?.id()?.into(),
            session: match self.named(b",\"session\":") {
                Some(scanner) => Some(scanner.id()?.into()),
                None => None,
            },
            sent_at: match self.named(b",\"sent_at\":") {
                Some(scanner) => Some(scanner.integer()?),
                None => None,
            },
            accepted_at: self.named(b",\"accepted_at\":")?.integer()?,
            body: self.named(b",\"body\":")?.opaque(BODY_BYTES_MAX)?,
        })
    }
}
