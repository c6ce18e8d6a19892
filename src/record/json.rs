//! Reading JSON strictly: one object, each key once, nothing after it, nesting bounded.
//!
//! serde_json judges the syntax. What it lets pass and the contract does not (duplicate keys, deep nesting,
//! numbers that are no integers) is judged here, in this one place for all records.

use std::{borrow::Cow, fmt, ops::RangeInclusive};

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{Reason, Refusal, heartbeats::Field};
use crate::{
    id::{check_id, parse_conversation},
    limits::{INTEGER_MAX, JSON_DEPTH_MAX},
    topology::Topic,
};

/// The version of the contract that is read and written here.
pub(super) const VERSION: i64 = 1;
/// Any integer that a record may carry.
pub(super) const ANY_INTEGER: RangeInclusive<i64> = -INTEGER_MAX..=INTEGER_MAX;
/// Counts, spans and positions.
pub(super) const NOT_NEGATIVE: RangeInclusive<i64> = 0..=INTEGER_MAX;

/// The text of a record's value.
pub(super) fn text(value: Option<&[u8]>) -> Result<&str, Refusal> {
    let Some(bytes) = value else {
        return Err(malformed("the value is null: a record of this topic is a JSON object"));
    };
    std::str::from_utf8(bytes).map_err(|error| malformed(format!("not UTF-8: {error}")))
}

pub(super) fn malformed(message: impl Into<String>) -> Refusal {
    Refusal::new(Reason::Malformed, message)
}

pub(super) fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(Reason::Invalid, message)
}

pub(super) fn unsupported(message: impl Into<String>) -> Refusal {
    Refusal::new(Reason::Unsupported, message)
}

pub(super) fn check_size(what: &str, bytes: usize, bytes_max: usize) -> Result<(), Refusal> {
    if bytes <= bytes_max {
        return Ok(());
    }
    Err(oversize(format!("{what}: {bytes} bytes, at most {bytes_max} are accepted")))
}

pub(super) fn oversize(message: impl Into<String>) -> Refusal {
    Refusal::new(Reason::Oversize, message)
}

/// The refusal of a record whose `type` this topic does not have.
pub(super) fn unknown_type(topic: Topic, kind: &str) -> Refusal {
    unsupported(format!("`type`: {} is no type of `{topic}` in version {VERSION}", shown(kind)))
}

