//! 64-bit FNV-1a. Its values stand in rows and in checkpoints, so it must never change.

/// A hash under way.
#[derive(Debug, Clone, Copy)]
pub struct Fnv1a(u64);

impl Default for Fnv1a {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv1a {
    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> Self {
        let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        Self(bytes.iter().fold(self.0, step))
    }

    #[must_use]
    pub fn count(self, count: usize) -> Self {
        self.bytes(&(count as u64).to_le_bytes())
    }

    /// One of several fields: its length goes first, so that the end of one is never the start of the next.
    #[must_use]
    pub fn field(self, bytes: &[u8]) -> Self {
        self.count(bytes.len()).bytes(bytes)
    }

    /// A list of fields, after their number.
    #[must_use]
    pub fn fields<T: AsRef<str>>(self, fields: &[T]) -> Self {
        fields.iter().fold(self.count(fields.len()), |hash, field| hash.field(field.as_ref().as_bytes()))
    }

    #[must_use]
    pub const fn finish(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::Fnv1a;

    #[test]
    fn the_hash_is_that_of_its_authors() {
        let hash = |text: &str| Fnv1a::default().bytes(text.as_bytes()).finish();
        assert_eq!(hash(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(hash("foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn fields_and_lists_are_told_apart_however_their_bytes_fall() {
        let lists: [(&[&str], &[&str]); 5] =
            [(&["ab"], &[]), (&["a", "b"], &[]), (&["a"], &["b"]), (&[], &["a", "b"]), (&[], &["ab"])];
        let mut hashes =
            lists.map(|(first, second)| Fnv1a::default().fields(first).fields(second).finish()).to_vec();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), lists.len());
    }
}
