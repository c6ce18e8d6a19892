//! Bytes of what is stored: big-endian integers and framed byte strings, read without trusting them.
//!
//! The journal and the blocks below carry checksums of their own; here only the form is checked.

/// Writes one value.
#[derive(Debug, Default)]
pub(super) struct Encoder(Vec<u8>);

impl Encoder {
    pub fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// What was written so far, in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn u8(&mut self, number: u8) {
        self.0.push(number);
    }

    pub fn u32(&mut self, number: u32) {
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    pub fn i64(&mut self, number: i64) {
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    /// A byte string or null: its length + 1, then its bytes; 0 stands for null.
    pub fn optional(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            None => self.u32(0),
            Some(bytes) => {
                self.u32(bytes.len() as u32 + 1);
                self.0.extend_from_slice(bytes);
            }
        }
    }

    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads one value; `None` wherever the bytes are too short or say something impossible.
#[derive(Debug)]
pub(super) struct Decoder<'a>(&'a [u8]);

impl<'a> Decoder<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn u8(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_be_bytes)
    }

    /// The outer `Option` is the damage, the inner one the null.
    pub fn optional(&mut self) -> Option<Option<&'a [u8]>> {
        let Some(length) = self.u32()?.checked_sub(1) else {
            return Some(None);
        };
        let (bytes, rest) = self.0.split_at_checked(length as usize)?;
        self.0 = rest;
        Some(Some(bytes))
    }

    /// How many bytes were not read yet.
    pub fn left(&self) -> usize {
        self.0.len()
    }

    /// Whether everything was read; bytes that are left over are damage too.
    pub fn is_finished(&self) -> bool {
        self.0.is_empty()
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*bytes)
    }
}
