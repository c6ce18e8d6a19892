//! Every limit of the contract: one below it and at it a record is read, one above it is refused, and with
//! which reason. How much of a topic a database takes is tried where that is decided.

use super::{
    super::{posted, receipts, sends},
    *,
};
use crate::limits::*;

/// Whether a record with this many bytes, elements or milliseconds of something is refused, and why.
type Try = fn(i64) -> Option<Reason>;

fn beats(text: &str) -> Option<Reason> {
    match heartbeats::decode(Some(text.as_bytes())) {
        Ok(Input::Heartbeats { refused, .. } | Input::Goodbyes { refused, .. }) => {
            refused.first().map(|part| part.refusal.reason)
        }
        Ok(_) => None,
        Err(refusal) => Some(refusal.reason),
    }
}

fn beat(fields: &str) -> Option<Reason> {
    let text = format!(r#"{{"v":1,"type":"heartbeat","user":"a","session":"s","counter":1{fields}}}"#);
    let batch = format!(
        r#"{{"v":1,"type":"heartbeats","beats":[{{"user":"a","session":"s","counter":1{fields}}}]}}"#
    );
    assert_eq!(beats(&text), beats(&batch), "alone and in a batch: {fields}");
    beats(&text)
}

fn send(fields: &str) -> Option<Reason> {
    let text = format!(r#"{{"v":1,"conversation":"group/g","client_id":"c",{fields}}}"#);
    match sends::decode(Some(text.as_bytes())) {
        Ok(sends::SendInput::Message(message)) => message.refused.first().map(|part| part.refusal.reason),
        Ok(_) => None,
        Err(refused) => Some(refused.refusal.reason),
    }
}

fn receipt(fields: &str) -> Option<Reason> {
    let text = format!(r#"{{"v":1,"type":"read",{fields}}}"#);
    receipts::decode(Some(text.as_bytes())).err().map(|refusal| refusal.reason)
}

fn deliveries(text: &str) -> Option<Reason> {
    posted::decode_deliveries(Some(text.as_bytes())).err().map(|refusal| refusal.reason)
}

fn one_delivery(body: &str, recipients: &str) -> String {
    format!(
        r#"{{"v":1,"type":"deliveries","messages":[{{"conversation":"group/g","seq":1,"sender":"a",
        "client_id":"c","accepted_at":1,"body":{body},"recipients":{recipients}}}]}}"#
    )
}

fn letters(bytes: i64) -> String {
    "x".repeat(bytes as usize)
}

/// Two bytes of every three are of one letter, so that bytes and characters are told apart.
fn wide(bytes: i64) -> String {
    format!("{}{}", "é".repeat(bytes as usize / 2), "x".repeat(bytes as usize % 2))
}

/// A valid record with white space up to `bytes`.
fn padded(text: &str, bytes: i64) -> String {
    format!("{text}{}", " ".repeat(bytes as usize - text.len()))
}

fn ids(count: i64) -> String {
    format!("[{}]", vec!["\"u\""; count as usize].join(","))
}

