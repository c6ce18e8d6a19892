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
        let start = self.text.len();
        // Neither sink fails; a Display that does would cut its line in every run alike.
        if self.keep == Keep::Lines {
            let _ = writeln!(self.text, "{line}");
            let _ = self.digest.write_str(&self.text[start..]);
        } else {
            let _ = writeln!(self.digest, "{line}");
        }
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
        &self.text
    }
}

/// FNV-1a of 64 bits: the same on every machine and in every version.
#[derive(Debug, Clone, Copy)]
pub struct Digest(pub u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
