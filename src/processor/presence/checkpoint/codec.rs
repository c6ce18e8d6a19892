//! Bytes of a checkpoint: LEB128 varints, signed numbers in zigzag, texts with their length.

use bytes::Bytes;

#[derive(Debug, Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    pub fn unsigned(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }

    pub fn signed(&mut self, number: i64) {
        self.unsigned((number << 1 ^ number >> 63) as u64);
    }

    pub fn optional(&mut self, number: Option<i64>) {
        self.byte(u8::from(number.is_some()));
        number.iter().for_each(|number| self.signed(*number));
    }

    pub fn fixed(&mut self, number: u64) {
        self.bytes.extend_from_slice(&number.to_le_bytes());
    }

    pub fn text(&mut self, text: &str) {
        self.unsigned(text.len() as u64);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    pub fn into_bytes(self) -> Bytes {
        self.bytes.into()
    }
}

/// Reads what a [`Writer`] wrote; every step says what was expected where the bytes are something else.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
}

pub(super) type Read<T> = Result<T, &'static str>;

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub fn byte(&mut self) -> Read<u8> {
        let (first, rest) = self.bytes.split_first().ok_or("it ends early")?;
        self.bytes = rest;
        Ok(*first)
    }

    pub fn unsigned(&mut self) -> Read<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err("a number is too large");
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                // One number has one form, or the bytes would not be canonical.
                return if byte == 0 && shift > 0 { Err("a number is padded") } else { Ok(number) };
            }
        }
        Err("a number is too long")
    }

    pub fn signed(&mut self) -> Read<i64> {
        let number = self.unsigned()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    pub fn optional(&mut self) -> Read<Option<i64>> {
        match self.byte()? {
            0 => Ok(None),
            1 => self.signed().map(Some),
            _ => Err("a mark is neither 0 nor 1"),
        }
    }

    pub fn fixed(&mut self) -> Read<u64> {
        self.take(8).map(|bytes| bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    pub fn text(&mut self) -> Read<&'a str> {
        let length = usize::try_from(self.unsigned()?).map_err(|_| "a text is too long")?;
        std::str::from_utf8(self.take(length)?).map_err(|_| "a text is not UTF-8")
    }

    /// How many items follow, of which each takes at least a byte.
    pub fn count(&mut self) -> Read<usize> {
        let count = usize::try_from(self.unsigned()?).map_err(|_| "a count is too large")?;
        if count <= self.bytes.len() { Ok(count) } else { Err("it ends early") }
    }

    pub fn end(&self) -> Read<()> {
        if self.bytes.is_empty() { Ok(()) } else { Err("bytes are left over") }
    }

    fn take(&mut self, length: usize) -> Read<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or("it ends early")?;
        self.bytes = rest;
        Ok(taken)
    }
}