/// The fields of an object as written; the values are well-formed JSON, and not yet judged.
#[derive(Debug)]
pub(super) struct Object<'a> {
    fields: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> Object<'a> {
    /// Reads a whole text as one object, down to its fields; [`Object::check_nested`] judges what is in them.
    pub(super) fn read(text: &'a str) -> Result<Self, Refusal> {
        let object = serde_json::from_str::<Fields<'a>>(text)
            .map_err(|error| malformed(format!("not a JSON object: {error}")))?;
        let fields = object.0;
        match duplicate(fields.iter().map(|(name, _)| name.as_ref())) {
            Some(name) => Err(malformed(duplicate_message(name))),
            None => Ok(Self { fields }),
        }
    }

    /// Reads a value inside a record as an object, of which nothing is left to be judged but the fields
    /// themselves. `depth` counts the objects and arrays around it.
    pub(super) fn read_nested(name: &str, raw: &'a RawValue, depth: usize) -> Result<Self, Refusal> {
        check_value(&name, raw, depth)?;
        Self::read_part(name, raw)
    }

    /// Reads a value inside a record as an object, down to its fields.
    pub(super) fn read_part(name: &str, raw: &'a RawValue) -> Result<Self, Refusal> {
        match kind(raw) {
            "an object" => Self::read(raw.get()),
            kind => Err(invalid(format!("{name}: an object is due, not {kind}"))),
        }
    }

    /// Reads a value as a record of version 1 and type `kind`, as our own producers write it; what is in the
    /// field `apart` is left to be judged.
    pub(super) fn read_record(
        value: Option<&'a [u8]>,
        kind: &str,
        apart: Option<&str>,
    ) -> Result<Self, Refusal> {
        let object = Self::read(text(value)?)?;
        object.check_version()?;
        if object.text("type")? != kind {
            return Err(unsupported(format!("`type`: a {kind} is due")));
        }
        object.check_nested(apart.as_slice(), 1)?;
        Ok(object)
    }

    pub(super) fn check_version(&self) -> Result<(), Refusal> {
        match self.integer("v", ANY_INTEGER)? {
            VERSION => Ok(()),
            _ => Err(unsupported(format!(
                "`v`: version {VERSION} is what is read here; upgrade the reader first"
            ))),
        }
    }

    /// Judges what is nested in this object, `depth` objects and arrays being around its fields, except in
    /// the fields `apart`, which are judged on their own.
    pub(super) fn check_nested(&self, apart: &[&str], depth: usize) -> Result<(), Refusal> {
        self.fields
            .iter()
            .filter(|(name, _)| !apart.contains(&name.as_ref()))
            .try_for_each(|(name, raw)| check_value(&shown(name), raw, depth))
    }

    pub(super) fn field(&self, name: &str) -> Field<&'a RawValue> {
        match self.fields.iter().find(|(field, _)| field == name) {
            None => Field::LeftOut,
            Some((_, raw)) if raw.get() == "null" => Field::Null,
            Some((_, raw)) => Field::Given(raw),
        }
    }

    pub(super) fn id(&self, name: &str) -> Result<Cow<'a, str>, Refusal> {
        as_id(&name, self.required(name)?)
    }

    pub(super) fn id_field(&self, name: &str) -> Result<Field<Cow<'a, str>>, Refusal> {
        self.field(name).map(|raw| as_id(&name, raw)).transpose()
    }

    /// An array of ids, each of which must be one.
    pub(super) fn ids(&self, name: &str) -> Result<Vec<Cow<'a, str>>, Refusal> {
        self.ids_field(name)?.given(name)
    }

    pub(super) fn ids_field(&self, name: &str) -> Result<Field<Vec<Cow<'a, str>>>, Refusal> {
        let as_ids = |parts: Vec<&'a RawValue>| {
            let indexed = (0_usize..).zip(parts);
            indexed.map(|(index, raw)| as_id(&format_args!("{name}[{index}]"), raw)).collect()
        };
        self.parts_field(name)?.map(as_ids).transpose()
    }

    pub(super) fn conversation(&self, name: &str) -> Result<Cow<'a, str>, Refusal> {
        as_conversation(name, self.required(name)?)
    }

    pub(super) fn conversation_field(&self, name: &str) -> Result<Field<Cow<'a, str>>, Refusal> {
        self.field(name).map(|raw| as_conversation(name, raw)).transpose()
    }

    /// Any JSON value as written, null among them, that is passed on and never looked into.
    pub(super) fn opaque(&self, name: &str, bytes_max: usize) -> Result<&'a str, Refusal> {
        let raw = match self.field(name) {
            Field::Null => return Ok("null"),
            field => field.given(name)?,
        };
        check_size(&format!("`{name}`"), raw.get().len(), bytes_max)?;
        check_opaque(&shown(name), raw)?;
        Ok(raw.get())
    }

    pub(super) fn text(&self, name: &str) -> Result<Cow<'a, str>, Refusal> {
        as_text(&name, self.required(name)?)
    }

    pub(super) fn text_field(&self, name: &str) -> Result<Field<Cow<'a, str>>, Refusal> {
        self.field(name).map(|raw| as_text(&name, raw)).transpose()
    }

    /// An id that may be left out, for a reader that keeps it.
    pub(super) fn optional_id(&self, name: &str) -> Result<Option<String>, Refusal> {
        Ok(self.id_field(name)?.optional(name)?.map(Cow::into_owned))
    }

    /// A text that may be left out, for a reader that keeps it.
    pub(super) fn optional_text(&self, name: &str) -> Result<Option<String>, Refusal> {
        Ok(self.text_field(name)?.optional(name)?.map(Cow::into_owned))
    }

    pub(super) fn integer(&self, name: &str, range: RangeInclusive<i64>) -> Result<i64, Refusal> {
        as_integer(name, self.required(name)?, range)
    }

    /// A number of things, or a partition.
    pub(super) fn count(&self, name: &str) -> Result<u32, Refusal> {
        self.integer(name, 0..=i64::from(u32::MAX)).map(|count| count as u32)
    }

    pub(super) fn integer_field(
        &self,
        name: &str,
        range: RangeInclusive<i64>,
    ) -> Result<Field<i64>, Refusal> {
        self.field(name).map(|raw| as_integer(name, raw, range)).transpose()
    }

    pub(super) fn boolean_field(&self, name: &str) -> Result<Field<bool>, Refusal> {
        self.field(name).map(|raw| as_boolean(name, raw)).transpose()
    }

    /// An array as its parts, none of them judged.
    pub(super) fn parts(&self, name: &str) -> Result<Vec<&'a RawValue>, Refusal> {
        self.parts_field(name)?.given(name)
    }

    pub(super) fn parts_field(&self, name: &str) -> Result<Field<Vec<&'a RawValue>>, Refusal> {
        self.field(name).map(|raw| as_parts(name, raw)).transpose()
    }

    pub(super) fn required(&self, name: &str) -> Result<&'a RawValue, Refusal> {
        self.field(name).given(name)
    }
}

