//! The JSON Schemas under `schemas/record/` and the code judge the same samples alike.
//!
//! What JSON Schema cannot say (sizes in bytes, `1.0` as no integer, duplicate keys, nesting) is left to the
//! tests of the records themselves.

use jsonschema::{Registry, Validator};
use serde_json::{Value, json};

use super::{
    dead_letter::{Sender, dead_letter},
    heartbeats::{self, Input, RefusedPart},
    session::{SessionView, end_headers},
    transition::{Cause, TransitionView},
    *,
};
use crate::{
    log::{Header, RecordRef},
    topology::{Topic, Topology},
};

pub(super) mod strategy;
mod json_suite;
mod limits;
mod timeline;

const SCHEMAS: [(Topic, &str); 10] = [
    (Topic::Heartbeats, include_str!("../../schemas/record/heartbeats.json")),
    (Topic::Presence, include_str!("../../schemas/record/presence.json")),
    (Topic::PresenceState, include_str!("../../schemas/record/presence-state.json")),
    (Topic::Sessions, include_str!("../../schemas/record/sessions.json")),
    (Topic::Sends, include_str!("../../schemas/record/sends.json")),
    (Topic::Receipts, include_str!("../../schemas/record/receipts.json")),
    (Topic::Deliveries, include_str!("../../schemas/record/deliveries.json")),
    (Topic::Inbox, include_str!("../../schemas/record/inbox.json")),
    (Topic::Cursors, include_str!("../../schemas/record/cursors.json")),
    (Topic::DeadLetters, include_str!("../../schemas/record/dead-letters.json")),
];

fn urn(topic: Topic) -> String {
    format!("urn:heartline:record:{topic}:1")
}

/// The schema of a topic, or the part of it that `fragment` names.
fn schema(topic: Topic, fragment: &str) -> Validator {
    let mut registry = Registry::new();
    for (topic, text) in SCHEMAS {
        let schema: Value = serde_json::from_str(text).unwrap();
        assert_eq!(schema["$id"], urn(topic));
        assert!(jsonschema::meta::is_valid(&schema), "{topic} is a schema");
        registry = registry.add(urn(topic), schema).unwrap();
    }
    let registry = registry.prepare().unwrap();
    let whole = json!({"$ref": format!("{}{fragment}", urn(topic))});
    jsonschema::options().with_registry(&registry).build(&whole).unwrap()
}

/// Each sample is a valid one with changes by JSON pointer; `None` removes a field.
fn changed(valid: &Value, pointer: &str, change: Option<Value>) -> Value {
    let mut sample = valid.clone();
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    let parent = sample.pointer_mut(parent).and_then(Value::as_object_mut).unwrap();
    match change {
        Some(value) => parent.insert(field.to_owned(), value),
        None => parent.remove(field),
    };
    sample
}

/// JSON pointer, new value or none, and whether the sample is valid then.
type Change = (String, Option<Value>, bool);

fn replacements<const N: usize>(table: [(&str, Value, bool); N]) -> impl Iterator<Item = Change> {
    table.into_iter().map(|(pointer, value, valid)| (pointer.to_owned(), Some(value), valid))
}

/// Every field once left out, which only the optional ones may be.
fn removals(valid: &Value, optional: &[&str]) -> Vec<Change> {
    let fields = valid.as_object().unwrap().keys();
    fields.map(|field| (format!("/{field}"), None, optional.contains(&field.as_str()))).collect()
}

/// Judges `valid` with every change, and expects schema, code and table to agree.
fn judge_alike(
    schema: &Validator,
    decodes: impl Fn(&[u8]) -> bool,
    valid: &Value,
    changes: impl IntoIterator<Item = Change>,
) {
    let judge = |sample: &Value, expected: bool| {
        assert_eq!(schema.is_valid(sample), expected, "the schema on {sample}");
        assert_eq!(decodes(sample.to_string().as_bytes()), expected, "the code on {sample}");
    };
    judge(valid, true);
    for (pointer, change, expected) in changes {
        judge(&changed(valid, &pointer, change), expected);
    }
}

