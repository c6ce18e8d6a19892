//! The fast path: a scanner for heartbeats as nearly every producer writes them, alone and in batches.
//!
//! It knows compact JSON that begins with version and type, plain ASCII ids without escapes, and integers
//! that are not negative. It only ever says what the judge would say of a valid record; of anything else it
//! says nothing, and the judge reads that record anew.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{Beat, Field, judge::PART_DEPTH};
use crate::{
    limits::{
        BATCH_BYTES_MAX, HEARTBEAT_BYTES_MAX, ID_BYTES_MAX, INTEGER_MAX, LEASE_MS_MAX, LEASE_MS_MIN,
        METADATA_BYTES_MAX,
    },
    record::json,
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

/// Always at a character boundary of `text`.
struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    /// Behind what a record must begin with.
    #[inline(always)]
    fn after(prefix: &[u8], value: &'a [u8]) -> Option<Self> {
        if !value.starts_with(prefix) {
            return None;
        }
        Some(Self { text: std::str::from_utf8(value).ok()?, at: prefix.len() })
    }

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

    fn at_end(&self) -> bool {
        self.at == self.text.len()
    }

    fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    fn next(&mut self) -> Option<u8> {
        let byte = *self.rest().first()?;
        self.at += 1;
        byte.is_ascii().then_some(byte)
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    fn eat(&mut self, expected: &[u8]) -> bool {
        let found = self.rest().starts_with(expected);
        if found {
            self.at += expected.len();
        }
        found
    }

    fn named(&mut self, name: &[u8]) -> Option<&mut Self> {
        self.eat(name).then_some(self)
    }

    fn null<T>(&mut self) -> Option<Field<T>> {
        self.eat(b"null").then_some(Field::Null)
    }

    fn id(&mut self) -> Option<&'a str> {
        self.expect(b'"')?;
        let length = plain_length(self.rest())?;
        let id = self.text.get(self.at..self.at + length)?;
        self.at += length;
        self.expect(b'"')?;
        (1..=ID_BYTES_MAX).contains(&length).then_some(id)
    }

    fn id_or_null(&mut self) -> Option<Field<&'a str>> {
        match self.rest().first()? {
            b'"' => self.id().map(Field::Given),
            _ => self.null(),
        }
    }

    /// What follows the digits is looked at by the next step.
    fn integer(&mut self) -> Option<i64> {
        const DIGITS_MAX: usize = 16;
        const _: () = assert!(INTEGER_MAX < 10_i64.pow(DIGITS_MAX as u32));
        let rest = self.rest();
        let (mut integer, mut length) = rest.first_chunk().map_or((0, 0), |word| digits(*word));
        while let Some(digit) =
            rest.get(length).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10)
        {
            if length == DIGITS_MAX {
                return None;
            }
            integer = integer * 10 + i64::from(digit);
            length += 1;
        }
        let leading_zero = length > 1 && rest[0] == b'0';
        if length == 0 || leading_zero || integer > INTEGER_MAX {
            return None;
        }
        self.at += length;
        Some(integer)
    }

    fn integer_or_null(&mut self) -> Option<Field<i64>> {
        match self.rest().first()? {
            b'n' => self.null(),
            _ => self.integer().map(Field::Given),
        }
    }

    fn lease(&mut self) -> Option<Field<i64>> {
        self.integer_or_null().filter(|lease| match lease {
            Field::Given(lease_ms) => (LEASE_MS_MIN..=LEASE_MS_MAX).contains(lease_ms),
            _ => true,
        })
    }

    fn boolean_or_null(&mut self) -> Option<Field<bool>> {
        if self.eat(b"true") {
            return Some(Field::Given(true));
        }
        if self.eat(b"false") {
            return Some(Field::Given(false));
        }
        self.null()
    }

    /// Any JSON: serde_json finds its end, and it is judged as the judge would.
    fn metadata(&mut self, depth: usize) -> Option<Field<&'a str>> {
        let mut values =
            serde_json::Deserializer::from_str(self.text.get(self.at..)?).into_iter::<&'a RawValue>();
        let raw = values.next()?.ok()?;
        self.at += values.byte_offset();
        json::check_value(&"", raw, depth).ok()?;
        match raw.get() {
            "null" => Some(Field::Null),
            json => (json.len() <= METADATA_BYTES_MAX).then_some(Field::Given(json)),
        }
    }
}

/// One bit, or one byte, in every byte of a word.
const ONES: u64 = u64::MAX / 0xff;
const HIGHS: u64 = ONES << 7;

/// How many bytes at the start may stand in an id without a second look: ASCII without quotes, backslashes,
/// slashes and control characters. `None` if all are such.
fn plain_length(bytes: &[u8]) -> Option<usize> {
    let (words, rest) = bytes.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let stops = stops(u64::from_le_bytes(*word));
        if stops != 0 {
            return Some(at * 8 + stops.trailing_zeros() as usize / 8);
        }
    }
    let is_stop = |byte: &u8| stops(u64::from(*byte) | PLAIN << 8) != 0;
    rest.iter().position(is_stop).map(|at| words.len() * 8 + at)
}

/// Bytes that may stand in an id.
const PLAIN: u64 = ONES * b'a' as u64;

/// Sets the high bit of the lowest byte that ends a plain text. Bytes above it may be marked without reason,
/// because the subtractions and the addition carry upwards.
fn stops(word: u64) -> u64 {
    // Where a byte is ASCII, its high bit comes from a borrow alone; where not, it ends the text anyway.
    let is = |byte: u8| (word ^ (ONES * u64::from(byte))).wrapping_sub(ONES);
    let control = word.wrapping_sub(ONES * 0x20);
    let not_ascii = word | word.wrapping_add(ONES);
    (is(b'"') | is(b'\\') | is(b'/') | control | not_ascii) & HIGHS
}

/// The number that the digits at the start are, eight at most, and how many they are.
fn digits(bytes: [u8; 8]) -> (i64, usize) {
    let word = u64::from_le_bytes(bytes);
    // A digit is 0x30 .. 0x39: its upper half is 3, also after 6 was added to it. The additions carry upwards
    // from what is none.
    let upper_halves = (word & (ONES * 0xf0)) | ((word.wrapping_add(ONES * 6) & (ONES * 0xf0)) >> 4);
    let length = (upper_halves ^ (ONES * 0x33)).trailing_zeros() / 8;
    // Zeros come before them, so that there are eight.
    let word = word.checked_shl(u64::BITS - 8 * length).unwrap_or(0);
    // Neighbours are joined: digits to pairs, pairs to fours, fours to eight.
    let pairs = (word & (ONES * 0x0f)).wrapping_mul(2_561) >> 8;
    let fours = (pairs & 0x00ff_00ff_00ff_00ff).wrapping_mul(6_553_601) >> 16;
    let eight = (fours & 0x0000_ffff_0000_ffff).wrapping_mul(42_949_672_960_001) >> 32;
    (eight as i64, length as usize)
}

/// Takes a field's value, unless the field has been there before.
fn once<T>(slot: &mut Option<T>, value: T) -> Option<()> {
    slot.replace(value).is_none().then_some(())
}

/// Takes a field's value, unless the field has been there before.
fn set<T>(slot: &mut Field<T>, value: Field<T>) -> Option<()> {
    if !matches!(slot, Field::LeftOut) {
        return None;
    }
    *slot = value;
    Some(())
}

#[cfg(test)]
mod tests;