const UPPER: &[(&str, i64, Reason, Try)] = &[
    ("bytes of a heartbeat", HEARTBEAT_BYTES_MAX as i64, Reason::Oversize, |bytes| {
        beats(&padded(r#"{"v":1,"type":"heartbeat","user":"a","session":"s","counter":1}"#, bytes))
    }),
    ("bytes of a goodbye", HEARTBEAT_BYTES_MAX as i64, Reason::Oversize, |bytes| {
        beats(&padded(r#"{"v":1,"type":"goodbye","user":"a","session":"s","counter":1}"#, bytes))
    }),
    ("bytes of a status", HEARTBEAT_BYTES_MAX as i64, Reason::Oversize, |bytes| {
        beats(&padded(r#"{"v":1,"type":"status","user":"a"}"#, bytes))
    }),
    ("bytes of a lost gateway", HEARTBEAT_BYTES_MAX as i64, Reason::Oversize, |bytes| {
        beats(&padded(r#"{"v":1,"type":"gateway_gone","gateway":"g"}"#, bytes))
    }),
    ("bytes of a batch of beats", BATCH_BYTES_MAX as i64, Reason::Oversize, |bytes| {
        beats(&padded(r#"{"v":1,"type":"heartbeats","beats":[]}"#, bytes))
    }),
    ("bytes of a batch of goodbyes", BATCH_BYTES_MAX as i64, Reason::Oversize, |bytes| {
        beats(&padded(r#"{"v":1,"type":"goodbyes","ends":[]}"#, bytes))
    }),
    ("bytes of a user", ID_BYTES_MAX as i64, Reason::Invalid, |bytes| {
        beats(&format!(r#"{{"v":1,"type":"status","user":"{}"}}"#, letters(bytes)))
    }),
    ("bytes of a user that is not ASCII", ID_BYTES_MAX as i64, Reason::Invalid, |bytes| {
        beats(&format!(r#"{{"v":1,"type":"status","user":"{}"}}"#, wide(bytes)))
    }),
    ("bytes of a device", ID_BYTES_MAX as i64, Reason::Invalid, |bytes| {
        beat(&format!(",\"device\":\"{}\"", letters(bytes)))
    }),
    ("bytes of a gateway", ID_BYTES_MAX as i64, Reason::Invalid, |bytes| {
        beat(&format!(",\"gateway\":\"{}\"", wide(bytes)))
    }),
    ("bytes of metadata", METADATA_BYTES_MAX as i64, Reason::Oversize, |bytes| {
        beat(&format!(",\"metadata\":\"{}\"", letters(bytes - 2)))
    }),
    ("milliseconds of a lease", LEASE_MS_MAX, Reason::Invalid, |ms| beat(&format!(",\"lease_ms\":{ms}"))),
    ("an epoch", INTEGER_MAX, Reason::Invalid, |epoch| beat(&format!(",\"epoch\":{epoch}"))),
    ("milliseconds of idleness", INTEGER_MAX, Reason::Invalid, |ms| beat(&format!(",\"idle_ms\":{ms}"))),
    ("milliseconds of a goodbye", AFTER_MS_MAX, Reason::Invalid, |ms| {
        let end = format!(r#""user":"a","session":"s","counter":1,"after_ms":{ms}"#);
        let alone = beats(&format!(r#"{{"v":1,"type":"goodbye",{end}}}"#));
        assert_eq!(alone, beats(&format!(r#"{{"v":1,"type":"goodbyes","ends":[{{{end}}}]}}"#)));
        alone
    }),
    ("bytes of a status text", TEXT_BYTES_MAX as i64, Reason::Oversize, |bytes| {
        beats(&format!(r#"{{"v":1,"type":"status","user":"a","status_text":"{}"}}"#, wide(bytes)))
    }),
    ("bytes of an activity", TEXT_BYTES_MAX as i64, Reason::Oversize, |bytes| {
        beats(&format!(r#"{{"v":1,"type":"status","user":"a","activity":"{}"}}"#, letters(bytes)))
    }),
    ("nesting of metadata", JSON_DEPTH_MAX as i64, Reason::Malformed, |levels| {
        let (open, close) = ("[".repeat(levels as usize - 1), "]".repeat(levels as usize - 1));
        let text = r#"{"v":1,"type":"heartbeat","user":"a","session":"s","counter":1,"metadata":"#;
        beats(&format!("{text}{open}{close}}}"))
    }),
    ("bytes of a message", SEND_BYTES_MAX as i64, Reason::Oversize, |bytes| {
        const FRAME: i64 = r#"{"v":1,"conversation":"group/g","client_id":"c",}"#.len() as i64;
        send(&padded(r#""type":"message","sender":"a","body":1"#, bytes - FRAME))
    }),
    ("bytes of a change of members", SEND_BYTES_MAX as i64, Reason::Oversize, |bytes| {
        const FRAME: i64 = r#"{"v":1,"conversation":"group/g","client_id":"c",}"#.len() as i64;
        send(&padded(r#""type":"members","by":"a","add":[]"#, bytes - FRAME))
    }),
    ("bytes of a body", BODY_BYTES_MAX as i64, Reason::Oversize, |bytes| {
        send(&format!(r#""type":"message","sender":"a","body":"{}""#, wide(bytes - 2)))
    }),
    ("nesting of a body", JSON_DEPTH_MAX as i64, Reason::Malformed, |levels| {
        let (open, close) = ("{\"a\":".repeat(levels as usize - 1), "}".repeat(levels as usize - 1));
        send(&format!(r#""type":"message","sender":"a","body":{open}1{close}"#))
    }),
    ("recipients", RECIPIENTS_MAX as i64, Reason::Oversize, |count| {
        send(&format!(r#""type":"message","sender":"a","body":1,"recipients":{}"#, ids(count)))
    }),
    ("members added", RECIPIENTS_MAX as i64, Reason::Oversize, |count| {
        send(&format!(r#""type":"members","by":"a","add":{}"#, ids(count)))
    }),
    ("members added and removed", RECIPIENTS_MAX as i64, Reason::Oversize, |count| {
        let removed = ids(count - 5_000).replace('u', "r");
        send(&format!(r#""type":"members","by":"a","add":{},"remove":{removed}"#, ids(5_000)))
    }),
    ("bytes of a recipient", ID_BYTES_MAX as i64, Reason::Invalid, |bytes| {
        send(&format!(r#""type":"message","sender":"a","body":1,"recipients":["{}"]"#, letters(bytes)))
    }),
    ("bytes of a receipt", RECEIPT_BYTES_MAX as i64, Reason::Oversize, |bytes| {
        let text = padded(r#"{"v":1,"type":"read","user":"a","inbox":1}"#, bytes);
        receipts::decode(Some(text.as_bytes())).err().map(|refusal| refusal.reason)
    }),
    ("a position of an inbox", INTEGER_MAX, Reason::Invalid, |at| {
        receipt(&format!(r#""user":"a","inbox":{at}"#))
    }),
    ("bytes of a group's id", ID_BYTES_MAX as i64, Reason::Invalid, |bytes| {
        receipt(&format!(r#""user":"a","conversation":"group/{}","seq":1"#, letters(bytes)))
    }),
    ("bytes of a user of a direct conversation", ID_BYTES_MAX as i64, Reason::Invalid, |bytes| {
        receipt(&format!(r#""user":"a","conversation":"direct/a/{}","seq":1"#, letters(bytes)))
    }),
    ("recipients of deliveries", RECIPIENTS_MAX as i64, Reason::Oversize, |count| {
        deliveries(&one_delivery("1", &ids(count)))
    }),
    ("bytes of a delivered body", BODY_BYTES_MAX as i64, Reason::Oversize, |bytes| {
        deliveries(&one_delivery(&format!("\"{}\"", letters(bytes - 2)), "[]"))
    }),
    (
        "bytes of deliveries",
        (DELIVERIES_BYTES_MAX + POSTED_HEAD_BYTES_MAX + BODY_BYTES_MAX) as i64,
        Reason::Oversize,
        |bytes| deliveries(&padded(&one_delivery("1", "[]"), bytes)),
    ),
];

#[test]
fn a_record_is_read_one_below_every_limit_and_at_it_and_refused_one_above() {
    for (what, limit, reason, refused) in UPPER {
        assert_eq!(refused(limit - 1), None, "{what}: {limit} - 1");
        assert_eq!(refused(*limit), None, "{what}: {limit}");
        assert_eq!(refused(limit + 1), Some(*reason), "{what}: {limit} + 1");
    }
}

const LOWER: &[(&str, i64, Reason, Try)] = &[
    ("milliseconds of a lease", LEASE_MS_MIN, Reason::Invalid, |ms| beat(&format!(",\"lease_ms\":{ms}"))),
    ("an epoch", -INTEGER_MAX, Reason::Invalid, |epoch| beat(&format!(",\"epoch\":{epoch}"))),
    ("milliseconds of idleness", 0, Reason::Invalid, |ms| beat(&format!(",\"idle_ms\":{ms}"))),
    ("milliseconds of a goodbye", 0, Reason::Invalid, |ms| {
        beats(&format!(r#"{{"v":1,"type":"goodbye","user":"a","session":"s","counter":1,"after_ms":{ms}}}"#))
    }),
    ("bytes of an id", 1, Reason::Invalid, |bytes| {
        beats(&format!(r#"{{"v":1,"type":"status","user":"{}"}}"#, letters(bytes)))
    }),
    ("a position of an inbox", 0, Reason::Invalid, |at| receipt(&format!(r#""user":"a","inbox":{at}"#))),
    ("the number of a message", 1, Reason::Invalid, |seq| {
        deliveries(&one_delivery("1", "[]").replace("\"seq\":1", &format!("\"seq\":{seq}")))
    }),
];

#[test]
fn a_record_is_read_one_above_every_lower_limit_and_at_it_and_refused_one_below() {
    for (what, limit, reason, refused) in LOWER {
        assert_eq!(refused(limit + 1), None, "{what}: {limit} + 1");
        assert_eq!(refused(*limit), None, "{what}: {limit}");
        assert_eq!(refused(limit - 1), Some(*reason), "{what}: {limit} - 1");
    }
}
