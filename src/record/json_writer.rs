//! Writing compact JSON, field by field, into one buffer.

use bytes::Bytes;

/// A JSON text under way. Field names are the contract's own and need no escapes.
#[derive(Debug)]
pub(super) struct JsonWriter {
    bytes: Vec<u8>,
}

impl JsonWriter {
    /// Begins an object of version 1 and this type.
    pub(super) fn record(kind: &str, capacity: usize) -> Self {
        Self::record_in(Vec::with_capacity(capacity), kind)
    }

    /// The same in an empty vector.
    pub(super) fn record_in(bytes: Vec<u8>, kind: &str) -> Self {
        let mut writer = Self { bytes };
        writer.bytes.extend_from_slice(br#"{"v":1,"type":""#);
        writer.bytes.extend_from_slice(kind.as_bytes());
        writer.bytes.push(b'"');
        writer
    }

    /// Begins an array.
    pub(super) fn array() -> Self {
        Self { bytes: vec![b'['] }
    }

    pub(super) fn text(&mut self, name: &str, text: &str) {
        self.name(name);
        self.push_text(text);
    }

    pub(super) fn optional_integer(&mut self, name: &str, integer: Option<i64>) {
        if let Some(integer) = integer {
            self.integer(name, integer);
        }
    }

    pub(super) fn optional_text(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    pub(super) fn texts<T: AsRef<str>>(&mut self, name: &str, texts: &[T]) {
        self.begin_array(name);
        for text in texts {
            self.part_text(text.as_ref());
        }
        self.end_array();
    }

    /// A text that is a part of an array.
    pub(super) fn part_text(&mut self, text: &str) {
        self.separate();
        self.push_text(text);
    }

    pub(super) fn integer(&mut self, name: &str, integer: i64) {
        self.name(name);
        self.push_integer(integer);
    }

    /// A value that is JSON already.
    pub(super) fn raw(&mut self, name: &str, json: &str) {
        self.name(name);
        self.bytes.extend_from_slice(json.as_bytes());
    }

    pub(super) fn boolean(&mut self, name: &str, boolean: bool) {
        self.raw(name, if boolean { "true" } else { "false" });
    }

    pub(super) fn begin_object(&mut self, name: &str) {
        self.name(name);
        self.bytes.push(b'{');
    }

    pub(super) fn begin_array(&mut self, name: &str) {
        self.name(name);
        self.bytes.push(b'[');
    }

    /// Begins an object that is a part of an array.
    pub(super) fn begin_part(&mut self) {
        self.separate();
        self.bytes.push(b'{');
    }

    pub(super) fn end_object(&mut self) {
        self.bytes.push(b'}');
    }

    pub(super) fn end_array(&mut self) {
        self.bytes.push(b']');
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Takes back what was written after the first `len` bytes.
    pub(super) fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
    }

    pub(super) fn into_vec(self) -> Vec<u8> {
        self.bytes
    }

    pub(super) fn into_bytes(self) -> Bytes {
        Bytes::from(self.bytes)
    }

    fn name(&mut self, name: &str) {
        self.separate();
        self.bytes.push(b'"');
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(b"\":");
    }

    fn separate(&mut self) {
        if !matches!(self.bytes.last(), Some(b'{' | b'[')) {
            self.bytes.push(b',');
        }
    }

    fn push_text(&mut self, text: &str) {
        self.bytes.push(b'"');
        let mut rest = text.as_bytes();
        while let Some(at) = rest.iter().position(|b| matches!(b, 0..0x20 | b'"' | b'\\')) {
            self.bytes.extend_from_slice(&rest[..at]);
            self.push_escape(rest[at]);
            rest = &rest[at + 1..];
        }
        self.bytes.extend_from_slice(rest);
        self.bytes.push(b'"');
    }

    fn push_escape(&mut self, byte: u8) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let short = match byte {
            b'"' | b'\\' => byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            _ => {
                let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
                self.bytes.extend_from_slice(b"\\u00");
                return self.bytes.extend_from_slice(&digits);
            }
        };
        self.bytes.extend_from_slice(&[b'\\', short]);
    }

    fn push_integer(&mut self, integer: i64) {
        if integer < 0 {
            self.bytes.push(b'-');
        }
        let mut digits = [0; 20];
        let mut at = digits.len();
        let mut rest = integer.unsigned_abs();
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.bytes.extend_from_slice(&digits[at..]);
    }
}

#[cfg(test)]
mod tests;
