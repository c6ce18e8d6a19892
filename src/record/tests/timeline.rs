//! The records of the timeline against their schemas.

use super::{super::cursor::CursorView, *};
use crate::record::{
    posted::{InboxView, decode_deliveries},
    receipts,
    sends::{self, SendInput},
};

fn judge<const N: usize>(
    topic: Topic,
    decodes: impl Fn(&[u8]) -> bool,
    optional: &[&str],
    valid: &Value,
    table: [(&str, Value, bool); N],
) {
    let changes = removals(valid, optional).into_iter().chain(replacements(table));
    judge_alike(&schema(topic, ""), decodes, valid, changes);
}

fn send_decodes_whole(value: &[u8]) -> bool {
    match sends::decode(Some(value)) {
        Ok(SendInput::Message(message)) => message.refused.is_empty(),
        Ok(SendInput::Members(_)) => true,
        Err(_) => false,
    }
}

#[test]
fn a_message_is_judged_alike() {
    let valid = json!({"v": 1, "type": "message", "conversation": "group/team", "sender": "alice",
        "client_id": "c-1", "body": {"text": "hello"}, "recipients": ["bob", "carol"],
        "members_only": false, "session": "s-1", "sent_at": 1_760_000_000_000_i64});
    let direct = |a: usize, b: usize| Value::from(format!("direct/{}/{}", "x".repeat(a), "x".repeat(b)));
    judge(
        Topic::Sends,
        send_decodes_whole,
        &["recipients", "members_only", "session", "sent_at"],
        &valid,
        [
            ("/v", json!(2), false),
            ("/type", json!("heartbeat"), false),
            ("/conversation", json!("direct/alice/bob"), true),
            ("/conversation", json!("direct/alice/alice"), true),
            ("/conversation", json!("group/käthe 🙂"), true),
            ("/conversation", direct(128, 128), true),
            ("/conversation", direct(128, 129), false),
            ("/conversation", json!("group/"), false),
            ("/conversation", json!("group"), false),
            ("/conversation", json!("group/a/b"), false),
            ("/conversation", json!("direct/a"), false),
            ("/conversation", json!("direct//a"), false),
            ("/conversation", json!("direct/a/b/c"), false),
            ("/conversation", json!("team"), false),
            ("/conversation", json!("Group/team"), false),
            ("/conversation", json!("group/a\u{85}"), false),
            ("/conversation", json!(null), false),
            ("/sender", json!("a/b"), false),
            ("/sender", ids(129), false),
            ("/client_id", json!(1), false),
            ("/client_id", ids(128), true),
            ("/body", json!(null), true),
            ("/body", json!("text"), true),
            ("/body", json!([u64::MAX, 1.5]), true),
            ("/recipients", json!([]), true),
            ("/recipients", json!(null), false),
            ("/recipients", json!({}), false),
            ("/recipients", json!(["a/b"]), false),
            ("/recipients", json!([7]), false),
            ("/recipients", json!(vec!["u"; 10_000]), true),
            ("/recipients", json!(vec!["u"; 10_001]), false),
            ("/members_only", json!(true), true),
            ("/members_only", json!(null), false),
            ("/members_only", json!(1), false),
            ("/session", json!(null), false),
            ("/session", json!(""), false),
            ("/sent_at", json!(null), false),
            ("/sent_at", json!(1.5), false),
            ("/sent_at", json!(-1), true),
            ("/unknown", json!({"a": [1]}), true),
        ],
    );
}

#[test]
fn a_change_of_members_is_judged_alike() {
    let valid = json!({"v": 1, "type": "members", "conversation": "group/team", "by": "alice",
        "client_id": "m-1", "add": ["bob"], "remove": ["carol"]});
    judge(
        Topic::Sends,
        send_decodes_whole,
        &["add", "remove"],
        &valid,
        [
            ("/conversation", json!("direct/alice/bob"), false),
            ("/by", json!(null), false),
            ("/add", json!(["a/b"]), false),
            ("/add", json!([null]), false),
            ("/add", json!([]), true),
            ("/add", json!(["bob", "bob"]), true),
            ("/add", json!(null), false),
            ("/remove", json!("carol"), false),
            ("/remove", json!([""]), false),
            ("/remove", json!(vec!["u"; 10_001]), false),
        ],
    );
    let neither = changed(&changed(&valid, "/add", None), "/remove", None);
    assert!(!schema(Topic::Sends, "").is_valid(&neither));
    assert!(!send_decodes_whole(neither.to_string().as_bytes()));
}

#[test]
fn a_receipt_is_judged_alike() {
    let decodes = |value: &[u8]| receipts::decode(Some(value)).is_ok();
    let valid = json!({"v": 1, "type": "read", "user": "bob", "inbox": 41, "conversation": "group/team",
        "seq": 17});
    judge(
        Topic::Receipts,
        decodes,
        &["inbox"],
        &valid,
        [
            ("/type", json!("cursor"), false),
            ("/user", json!("a/b"), false),
            ("/inbox", json!(0), true),
            ("/inbox", json!(-1), false),
            ("/inbox", json!(null), false),
            ("/inbox", json!(9_007_199_254_740_991_i64), true),
            ("/inbox", json!(9_007_199_254_740_992_i64), false),
            ("/conversation", json!("direct/bob/carol"), true),
            ("/conversation", json!("team"), false),
            ("/conversation", json!(null), false),
            ("/seq", json!(0), true),
            ("/seq", json!("17"), false),
            ("/seq", json!(null), false),
        ],
    );
    let inbox_only = changed(&changed(&valid, "/conversation", None), "/seq", None);
    judge(Topic::Receipts, decodes, &[], &inbox_only, []);
}