fn decodes_whole(value: &[u8]) -> bool {
    match heartbeats::decode(Some(value)) {
        Ok(Input::Heartbeats { refused, .. } | Input::Goodbyes { refused, .. }) => refused.is_empty(),
        Ok(_) => true,
        Err(_) => false,
    }
}

fn judge_heartbeats<const N: usize>(optional: &[&str], valid: Value, table: [(&str, Value, bool); N]) {
    let changes = removals(&valid, optional).into_iter().chain(replacements(table));
    judge_alike(&schema(Topic::Heartbeats, ""), decodes_whole, &valid, changes);
}

fn ids(length: usize) -> Value {
    Value::from("x".repeat(length))
}

#[test]
fn a_heartbeat_is_judged_alike() {
    let valid = json!({"v": 1, "type": "heartbeat", "user": "alice", "session": "s-1", "epoch": 5,
        "counter": 12, "device": "ios", "gateway": "gw-7", "lease_ms": 90_000, "idle_ms": 0, "busy": false,
        "metadata": {"any": 1}});
    judge_heartbeats(
        &["epoch", "device", "gateway", "lease_ms", "idle_ms", "busy", "metadata"],
        valid,
        [
            ("/v", json!(2), false),
            ("/v", json!("1"), false),
            ("/type", json!("message"), false),
            ("/type", json!(null), false),
            ("/user", ids(128), true),
            ("/user", ids(129), false),
            ("/user", json!(""), false),
            ("/user", json!("a/b"), false),
            ("/user", json!("a\u{0}"), false),
            ("/user", json!("a\u{7f}"), false),
            ("/user", json!("a\u{85}"), false),
            ("/user", json!("a\n"), false),
            ("/user", json!("käthe \"🙂\" \\"), true),
            ("/user", json!(7), false),
            ("/user", json!(null), false),
            ("/session", json!("s/1"), false),
            ("/epoch", json!(-5), true),
            ("/epoch", json!(null), false),
            ("/counter", json!(9_007_199_254_740_991_i64), true),
            ("/counter", json!(9_007_199_254_740_992_i64), false),
            ("/counter", json!(-9_007_199_254_740_992_i64), false),
            ("/counter", json!(1.5), false),
            ("/counter", json!("1"), false),
            ("/device", json!(null), true),
            ("/device", json!(""), false),
            ("/gateway", json!(null), true),
            ("/gateway", json!([]), false),
            ("/lease_ms", json!(null), true),
            ("/lease_ms", json!(5_000), true),
            ("/lease_ms", json!(4_999), false),
            ("/lease_ms", json!(600_000), true),
            ("/lease_ms", json!(600_001), false),
            ("/idle_ms", json!(null), true),
            ("/idle_ms", json!(-1), false),
            ("/busy", json!(null), true),
            ("/busy", json!(0), false),
            ("/metadata", json!(null), true),
            ("/metadata", json!([1.5, "x"]), true),
            ("/unknown", json!({"a": [1]}), true),
        ],
    );
}

#[test]
fn a_batch_of_beats_is_judged_alike() {
    let valid = json!({"v": 1, "type": "heartbeats", "gateway": "gw-7",
        "beats": [{"user": "alice", "session": "s-1", "counter": 13}]});
    judge_heartbeats(
        &["gateway"],
        valid,
        [
            ("/gateway", json!(null), true),
            ("/gateway", json!("a/b"), false),
            ("/beats", json!([]), true),
            ("/beats", json!({}), false),
            ("/beats", json!(null), false),
            ("/beats", json!([1]), false),
            ("/beats", json!([{"user": "alice", "session": "s-1"}]), false),
            ("/beats", json!([{"user": "alice", "session": "s-1", "counter": 1, "lease_ms": 1}]), false),
        ],
    );
}

