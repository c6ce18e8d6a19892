//! A naive reader of RFC 8259, one function per production, that shares nothing with serde_json. It accepts
//! what the grammar accepts, and says what the contract has decided where the RFC leaves it to the reader.

/// Deeper than any case that must be accepted; a recursion needs an end.
const DEPTH_MAX: usize = 1_000;

/// What a well-formed text has that a reader may refuse.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Found {
    /// Objects and arrays around the innermost value.
    pub depth: usize,
    pub duplicate_key: bool,
    /// An escape of half a surrogate pair.
    pub lone_surrogate: bool,
    /// A number beyond what 64-bit floating point has.
    pub too_large: bool,
}

/// `None` for what is no JSON text.
pub fn read(text: &[u8]) -> Option<Found> {
    let chars: Vec<char> = std::str::from_utf8(text).ok()?.chars().collect();
    let mut reader = Reader { chars, at: 0, depth: 0, found: Found::default() };
    reader.element()?;
    (reader.at == reader.chars.len()).then_some(reader.found)
}

struct Reader {
    chars: Vec<char>,
    at: usize,
    depth: usize,
    found: Found,
}

impl Reader {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn take(&mut self, wanted: impl Fn(char) -> bool) -> Option<char> {
        let char = self.peek().filter(|char| wanted(*char))?;
        self.at += 1;
        Some(char)
    }

    fn take_all(&mut self, word: &str) -> Option<()> {
        word.chars().try_for_each(|wanted| self.take(|char| char == wanted).map(drop))
    }

    fn space(&mut self) {
        while self.take(|char| matches!(char, ' ' | '\t' | '\n' | '\r')).is_some() {}
    }

    fn element(&mut self) -> Option<()> {
        self.space();
        match self.peek()? {
            '{' => self.nested(Self::object)?,
            '[' => self.nested(Self::array)?,
            '"' => drop(self.string()?),
            't' => self.take_all("true")?,
            'f' => self.take_all("false")?,
            'n' => self.take_all("null")?,
            _ => self.number()?,
        }
        self.space();
        Some(())
    }

    fn nested(&mut self, inner: fn(&mut Self) -> Option<()>) -> Option<()> {
        self.depth += 1;
        self.found.depth = self.found.depth.max(self.depth);
        if self.depth > DEPTH_MAX {
            return None;
        }
        self.at += 1;
        self.space();
        inner(self)?;
        self.depth -= 1;
        Some(())
    }

    fn array(&mut self) -> Option<()> {
        if self.take(|char| char == ']').is_some() {
            return Some(());
        }
        loop {
            self.element()?;
            if self.take(|char| matches!(char, ',' | ']'))? == ']' {
                return Some(());
            }
        }
    }

    fn object(&mut self) -> Option<()> {
        if self.take(|char| char == '}').is_some() {
            return Some(());
        }
        let mut keys: Vec<Vec<u32>> = Vec::new();
        loop {
            self.space();
            let key = self.string()?;
            self.found.duplicate_key |= keys.contains(&key);
            keys.push(key);
            self.space();
            self.take(|char| char == ':')?;
            self.element()?;
            if self.take(|char| matches!(char, ',' | '}'))? == '}' {
                return Some(());
            }
        }
    }

    /// The characters that the string stands for, halves of pairs joined.
    fn string(&mut self) -> Option<Vec<u32>> {
        self.take(|char| char == '"')?;
        let mut text = Vec::new();
        let mut high = None;
        loop {
            let char = self.take(|char| char >= ' ')?;
            let unit = match char {
                '\\' => self.escape()?,
                other => u32::from(other),
            };
            let escaped_half = char == '\\' && (0xd800..0xe000).contains(&unit);
            let is_low = escaped_half && unit >= 0xdc00;
            match high.take() {
                Some(high) if is_low => {
                    text.push(0x1_0000_u32 + ((high - 0xd800_u32) << 10) + (unit - 0xdc00_u32));
                    continue;
                }
                Some(_) => self.found.lone_surrogate = true,
                None => {}
            }
            if char == '"' {
                return Some(text);
            }
            self.found.lone_surrogate |= is_low;
            match escaped_half && !is_low {
                true => high = Some(unit),
                false => text.push(unit),
            }
        }
    }

    fn escape(&mut self) -> Option<u32> {
        Some(match self.take(|_| true)? {
            'u' => (0..4).try_fold(0, |unit, _| Some(unit * 16 + self.take(|_| true)?.to_digit(16)?))?,
            'b' => 8,
            'f' => 12,
            'n' => 10,
            'r' => 13,
            't' => 9,
            char @ ('"' | '\\' | '/') => u32::from(char),
            _ => return None,
        })
    }

    fn number(&mut self) -> Option<()> {
        let start = self.at;
        self.take(|char| char == '-');
        if self.take(|char| char == '0').is_none() {
            self.digits()?;
        }
        if self.take(|char| char == '.').is_some() {
            self.digits()?;
        }
        if self.take(|char| matches!(char, 'e' | 'E')).is_some() {
            self.take(|char| matches!(char, '+' | '-'));
            self.digits()?;
        }
        let text: String = self.chars[start..self.at].iter().collect();
        self.found.too_large |= text.parse::<f64>().ok()?.is_infinite();
        Some(())
    }

    fn digits(&mut self) -> Option<()> {
        self.take(|char| char.is_ascii_digit())?;
        while self.take(|char| char.is_ascii_digit()).is_some() {}
        Some(())
    }
}
