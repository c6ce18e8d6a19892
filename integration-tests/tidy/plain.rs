//! Rust without what its comments and literals say, so that a brace or a word in a text is not taken for
//! code.

/// A file's text with blanks in the place of comments and of what literals say. Lines stay where they are.
pub struct Plain(String);

impl Plain {
    pub fn of(text: &str) -> Self {
        let mut scanner = Scanner { rest: text.chars().collect(), at: 0, plain: String::new() };
        while scanner.at < scanner.rest.len() {
            scanner.step();
        }
        Self(scanner.plain)
    }

    pub fn text(&self) -> &str {
        &self.0
    }
}

/// The identifiers and keywords of a line.
pub fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !is_word(c)).filter(|word| !word.is_empty())
}

pub fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

struct Scanner {
    rest: Vec<char>,
    at: usize,
    plain: String,
}

impl Scanner {
    fn step(&mut self) {
        let before = self.at.checked_sub(1).map(|at| self.rest[at]);
        let begins_word = !before.is_some_and(is_word);
        if self.starts("//") {
            self.blank_while(|scanner| !scanner.starts("\n"));
        } else if self.starts("/*") {
            self.block_comment();
        } else if let Some(hashes) = self.raw_string().filter(|_| begins_word) {
            let end = format!("\"{}", "#".repeat(hashes));
            self.blank_while(|scanner| !scanner.starts("\""));
            self.blank(1);
            self.blank_while(|scanner| !scanner.starts(&end));
            self.blank(hashes + 1);
        } else if self.starts("\"") {
            self.quoted('"');
        } else if self.starts("'") && self.is_character() {
            self.quoted('\'');
        } else {
            self.plain.push(self.rest[self.at]);
            self.at += 1;
        }
    }

    fn starts(&self, text: &str) -> bool {
        text.chars().zip(0..).all(|(c, ahead)| self.peek(ahead) == Some(c))
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.rest.get(self.at + ahead).copied()
    }

    fn blank(&mut self, count: usize) {
        for _ in 0..count {
            if let Some(c) = self.peek(0) {
                self.plain.push(if c == '\n' { '\n' } else { ' ' });
                self.at += 1;
            }
        }
    }

    fn blank_while(&mut self, goes_on: impl Fn(&Self) -> bool) {
        while self.at < self.rest.len() && goes_on(self) {
            self.blank(1);
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        loop {
            if self.starts("/*") {
                depth += 1;
                self.blank(2);
            } else if self.starts("*/") {
                depth -= 1;
                self.blank(2);
            } else {
                self.blank(1);
            }
            if depth == 0 || self.at == self.rest.len() {
                return;
            }
        }
    }

    /// How many hashes follow the `r` or `br` of a raw string that begins here.
    fn raw_string(&self) -> Option<usize> {
        let start = if self.starts("br") { 2 } else { usize::from(self.starts("r")) };
        let hashes = (start..).take_while(|ahead| self.peek(*ahead) == Some('#')).count();
        (start > 0 && self.peek(start + hashes) == Some('"')).then_some(hashes)
    }

    /// Whether the quote here begins a character, and not a lifetime.
    fn is_character(&self) -> bool {
        self.peek(1) == Some('\\') || self.peek(2) == Some('\'')
    }

    fn quoted(&mut self, quote: char) {
        self.blank(1);
        while let Some(c) = self.peek(0) {
            self.blank(if c == '\\' { 2 } else { 1 });
            if c == quote {
                return;
            }
        }
    }
}