#[test]
fn goodbyes_are_judged_alike() {
    let end = json!({"user": "alice", "session": "s-1", "epoch": 0, "counter": 14, "after_ms": 15_000});
    let mut single = json!({"v": 1, "type": "goodbye"});
    single.as_object_mut().unwrap().extend(end.as_object().unwrap().clone());
    judge_heartbeats(
        &["epoch", "after_ms"],
        single,
        [
            ("/after_ms", json!(0), true),
            ("/after_ms", json!(600_000), true),
            ("/after_ms", json!(600_001), false),
            ("/after_ms", json!(-1), false),
            ("/after_ms", json!(null), false),
            ("/counter", json!(null), false),
        ],
    );
    judge_heartbeats(
        &[],
        json!({"v": 1, "type": "goodbyes", "ends": [end]}),
        [("/ends", json!([]), true), ("/ends", json!([{}]), false), ("/ends", json!("none"), false)],
    );
}

#[test]
fn a_lost_gateway_and_a_status_are_judged_alike() {
    judge_heartbeats(
        &["before"],
        json!({"v": 1, "type": "gateway_gone", "gateway": "gw-7", "before": 1_760_000_000_000_i64}),
        [("/gateway", json!(null), false), ("/before", json!(null), false), ("/before", json!("now"), false)],
    );
    judge_heartbeats(
        &["status", "status_text", "activity", "until"],
        json!({"v": 1, "type": "status", "user": "alice", "status": "auto", "status_text": "at lunch",
            "activity": "in a call", "until": 1_760_000_000_000_i64}),
        [
            ("/status", json!("away"), true),
            ("/status", json!("busy"), true),
            ("/status", json!("invisible"), true),
            ("/status", json!(null), true),
            ("/status", json!("online"), false),
            ("/status_text", json!(null), true),
            ("/status_text", json!(""), true),
            ("/status_text", ids(256), true),
            ("/status_text", ids(257), false),
            ("/activity", json!(null), true),
            ("/activity", ids(257), false),
            ("/until", json!(null), true),
            ("/until", json!(0.5), false),
        ],
    );
}

#[test]
fn a_beacon_is_judged_alike() {
    let parameters = json!({"fold_version": 1, "lease_ms": 90_000, "away_after_ms": 300_000,
        "busy_for_ms": 3_600_000, "brake": true, "dwell_ms": 0});
    let valid = json!({"v": 1, "type": "beacon", "group": "heartline.presence", "incarnation": "01J",
        "elapsed_ms": 61_000, "parameters": parameters});
    judge_heartbeats(
        &[],
        valid,
        [
            ("/group", json!("a/b"), false),
            ("/incarnation", json!(1), false),
            ("/elapsed_ms", json!(-1), false),
            ("/parameters", json!({}), true),
            ("/parameters", json!([]), false),
            ("/parameters/fold_version", json!(u32::MAX), true),
            ("/parameters/fold_version", json!(4_294_967_296_i64), false),
            ("/parameters/fold_version", json!(null), false),
            ("/parameters/lease_ms", json!(-1), false),
            ("/parameters/lease_ms", json!(null), false),
            ("/parameters/brake", json!(1), false),
            ("/parameters", json!({"fold_version": 2, "lease_ms": "long", "brake": 1}), true),
        ],
    );
}

#[test]
fn a_transition_is_judged_alike() {
    let valid = json!({"v": 1, "type": "transition", "user": "alice", "version": 7, "from": "offline",
        "to": "online", "cause": "heartbeat", "session": "s-1", "device": "ios", "sessions": 1,
        "status_text": "at lunch", "activity": "in a call", "occurred_at": 5, "detected_at": 6,
        "last_seen": 5, "origin": {"partition": 3, "offset": 991}});
    let decodes = |value: &[u8]| TransitionView::decode(value).is_ok();
    let removed = removals(&valid, &["session", "device", "status_text", "activity"]);
    let table = [
        ("/v", json!(2), false),
        ("/type", json!("session"), false),
        ("/version", json!(-1), false),
        ("/to", json!("busy"), true),
        ("/to", json!("asleep"), false),
        ("/cause", json!("gateway_gone"), true),
        ("/cause", json!("boredom"), false),
        ("/session", json!(null), false),
        ("/sessions", json!(-1), false),
        ("/origin/offset", json!(-1), false),
        ("/origin/partition", json!("3"), false),
    ];
    let changes: Vec<_> = removed.into_iter().chain(replacements(table)).collect();
    judge_alike(&schema(Topic::Presence, ""), decodes, &valid, changes.clone());
    judge_alike(&schema(Topic::PresenceState, ""), decodes, &valid, changes);
    assert!(schema(Topic::PresenceState, "").is_valid(&Value::Null), "null once offline");
    assert!(!schema(Topic::Presence, "").is_valid(&Value::Null));
}

