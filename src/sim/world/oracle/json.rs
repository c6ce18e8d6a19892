//! Reading records as the contract has it: one object, no key twice, nothing after it, nesting bounded.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize,
    de::{Deserializer, MapAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

use crate::{
    id::{check_id, parse_conversation},
    limits::{INTEGER_MAX, JSON_DEPTH_MAX},
};

/// Why something is refused: the name of the reason.
pub type Why = &'static str;

pub const MALFORMED: Why = "malformed";
pub const INVALID: Why = "invalid";
pub const UNSUPPORTED: Why = "unsupported";
pub const OVERSIZE: Why = "oversize";

/// The fields of a record where they stand in it, by name.
#[derive(Debug, Default)]
pub struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Fields<'a> {
    /// Reads a record down to its fields.
    pub fn read(value: Option<&'a [u8]>) -> Result<Self, Why> {
        let text = std::str::from_utf8(value.ok_or(MALFORMED)?).map_err(|_| MALFORMED)?;
        pairs(text).map(Self)
    }

    /// Version, type and nesting; the fields of `opaque` hold any JSON.
    pub fn check(&self, types: &[&str], opaque: &[&str]) -> Result<String, Why> {
        let kind = self.kind(types)?;
        self.nested(2, opaque, None)?;
        Ok(kind)
    }

    /// Version and type.
    pub fn kind(&self, types: &[&str]) -> Result<String, Why> {
        match self.value("v")? {
            Some(Value::Number(v)) if v.as_i64() == Some(1) => {}
            Some(Value::Number(v)) if v.is_i64() => return Err(UNSUPPORTED),
            _ => return Err(INVALID),
        }
        let kind = self.text("type")?.ok_or(INVALID)?;
        if types.contains(&kind.as_str()) { Ok(kind) } else { Err(UNSUPPORTED) }
    }

    /// What is nested in the fields, the one `apart` aside; `depth` is that of a list or object in them.
    pub fn nested(&self, depth: usize, opaque: &[&str], apart: Option<&str>) -> Result<(), Why> {
        let mut fields = self.0.iter().filter(|(name, _)| Some(&**name) != apart);
        fields.try_for_each(|(name, raw)| check_value(raw.get(), depth, opaque.contains(&&**name)))
    }

    pub fn raw(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, raw)| raw.get())
    }

    /// A field that may be left out.
    pub fn value(&self, name: &str) -> Result<Option<Value>, Why> {
        let value = self.raw(name).map(serde_json::from_str::<Value>);
        value.transpose().map_err(|_| MALFORMED)
    }

    pub fn text(&self, name: &str) -> Result<Option<String>, Why> {
        if let Some(text) = self.raw(name).and_then(plain) {
            return Ok(Some(text.to_owned()));
        }
        match self.value(name)? {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(INVALID),
        }
    }

    pub fn id(&self, name: &str) -> Result<Option<String>, Why> {
        let id = self.text(name)?;
        if id.as_deref().is_some_and(|id| check_id(id).is_err()) { Err(INVALID) } else { Ok(id) }
    }

    pub fn conversation(&self, name: &str) -> Result<Option<String>, Why> {
        let id = self.text(name)?;
        if id.as_deref().is_some_and(|id| parse_conversation(id).is_err()) { Err(INVALID) } else { Ok(id) }
    }

    pub fn integer(&self, name: &str) -> Result<Option<i64>, Why> {
        let Some(value) = self.value(name)? else { return Ok(None) };
        let integer = value.as_i64().filter(|integer| (-INTEGER_MAX..=INTEGER_MAX).contains(integer));
        integer.map(Some).ok_or(INVALID)
    }

    pub fn boolean(&self, name: &str) -> Result<Option<bool>, Why> {
        match self.value(name)? {
            None => Ok(None),
            Some(value) => value.as_bool().map(Some).ok_or(INVALID),
        }
    }

    pub fn list(&self, name: &str) -> Result<Option<Vec<Value>>, Why> {
        match self.value(name)? {
            None => Ok(None),
            Some(Value::Array(list)) => Ok(Some(list)),
            Some(_) => Err(INVALID),
        }
    }

    /// A list as the texts of its parts, none of them judged.
    pub fn parts(&self, name: &str) -> Result<Option<Vec<&'a str>>, Why> {
        let Some(text) = self.raw(name) else { return Ok(None) };
        if !text.starts_with('[') {
            return Err(INVALID);
        }
        let parts: Vec<&RawValue> = serde_json::from_str(text).map_err(|_| MALFORMED)?;
        Ok(Some(parts.iter().map(|part| part.get()).collect()))
    }

    /// A list of ids, each of which must be one.
    pub fn ids(&self, name: &str) -> Result<Option<Vec<String>>, Why> {
        let Some(list) = self.list(name)? else { return Ok(None) };
        list.iter().map(|value| as_id(value).ok_or(INVALID)).collect::<Result<_, _>>().map(Some)
    }
}

/// A value as an id, if it is one.
pub fn as_id(value: &Value) -> Option<String> {
    value.as_str().filter(|id| check_id(id).is_ok()).map(ToOwned::to_owned)
}

/// What a text without escapes says: it stands there as it is.
fn plain(raw: &str) -> Option<&str> {
    let text = raw.strip_prefix('"')?.strip_suffix('"')?;
    if text.contains('\\') { None } else { Some(text) }
}

/// `depth` is that of a list or object that the value is.
fn check_value(text: &str, depth: usize, opaque: bool) -> Result<(), Why> {
    let parts: Vec<&RawValue> = match text.as_bytes().first() {
        Some(b'{') => pairs(text)?.into_iter().map(|(_, raw)| raw).collect(),
        Some(b'[') => serde_json::from_str(text).map_err(|_| MALFORMED)?,
        // A number that is passed on may be of any size.
        Some(b'-' | b'0'..=b'9') if opaque => return Ok(()),
        _ if plain(text).is_some() => return Ok(()),
        _ => return serde_json::from_str::<Value>(text).map(|_| ()).map_err(|_| MALFORMED),
    };
    if depth > JSON_DEPTH_MAX {
        return Err(MALFORMED);
    }
    parts.iter().try_for_each(|part| check_value(part.get(), depth + 1, opaque))
}

/// The pairs of an object, no key twice, by name.
fn pairs(text: &str) -> Result<Vec<(Cow<'_, str>, &RawValue)>, Why> {
    let Pairs(mut pairs) = serde_json::from_str(text).map_err(|_| MALFORMED)?;
    pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
    match pairs.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        true => Err(MALFORMED),
        false => Ok(pairs),
    }
}

struct Pairs<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// A name, copied only where it has an escape.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;
        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::with_capacity(16);
                while let Some((Name(name), raw)) = map.next_entry()? {
                    pairs.push((name, raw));
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(PairsVisitor)
    }
}
