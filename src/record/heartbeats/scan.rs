//! The fast path for heartbeats, alone and in batches.

use std::borrow::Cow;

use super::{Beat, Field, judge::PART_DEPTH};
use crate::{
    limits::{BATCH_BYTES_MAX, HEARTBEAT_BYTES_MAX, LEASE_MS_MAX, LEASE_MS_MIN, METADATA_BYTES_MAX},
    record::{
        json,
        scanner::{Scanner, once, set},
    },
};

const HEARTBEAT: &[u8] = br#"{"v":1,"type":"heartbeat","#;
const HEARTBEATS: &[u8] = br#"{"v":1,"type":"heartbeats","#;

/// The only beat of a record.
#[inline(always)]
pub(super) fn heartbeat(value: &[u8]) -> Option<Beat<'_>> {
    if value.len() > HEARTBEAT_BYTES_MAX {
        return None;
    }
    Scanner::after(HEARTBEAT, value)?.beat(1, Scanner::at_end)
}

/// The beats of a batch.
pub(super) fn heartbeats(value: &[u8]) -> Option<Vec<(u32, Beat<'_>)>> {
    if value.len() > BATCH_BYTES_MAX {
        return None;
    }
    let mut scanner = Scanner::after(HEARTBEATS, value)?;
    let beats = scanner.beats()?;
    scanner.at_end().then_some(beats)
}

impl<'a> Scanner<'a> {
    /// A batch from its first field after the type.
    fn beats(&mut self) -> Option<Vec<(u32, Beat<'a>)>> {
        let mut shared: Field<&str> = Field::LeftOut;
        if self.eat(b"\"gateway\":") {
            shared = self.id_or_null()?;
            self.expect(b',')?;
        }
        if !self.eat(b"\"beats\":[") {
            return None;
        }
        let mut beats = Vec::with_capacity(self.rest().len() / 64);
        while self.eat(b"{") {
            let mut beat = self.beat(PART_DEPTH + 1, |_| true)?;
            if beat.gateway == Field::LeftOut {
                beat.gateway = shared.map(Cow::Borrowed);
            }
            beats.push((beats.len() as u32, beat));
            match self.next()? {
                b',' => {}
                b']' => return self.eat(b"}").then_some(beats),
                _ => return None,
            }
        }
        // A list that has beats ends above; here it would end with a comma.
        (beats.is_empty() && self.eat(b"]}")).then_some(beats)
    }

    /// The fields of a beat in any order, its closing brace included. `depth` objects and arrays are around a
    /// field. What comes behind the beat must be as `end` says.
    ///
    /// Fields are locals until the end and the function is inlined, because a `Beat` that is moved from slot
    /// to slot costs as much as reading it.
    #[inline(always)]
    fn beat(&mut self, depth: usize, end: impl FnOnce(&Self) -> bool) -> Option<Beat<'a>> {
        let (mut user, mut session, mut epoch, mut counter) = (None, None, None, None);
        let (mut device, mut gateway) = (Field::LeftOut, Field::LeftOut);
        let (mut lease_ms, mut idle_ms) = (Field::LeftOut, Field::LeftOut);
        let (mut busy, mut metadata) = (Field::LeftOut, Field::LeftOut);
        // Every field of a beat begins with a letter of its own.
        loop {
            match *self.rest().get(1)? {
                b'u' => once(&mut user, self.named(b"\"user\":")?.id()?)?,
                b's' => once(&mut session, self.named(b"\"session\":")?.id()?)?,
                b'e' => once(&mut epoch, self.named(b"\"epoch\":")?.integer()?)?,
                b'c' => once(&mut counter, self.named(b"\"counter\":")?.integer()?)?,
                b'd' => set(&mut device, self.named(b"\"device\":")?.id_or_null()?)?,
                b'g' => set(&mut gateway, self.named(b"\"gateway\":")?.id_or_null()?)?,
                b'l' => set(&mut lease_ms, self.named(b"\"lease_ms\":")?.lease()?)?,
                b'i' => set(&mut idle_ms, self.named(b"\"idle_ms\":")?.integer_or_null()?)?,
                b'b' => set(&mut busy, self.named(b"\"busy\":")?.boolean_or_null()?)?,
                b'm' => set(&mut metadata, self.named(b"\"metadata\":")?.metadata(depth)?)?,
                _ => return None,
            }
            match self.next()? {
                b',' => {}
                b'}' => break,
                _ => return None,
            }
        }
        if !end(self) {
            return None;
        }
        Some(Beat {
            user: Cow::Borrowed(user?),
            session: Cow::Borrowed(session?),
            epoch: epoch.unwrap_or(0),
            counter: counter?,
            device: device.map(Cow::Borrowed),
            gateway: gateway.map(Cow::Borrowed),
            lease_ms,
            idle_ms,
            busy,
            metadata,
        })
    }

    fn lease(&mut self) -> Option<Field<i64>> {
        self.integer_or_null().filter(|lease| match lease {
            Field::Given(lease_ms) => (LEASE_MS_MIN..=LEASE_MS_MAX).contains(lease_ms),
            _ => true,
        })
    }

    fn metadata(&mut self, depth: usize) -> Option<Field<&'a str>> {
        let raw = self.value()?;
        json::check_value(&"", raw, depth).ok()?;
        match raw.get() {
            "null" => Some(Field::Null),
            json => (json.len() <= METADATA_BYTES_MAX).then_some(Field::Given(json)),
        }
    }
}