impl<T> Field<T> {
    /// The value of a field that must be there.
    pub(super) fn given(self, name: &str) -> Result<T, Refusal> {
        match self {
            Self::Given(value) => Ok(value),
            Self::Null => Err(invalid(format!("`{name}` must not be null"))),
            Self::LeftOut => Err(invalid(format!("`{name}` is missing"))),
        }
    }

    /// The value of a field that may be left out, and must not be null.
    pub(super) fn optional(self, name: &str) -> Result<Option<T>, Refusal> {
        match self {
            Self::LeftOut => Ok(None),
            given => given.given(name).map(Some),
        }
    }

    pub(super) fn map<U>(self, f: impl FnOnce(T) -> U) -> Field<U> {
        match self {
            Self::LeftOut => Field::LeftOut,
            Self::Null => Field::Null,
            Self::Given(value) => Field::Given(f(value)),
        }
    }
}

impl<T> Field<Result<T, Refusal>> {
    fn transpose(self) -> Result<Field<T>, Refusal> {
        Ok(match self {
            Self::LeftOut => Field::LeftOut,
            Self::Null => Field::Null,
            Self::Given(value) => Field::Given(value?),
        })
    }
}

fn as_parts<'a>(name: &str, raw: &'a RawValue) -> Result<Vec<&'a RawValue>, Refusal> {
    match kind(raw) {
        "an array" => {
            serde_json::from_str(raw.get()).map_err(|error| malformed(format!("`{name}`: {error}")))
        }
        kind => Err(invalid(format!("`{name}`: an array is due, not {kind}"))),
    }
}

fn as_conversation<'a>(name: &str, raw: &'a RawValue) -> Result<Cow<'a, str>, Refusal> {
    let conversation = as_text(&name, raw)?;
    match parse_conversation(&conversation) {
        Ok(_) => Ok(conversation),
        Err(error) => Err(invalid(format!("`{name}`: {error}"))),
    }
}

fn as_text<'a>(name: &impl fmt::Display, raw: &'a RawValue) -> Result<Cow<'a, str>, Refusal> {
    match kind(raw) {
        "a string" => serde_json::from_str::<Text<'a>>(raw.get())
            .map(|text| text.0)
            .map_err(|error| malformed(format!("`{name}`: {error}"))),
        kind => Err(invalid(format!("`{name}`: a string is due, not {kind}"))),
    }
}

pub(super) fn as_id<'a>(name: &impl fmt::Display, raw: &'a RawValue) -> Result<Cow<'a, str>, Refusal> {
    let id = as_text(name, raw)?;
    match check_id(&id) {
        Ok(()) => Ok(id),
        Err(error) => Err(invalid(format!("`{name}`: {error}"))),
    }
}

