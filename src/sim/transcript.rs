//! What happened, a line each, as a digest or as text: the same seed must give the same bytes.

use std::fmt::{self, Write};

/// How much of a run is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    /// Nothing: for measuring.
    Nothing,
    /// A digest of all lines.
    #[default]
    Digest,
    /// The digest and the lines themselves.
    Lines,
}

#[derive(Debug)]
pub struct Transcript {
    keep: Keep,
    digest: Digest,
    lines: u64,
    /// The lines, or the last one where lines are not kept.
    text: String,
}

impl Transcript {
    #[must_use]
    pub fn new(keep: Keep) -> Self {
        Self { keep, digest: Digest::default(), lines: 0, text: String::new() }
    }

    /// Adds a line. Worlds and checkers may add their own; a line says what happened without its address in
    /// memory.
    pub fn line(&mut self, line: fmt::Arguments<'_>) {
        if self.keep == Keep::Nothing {
            return;
        }
        self.lines += 1;
        if self.keep == Keep::Digest {
            self.text.clear();
        }
        let start = self.text.len();
        // The sink does not fail; a Display that does would cut its line in every run alike.
        let _ = self.text.write_fmt(line);
        self.text.push('\n');
        self.digest.take(&self.text.as_bytes()[start..]);
    }

    /// Lines so far.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// A digest of all lines so far.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.digest.0
    }

    /// The lines so far; empty unless [`Keep::Lines`].
    #[must_use]
    pub fn text(&self) -> &str {
        if self.keep == Keep::Lines { &self.text } else { "" }
    }
}

/// FNV-1a of 64 bits over words of eight bytes, turned so that the high bits count: the same on every machine
/// and in every version.
#[derive(Debug, Clone, Copy)]
struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    fn take(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        for word in words.iter().chain([&last]) {
            let mixed = (self.0 ^ u64::from_le_bytes(*word)).wrapping_mul(0x0000_0100_0000_01b3);
            self.0 = mixed.rotate_left(29);
        }
    }
}

#[cfg(test)]
mod tests;