#[test]
fn a_session_is_judged_alike() {
    let valid = json!({"v": 1, "type": "session", "event": "join", "user": "alice", "session": "s-1",
        "device": "ios", "gateway": "gw-7", "sessions": 1, "origin": {"partition": 3, "offset": 991}});
    let removed = removals(&valid, &["device", "gateway"]);
    let table = [
        ("/event", json!("add"), true),
        ("/event", json!("move"), true),
        ("/event", json!("leave"), false),
        ("/gateway", json!(null), false),
        ("/user", json!("a/b"), false),
        ("/origin", json!([]), false),
    ];
    let changes = removed.into_iter().chain(replacements(table));
    let schema = schema(Topic::Sessions, "");
    judge_alike(&schema, |value| SessionView::decode(value).is_ok(), &valid, changes);
    assert!(schema.is_valid(&Value::Null), "null when it ends");
}

/// Headers as their schema sees them: name to text.
fn headers_as_json(headers: &[Header]) -> Value {
    let text = |header: &Header| String::from_utf8(header.value.as_ref().unwrap().to_vec()).unwrap();
    headers.iter().map(|header| (header.name.clone(), Value::from(text(header)))).collect()
}

#[test]
fn the_headers_of_an_end_are_what_their_schema_says() {
    let schema = schema(Topic::Sessions, "#/$defs/end_headers");
    for last in [true, false] {
        for cause in
            [Cause::Heartbeat, Cause::Goodbye, Cause::Expired, Cause::Idle, Cause::GatewayGone, Cause::Status]
        {
            assert!(schema.is_valid(&headers_as_json(&end_headers(last, cause))), "{last} {cause:?}");
        }
    }
    assert!(!schema.is_valid(&json!({"heartline.event": "join", "heartline.cause": "goodbye"})));
    assert!(!schema.is_valid(&json!({"heartline.event": "leave"})));
}

#[test]
fn the_headers_of_a_dead_letter_are_what_their_schema_says() {
    let (schema, list) = (schema(Topic::DeadLetters, ""), schema(Topic::DeadLetters, "#/$defs/refused"));
    let value = vec![b'x'; 1_000_000];
    let record = RecordRef { offset: 7, time_ms: 0, key: None, value: Some(&value), headers: Some(&[]) };
    let topology = Topology::uniform(1, 1);
    let reasons = [
        Reason::Malformed,
        Reason::Invalid,
        Reason::Unsupported,
        Reason::Oversize,
        Reason::Conflict,
        Reason::NotMember,
        Reason::Recipients,
        Reason::Beats,
    ];
    for reason in reasons {
        let refusal = Refusal::new(reason, "why");
        let parts: Vec<_> = (0..9_000).map(|index| RefusedPart { index, refusal: refusal.clone() }).collect();
        let sender = Sender { sender: Some("alice"), client_id: Some("c-1") };
        let letter = dead_letter(&topology, Topic::Heartbeats, 0, &record, &refusal, &parts, sender);
        let headers = headers_as_json(&letter.headers);
        assert_eq!(headers.as_object().unwrap().len(), 10, "every header is there");
        assert!(schema.is_valid(&headers), "{reason}");
        let refused: Value = serde_json::from_str(headers["heartline.refused"].as_str().unwrap()).unwrap();
        assert!(list.is_valid(&refused), "{reason}");
        for (pointer, change) in [
            ("/heartline.reason", Some(json!("mood"))),
            ("/heartline.reason", None),
            ("/__connect.errors.topic", Some(json!("presence"))),
            ("/__connect.errors.offset", Some(json!("-1"))),
        ] {
            assert!(!schema.is_valid(&changed(&headers, pointer, change)), "{pointer}");
        }
    }
}