fn as_integer(name: &str, raw: &RawValue, range: RangeInclusive<i64>) -> Result<i64, Refusal> {
    let digits = raw.get().strip_prefix('-').unwrap_or(raw.get());
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        let found = match kind(raw) {
            "a number" => "a number with a fraction or an exponent",
            kind => kind,
        };
        return Err(invalid(format!("`{name}`: an integer is due, not {found}")));
    }
    match raw.get().parse::<i64>() {
        Ok(integer) if range.contains(&integer) => Ok(integer),
        _ => Err(invalid(format!("`{name}`: must be {} .. {}", range.start(), range.end()))),
    }
}

fn as_boolean(name: &str, raw: &RawValue) -> Result<bool, Refusal> {
    match raw.get() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(invalid(format!("`{name}`: true or false is due, not {}", kind(raw)))),
    }
}

/// What a value is, told from its first byte: it is known to be well-formed.
fn kind(raw: &RawValue) -> &'static str {
    match raw.get().as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// Judges a value of a record as deep as it goes, `depth` objects and arrays being around it.
pub(super) fn check_value(name: &dyn fmt::Display, raw: &RawValue, depth: usize) -> Result<(), Refusal> {
    judge_value(name, raw, Strict { levels: JSON_DEPTH_MAX - depth, opaque: false })
}

/// Judges a value that is passed on and never looked into: its numbers may be of any size. Keys, nesting and
/// texts are judged as of a field of the outermost object, wherever the value has got to since.
pub(super) fn check_opaque(name: &dyn fmt::Display, raw: &RawValue) -> Result<(), Refusal> {
    judge_value(name, raw, Strict { levels: JSON_DEPTH_MAX - 1, opaque: true })
}

fn judge_value(name: &dyn fmt::Display, raw: &RawValue, strict: Strict) -> Result<(), Refusal> {
    // It is well-formed already; in a text, only escapes may still stand for what is none.
    if kind(raw) == "a string" && !raw.get().contains('\\') {
        return Ok(());
    }
    let mut reader = serde_json::Deserializer::from_str(raw.get());
    strict.deserialize(&mut reader).map_err(|error| malformed(format!("{name}: {error}")))
}

/// A name from a record as messages show it: short, and without what could disturb a line of text. Written
/// only where there is a message.
pub(super) struct Shown<'a>(&'a str);

pub(super) fn shown(name: &str) -> Shown<'_> {
    Shown(name)
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const CHARS_MAX: usize = 40;
        let shown = self.0.chars().take(CHARS_MAX).flat_map(char::escape_debug);
        let is_cut = self.0.chars().nth(CHARS_MAX).is_some();
        f.write_str("`")?;
        shown.into_iter().try_for_each(|char| write!(f, "{char}"))?;
        f.write_str(if is_cut { "…`" } else { "`" })
    }
}

fn duplicate<'k>(names: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

fn duplicate_message(name: &str) -> String {
    format!("duplicate key {}", shown(name))
}

/// A string, borrowed unless it has escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::with_capacity(12);
                while let Some((name, raw)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
                    fields.push((name.0, raw));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(FieldsVisitor)
    }
}

/// Walks a value and keeps nothing; `levels` of nesting are left.
#[derive(Clone, Copy)]
struct Strict {
    levels: usize,
    /// Numbers are looked over but not read, so that none is out of range.
    opaque: bool,
}

impl Strict {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        match self.levels.checked_sub(1) {
            Some(levels) => Ok(Self { levels, ..self }),
            None => Err(E::custom(format!("nested deeper than {JSON_DEPTH_MAX}"))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if !self.opaque {
            return deserializer.deserialize_any(self);
        }
        let raw = <&RawValue>::deserialize(deserializer)?;
        match kind(raw) {
            "a number" => Ok(()),
            _ => serde_json::Deserializer::from_str(raw.get()).deserialize_any(self).map_err(Error::custom),
        }
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while seq.next_element_seed(inner)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        let mut names = Vec::new();
        while let Some(name) = map.next_key::<Text<'de>>()? {
            names.push(name.0);
            map.next_value_seed(inner)?;
        }
        match duplicate(names.iter().map(AsRef::as_ref)) {
            Some(name) => Err(A::Error::custom(duplicate_message(name))),
            None => Ok(()),
        }
    }
}