#[test]
fn deliveries_are_judged_alike() {
    let decodes = |value: &[u8]| decode_deliveries(Some(value)).is_ok();
    let valid = json!({"v": 1, "type": "deliveries", "messages": [posted("recipients", json!(["bob"]))]});
    judge(
        Topic::Deliveries,
        decodes,
        &[],
        &valid,
        [
            ("/type", json!("inbox"), false),
            ("/messages", json!([]), true),
            ("/messages", json!({}), false),
            ("/messages", json!([1]), false),
            ("/messages", json!([{}]), false),
        ],
    );
    judge_message(Topic::Deliveries, decodes, "recipients", &json!(["bob"]));
    let table = [
        (json!([]), true),
        (json!(["bob", "bob"]), true),
        (json!([""]), false),
        (json!([1]), false),
        (json!([{"user": "bob", "seq": 1}]), false),
        (json!(null), false),
    ];
    judge_list(Topic::Deliveries, decodes, "recipients", table);
}

#[test]
fn an_inbox_record_is_judged_alike() {
    let decodes = |value: &[u8]| InboxView::decode(value).is_ok();
    let entries = json!([{"user": "bob", "seq": 41}, {"user": "carol", "seq": 7}]);
    judge_message(Topic::Inbox, decodes, "entries", &entries);
    let table = [
        (json!([]), true),
        (json!([{"user": "bob", "seq": 1, "new": 1}]), true),
        (json!([{"user": "bob", "seq": 0}]), false),
        (json!([{"user": "a/b", "seq": 1}]), false),
        (json!([{"user": "bob"}]), false),
        (json!([{"seq": 1}]), false),
        (json!(["bob"]), false),
    ];
    judge_list(Topic::Inbox, decodes, "entries", table);
}

fn posted(list: &str, parts: Value) -> Value {
    json!({"conversation": "group/team", "seq": 17, "sender": "alice", "client_id": "c-1",
        "session": "s-1", "sent_at": 5, "accepted_at": 6, "body": "hello", list: parts})
}

fn one_message(topic: Topic, message: &Value) -> Value {
    json!({"v": 1, "type": topic.name(), "messages": [message]})
}

/// Judges a message with every field left out, and with some changed.
fn judge_message(topic: Topic, decodes: impl Fn(&[u8]) -> bool, list: &str, parts: &Value) {
    let (schema, valid) = (schema(topic, ""), posted(list, parts.clone()));
    let table = [
        ("/conversation", json!("team"), false),
        ("/seq", json!(1), true),
        ("/seq", json!(0), false),
        ("/sender", json!("a/b"), false),
        ("/client_id", json!(null), false),
        ("/session", json!(null), false),
        ("/sent_at", json!("now"), false),
        ("/accepted_at", json!(-1), true),
        ("/accepted_at", json!(0.5), false),
        ("/body", json!(null), true),
        ("/unknown", json!({"a": 1}), true),
    ];
    judge_alike(&schema, &decodes, &one_message(topic, &valid), []);
    for (pointer, change, expected) in
        removals(&valid, &["session", "sent_at"]).into_iter().chain(replacements(table))
    {
        let sample = one_message(topic, &changed(&valid, &pointer, change));
        assert_eq!(schema.is_valid(&sample), expected, "the schema on {sample}");
        assert_eq!(decodes(sample.to_string().as_bytes()), expected, "the code on {sample}");
    }
}

fn judge_list<const N: usize>(
    topic: Topic,
    decodes: impl Fn(&[u8]) -> bool,
    list: &str,
    table: [(Value, bool); N],
) {
    let schema = schema(topic, "");
    for (parts, expected) in table {
        let sample = one_message(topic, &posted(list, parts));
        assert_eq!(schema.is_valid(&sample), expected, "the schema on {sample}");
        assert_eq!(decodes(sample.to_string().as_bytes()), expected, "the code on {sample}");
    }
}

#[test]
fn a_cursor_is_judged_alike() {
    let decodes = |value: &[u8]| CursorView::decode(value).is_ok();
    let inbox = json!({"v": 1, "type": "cursor", "user": "bob", "inbox": 41});
    judge(
        Topic::Cursors,
        decodes,
        &[],
        &inbox,
        [
            ("/type", json!("read"), false),
            ("/user", json!(""), false),
            ("/inbox", json!(0), true),
            ("/inbox", json!(-1), false),
            ("/conversation", json!("group/team"), false),
            ("/seq", json!(1), false),
        ],
    );
    let conversation =
        json!({"v": 1, "type": "cursor", "user": "bob", "conversation": "group/team", "seq": 17});
    judge(
        Topic::Cursors,
        decodes,
        &[],
        &conversation,
        [
            ("/conversation", json!("group"), false),
            ("/seq", json!(-1), false),
            ("/seq", json!(null), false),
            ("/inbox", json!(41), false),
        ],
    );
}
