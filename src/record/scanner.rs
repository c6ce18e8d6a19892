//! The fast path: a scanner for records as nearly every producer writes them.
//!
//! It knows compact JSON that begins with version and type, plain ASCII ids without escapes, and integers
//! that are not negative. It only ever says what the judge would say of a valid record; of anything else it
//! says nothing, and the judge reads that record anew.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{heartbeats::Field, json};
use crate::limits::{ID_BYTES_MAX, INTEGER_MAX};

/// Always at a character boundary of `text`.
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    /// Behind what a record must begin with.
    #[inline(always)]
    pub(super) fn after(prefix: &[u8], value: &'a [u8]) -> Option<Self> {
        if !value.starts_with(prefix) {
            return None;
        }
        Some(Self { text: std::str::from_utf8(value).ok()?, at: prefix.len() })
    }

    #[inline]
    pub(super) fn at_end(&self) -> bool {
        self.at == self.text.len()
    }

    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    #[inline]
    pub(super) fn next(&mut self) -> Option<u8> {
        let byte = *self.rest().first()?;
        self.at += 1;
        byte.is_ascii().then_some(byte)
    }

    #[inline]
    pub(super) fn expect(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    #[inline]
    pub(super) fn eat(&mut self, expected: &[u8]) -> bool {
        let found = self.rest().starts_with(expected);
        if found {
            self.at += expected.len();
        }
        found
    }

    #[inline]
    pub(super) fn named(&mut self, name: &[u8]) -> Option<&mut Self> {
        self.eat(name).then_some(self)
    }

    #[inline]
    fn null<T>(&mut self) -> Option<Field<T>> {
        self.eat(b"null").then_some(Field::Null)
    }

    #[inline]
    pub(super) fn id(&mut self) -> Option<&'a str> {
        self.expect(b'"')?;
        let id = self.bare_id()?;
        self.expect(b'"')?;
        Some(id)
    }

    /// An id up to what may not stand in one.
    #[inline]
    fn bare_id(&mut self) -> Option<&'a str> {
        let length = plain_length(self.rest())?;
        let id = self.text.get(self.at..self.at + length)?;
        self.at += length;
        (1..=ID_BYTES_MAX).contains(&length).then_some(id)
    }

    #[inline]
    pub(super) fn id_or_null(&mut self) -> Option<Field<&'a str>> {
        match self.rest().first()? {
            b'"' => self.id().map(Field::Given),
            _ => self.null(),
        }
    }

    /// What follows the digits is looked at by the next step.
    #[inline]
    pub(super) fn integer(&mut self) -> Option<i64> {
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

    #[inline]
    pub(super) fn integer_or_null(&mut self) -> Option<Field<i64>> {
        match self.rest().first()? {
            b'n' => self.null(),
            _ => self.integer().map(Field::Given),
        }
    }

    #[inline]
    pub(super) fn boolean(&mut self) -> Option<bool> {
        if self.eat(b"true") {
            return Some(true);
        }
        self.eat(b"false").then_some(false)
    }

    #[inline]
    pub(super) fn boolean_or_null(&mut self) -> Option<Field<bool>> {
        match self.rest().first()? {
            b'n' => self.null(),
            _ => self.boolean().map(Field::Given),
        }
    }

    /// An array of ids, at most so many.
    pub(super) fn ids(&mut self, most: usize) -> Option<Vec<Cow<'a, str>>> {
        self.expect(b'[')?;
        let mut ids = Vec::new();
        if self.eat(b"]") {
            return Some(ids);
        }
        loop {
            ids.push(Cow::Borrowed(self.id()?));
            match self.next()? {
                b',' if ids.len() < most => {}
                b']' => return Some(ids),
                _ => return None,
            }
        }
    }

    pub(super) fn conversation(&mut self) -> Option<&'a str> {
        let start = self.at + 1;
        if self.eat(b"\"group/") {
            self.bare_id()?;
        } else {
            let first = self.named(b"\"direct/")?.bare_id()?;
            self.expect(b'/')?;
            let second = self.bare_id()?;
            if first > second {
                return None;
            }
        }
        let conversation = self.text.get(start..self.at)?;
        self.expect(b'"')?;
        Some(conversation)
    }

    /// Any JSON value, of which serde_json finds the end; what is in it is not judged.
    pub(super) fn value(&mut self) -> Option<&'a RawValue> {
        let mut values = serde_json::Deserializer::from_str(self.text.get(self.at..)?).into_iter();
        let raw = values.next()?.ok()?;
        self.at += values.byte_offset();
        Some(raw)
    }

    /// A value that is passed on as it is.
    pub(super) fn opaque(&mut self, bytes_max: usize) -> Option<&'a str> {
        let raw = self.value()?;
        (raw.get().len() <= bytes_max && json::check_opaque(&"", raw).is_ok()).then_some(raw.get())
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
pub(super) fn once<T>(slot: &mut Option<T>, value: T) -> Option<()> {
    slot.replace(value).is_none().then_some(())
}

/// Takes a field's value, unless the field has been there before.
pub(super) fn set<T>(slot: &mut Field<T>, value: Field<T>) -> Option<()> {
    if !matches!(slot, Field::LeftOut) {
        return None;
    }
    *slot = value;
    Some(())
}

#[cfg(test)]
mod tests;
