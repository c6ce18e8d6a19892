//! Where keys and values of many records lie side by side.

use std::mem;

use bytes::{Bytes, BytesMut};

/// Bytes of a block, some fifty records. It is freed once the last of what lies in it is let go.
const BLOCK: usize = 16 * 1024;

/// Gives out [`Bytes`] that share blocks: one allocation for many records, and none to clone one.
#[derive(Debug, Default)]
pub struct Arena {
    /// What is being written, whose length is not known before.
    scratch: Vec<u8>,
    block: BytesMut,
}

impl Arena {
    /// A copy.
    pub fn copy(&mut self, bytes: &[u8]) -> Bytes {
        if self.block.capacity() < bytes.len() {
            self.block = BytesMut::with_capacity(BLOCK.max(bytes.len()));
        }
        self.block.extend_from_slice(bytes);
        self.block.split().freeze()
    }

    /// What `write` appends to the empty vector that it gets.
    pub fn write(&mut self, write: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Bytes {
        let mut written = write(mem::take(&mut self.scratch));
        let bytes = self.copy(&written);
        written.clear();
        self.scratch = written;
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_out_stays_as_it_was() {
        let mut arena = Arena::default();
        let texts: Vec<Vec<u8>> =
            (0..500).map(|n| format!("{n:0>width$}", width = n % 300).into_bytes()).collect();
        let copies: Vec<Bytes> = texts.iter().map(|text| arena.copy(text)).collect();
        let written: Vec<Bytes> = texts
            .iter()
            .map(|text| {
                arena.write(|mut bytes| {
                    assert!(bytes.is_empty());
                    bytes.extend_from_slice(text);
                    bytes
                })
            })
            .collect();
        let large = arena.copy(&vec![7; 3 * BLOCK]);
        assert_eq!(copies, texts);
        assert_eq!(written, texts);
        assert_eq!(large, vec![7; 3 * BLOCK]);
    }

    #[test]
    fn records_share_blocks() {
        let mut arena = Arena::default();
        let copies: Vec<Bytes> = (0..BLOCK / 64).map(|_| arena.copy(&[0; 64])).collect();
        assert!(copies.windows(2).all(|pair| pair[0].as_ptr().addr() + 64 == pair[1].as_ptr().addr()));
    }
}
