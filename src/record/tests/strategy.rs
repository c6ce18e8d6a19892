//! Parts of arbitrary records, and records that were valid once.

use std::borrow::Cow;

use proptest::{collection::vec, prelude::*, sample::select};

use crate::{limits::INTEGER_MAX, record::RecordOrigin};

pub(in crate::record) fn id() -> BoxedStrategy<Cow<'static, str>> {
    prop_oneof![
        6 => "[a-z0-9._-]{1,20}",
        1 => "[a-z]{126,128}",
        1 => "[ -.0-~¡-\u{2fff}🙂]{1,30}",
    ]
    .prop_map(Cow::Owned)
    .boxed()
}

pub(in crate::record) fn integer() -> impl Strategy<Value = i64> {
    prop_oneof![0..2_000_000_000_000_i64, -INTEGER_MAX..=INTEGER_MAX, 0..10_i64]
}

/// A number in a conversation or an inbox.
pub(in crate::record) fn seq() -> impl Strategy<Value = i64> {
    prop_oneof![1..100_i64, 1..=INTEGER_MAX]
}

pub(in crate::record) fn origin() -> impl Strategy<Value = RecordOrigin> {
    (any::<u32>(), 0..=INTEGER_MAX).prop_map(|(partition, offset)| RecordOrigin { partition, offset })
}

pub(in crate::record) fn group() -> BoxedStrategy<Cow<'static, str>> {
    id().prop_map(|id| format!("group/{id}").into()).boxed()
}

pub(in crate::record) fn conversation() -> BoxedStrategy<Cow<'static, str>> {
    let direct = (id(), id()).prop_map(|(a, b)| format!("direct/{}/{}", (&a).min(&b), (&a).max(&b)).into());
    prop_oneof![group(), direct].boxed()
}

pub(in crate::record) fn body() -> impl Strategy<Value = &'static str> {
    select(BODIES)
}

/// Values that a reader of JSON would not write the same again.
pub(in crate::record) const BODIES: &[&str] = &[
    "null",
    "{}",
    "\"\\u0061 \\/ \\ud83d\\ude42\"",
    "{\"b\": 1, \"a\": 2.50}",
    "[ 9007199254740993, -9007199254740992 ,1e999, 1E-400,-0, 0.10]",
    "123456789012345678901234567890",
    "{\"text\":\"hello\",\n \"inner\":{\"deep\":[true,false,null]}}",
];

/// The bytes of a valid record after a few edits; most are refused, some become other valid records.
pub(in crate::record) fn edited(records: impl Strategy<Value = Vec<u8>> + 'static) -> BoxedStrategy<Vec<u8>> {
    let edit = (any::<prop::sample::Index>(), 0..3_usize, select(FRAGMENTS));
    let apply = |(mut bytes, edits): (Vec<u8>, Vec<(prop::sample::Index, usize, &str)>)| {
        for (at, removed, fragment) in edits {
            let start = at.index(bytes.len() + 1);
            let end = (start + removed).min(bytes.len());
            bytes.splice(start..end, fragment.bytes());
        }
        bytes
    };
    (records, vec(edit, 0..4)).prop_map(apply).boxed()
}

/// A text with every fragment put in at every place, also instead of the character there.
pub(in crate::record) fn single_edits(text: &str) -> impl Iterator<Item = String> + '_ {
    let places = (0..text.len()).flat_map(|at| [(at, 0), (at, 1)]);
    places.flat_map(move |(at, removed)| {
        FRAGMENTS.iter().map(move |fragment| [&text[..at], fragment, &text[at + removed..]].concat())
    })
}

/// What an edit may put in; single characters of JSON first.
pub(in crate::record) const FRAGMENTS: &[&str] = &[
    "",
    "\"",
    "\\",
    "\\u0061",
    "\\u002f",
    "/",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    " ",
    "\n",
    "0",
    "00",
    "-",
    "-1",
    ".0",
    "1e3",
    "e",
    "7",
    "12345678",
    "9007199254740991",
    "9007199254740992",
    "null",
    "true",
    "false",
    "é",
    "\u{7f}",
    "\u{85}",
    "\u{0}",
    ",\"busy\":true",
    ",\"user\":\"x\"",
    ",\"counter\":1",
    ",\"v\":1",
    ",\"x\":{}",
    "{},",
    "\"metadata\":{\"a\":1,\"a\":2},",
    "\"device\":null,",
    "\"lease_ms\":4999,",
    "\"idle_ms\":0,",
    "[[[[[[[[[[[[[[[[",
    ",\"recipients\":[\"a\",\"b/\",1]",
    ",\"add\":[\"a\"]",
    ",\"seq\":1",
    ",\"inbox\":7",
    ",\"conversation\":\"group/x\"",
    "direct/a/b",
    "group/",
    "1e999",
];
