use proptest::{collection::vec, option, prelude::*};

use super::*;
use crate::record::{
    Reason,
    tests::strategy::{BODIES, body, conversation, edited, group, id, integer, single_edits},
};

/// A message with this body and these fields after it.
fn message_with(body: &str, fields: &str) -> String {
    let head = r#""v":1,"type":"message","conversation":"group/team","sender":"alice","client_id":"c-1""#;
    format!("{{{head},\"body\":{body}{fields}}}")
}

/// A change of members with these fields after the required ones.
fn members_with(fields: &str) -> String {
    let head = r#""v":1,"type":"members","conversation":"group/team","by":"alice","client_id":"m-1""#;
    format!("{{{head}{fields}}}")
}

fn read_message(text: &str) -> Message<'_> {
    match decode(Some(text.as_bytes())) {
        Ok(SendInput::Message(message)) => message,
        other => panic!("{text}: a message is due, not {other:?}"),
    }
}

fn read_members(text: &str) -> Members<'_> {
    match decode(Some(text.as_bytes())) {
        Ok(SendInput::Members(members)) => members,
        other => panic!("{text}: a change of members is due, not {other:?}"),
    }
}

fn refused(text: &str) -> (Reason, String) {
    match decode(Some(text.as_bytes())) {
        Err(refused) => (refused.refusal.reason, refused.refusal.message),
        Ok(input) => panic!("{text} is valid: {input:?}"),
    }
}

/// What the scanner says of a record, if it says anything.
fn scanned(bytes: &[u8]) -> Option<SendInput<'_>> {
    scan::message(bytes).map(SendInput::Message)
}

/// Ids that are all different.
fn ids(prefix: &str, count: usize) -> String {
    let ids: Vec<String> = (0..count).map(|n| format!("\"{prefix}{n}\"")).collect();
    format!("[{}]", ids.join(","))
}

#[test]
fn fields_of_a_message_are_left_out_or_given() {
    let text = message_with("1", "");
    let bare = read_message(&text);
    assert_eq!((bare.conversation.as_ref(), bare.sender.as_ref(), bare.body), ("group/team", "alice", "1"));
    assert_eq!((bare.recipients, bare.members_only, bare.session, bare.sent_at), (None, false, None, None));
    let fields = r#","recipients":["bob","carol","bob"],"members_only":true,"session":"s-1","sent_at":-5"#;
    let text = message_with("1", fields);
    let full = read_message(&text);
    assert_eq!(full.recipients, Some(vec!["bob".into(), "carol".into(), "bob".into()]));
    assert_eq!((full.members_only, full.session.as_deref(), full.sent_at), (true, Some("s-1"), Some(-5)));
    for field in ["recipients", "members_only", "session", "sent_at"] {
        let null = message_with("1", &format!(",\"{field}\":null"));
        assert_eq!(refused(&null), (Reason::Invalid, format!("`{field}` must not be null")));
    }
    let empty = message_with("1", r#","recipients":[]"#);
    assert_eq!(read_message(&empty).recipients, Some(Vec::new()), "only the sender");
}

#[test]
fn a_body_is_kept_byte_for_byte_whatever_its_numbers() {
    for body in BODIES {
        assert_eq!(read_message(&message_with(body, "")).body, *body);
    }
    assert_eq!(read_message(&message_with(" \n[ 1 ]\t", "")).body, "[ 1 ]");
}

#[test]
fn a_body_is_judged_for_its_syntax_its_keys_and_its_texts() {
    for body in [
        r#"{"a":1,"a":2}"#,
        r#"[{"x":{"a":1,"\u0061":2}}]"#,
        r#"["\ud800"]"#,
        r#"{"\ud800":1}"#,
        "01",
        "[1,]",
        "nul",
        "\"a\nb\"",
    ] {
        assert_eq!(refused(&message_with(body, "")).0, Reason::Malformed, "{body}");
    }
    let missing = message_with("1", "").replace("\"body\"", "\"x\"");
    assert_eq!(refused(&missing), (Reason::Invalid, "`body` is missing".to_owned()));
}

#[test]
fn nesting_of_sixteen_is_read_and_of_seventeen_is_refused() {
    // The record itself is the first level.
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels - 1), "]".repeat(levels - 1));
    for text in [
        |value: &str| message_with(value, ""),
        |value: &str| message_with("1", &format!(",\"unknown\":{value}")),
        |value: &str| members_with(&format!(",\"add\":[],\"unknown\":{value}")),
    ] {
        assert!(decode(Some(text(&nested(16)).as_bytes())).is_ok());
        let (reason, message) = refused(&text(&nested(17)));
        assert_eq!(reason, Reason::Malformed);
        assert!(message.contains("nested deeper than 16"), "{message}");
    }
    assert_eq!(refused(&message_with(&"[".repeat(BODY_BYTES_MAX), "")).0, Reason::Malformed);
    let objects = format!("{}1{}", r#"{"a":"#.repeat(200), "}".repeat(200));
    assert_eq!(refused(&message_with(&objects, "")).0, Reason::Malformed);
}

#[test]
fn sizes_are_read_at_their_limits_and_refused_above() {
    let body = |bytes: usize| message_with(&format!("\"{}\"", "b".repeat(bytes - 2)), "");
    for bytes in [BODY_BYTES_MAX - 1, BODY_BYTES_MAX] {
        assert_eq!(read_message(&body(bytes)).body.len(), bytes);
    }
    let (reason, message) = refused(&body(BODY_BYTES_MAX + 1));
    assert_eq!(reason, Reason::Oversize);
    assert_eq!(message, "`body`: 65537 bytes, at most 65536 are accepted");

    let padded = |text: String, bytes: usize| {
        let padding = " ".repeat(bytes - text.len());
        text + &padding
    };
    for text in [message_with("1", ""), members_with(r#","add":["bob"]"#)] {
        for bytes in [SEND_BYTES_MAX - 1, SEND_BYTES_MAX] {
            assert!(decode(Some(padded(text.clone(), bytes).as_bytes())).is_ok(), "{bytes}");
        }
        assert_eq!(refused(&padded(text, SEND_BYTES_MAX + 1)).0, Reason::Oversize);
    }
}

#[test]
fn ids_are_counted_up_to_their_limit() {
    let recipients = |count| message_with("1", &format!(",\"recipients\":{}", ids("u", count)));
    for count in [RECIPIENTS_MAX - 1, RECIPIENTS_MAX] {
        assert_eq!(read_message(&recipients(count)).recipients.unwrap().len(), count);
    }
    let (reason, message) = refused(&recipients(RECIPIENTS_MAX + 1));
    assert_eq!(reason, Reason::Oversize);
    assert_eq!(message, "`recipients`: 10001 ids, at most 10000 are accepted");
    let members =
        |add, remove| members_with(&format!(",\"add\":{},\"remove\":{}", ids("a", add), ids("r", remove)));
    for remove in [3_999, 4_000] {
        assert_eq!(read_members(&members(6_000, remove)).remove.len(), remove);
    }
    assert_eq!(refused(&members(6_000, 4_001)).0, Reason::Oversize);
    let unusable = format!(",\"recipients\":[{}1]", "1,".repeat(RECIPIENTS_MAX));
    assert_eq!(refused(&message_with("1", &unusable)).0, Reason::Oversize, "unusable ones count");
}

#[test]
fn an_unusable_recipient_costs_only_itself() {
    let text = message_with("1", r#","recipients":["a/b","bob",7,"","carol",{"x":1,"x":1},null,"bob"]"#);
    let message = read_message(&text);
    assert_eq!(message.recipients, Some(vec!["bob".into(), "carol".into(), "bob".into()]));
    let refused: Vec<_> =
        message.refused.iter().map(|part| (part.index, part.refusal.message.as_str())).collect();
    assert_eq!(
        refused,
        [
            (0, "`recipient`: an id must not contain '/'"),
            (2, "`recipient`: a string is due, not a number"),
            (3, "`recipient`: an id must not be empty"),
            (5, "`recipient`: a string is due, not an object"),
            (6, "`recipient`: a string is due, not null"),
        ]
    );
    let none_left = message_with("1", r#","recipients":[1]"#);
    assert_eq!(read_message(&none_left).recipients, Some(Vec::new()));
}

#[test]
fn a_wrong_field_is_invalid_and_named() {
    let swap = |from: &str, to: &str| message_with("1", "").replacen(from, to, 1);
    let order = "the users of a direct conversation stand in the order of their bytes";
    let cases = [
        (
            swap("group/team", "team"),
            "`conversation`: a conversation is group/<id> or direct/<user>/<user>".into(),
        ),
        (swap("group/team", "direct/bob/alice"), format!("`conversation`: {order}; write direct/alice/bob")),
        (swap("group/team", "group/"), "`conversation`: an id must not be empty".into()),
        (swap("\"alice\"", "1"), "`sender`: a string is due, not a number".into()),
        (swap("c-1", "c/1"), "`client_id`: an id must not contain '/'".into()),
        (
            message_with("1", ",\"sent_at\":1.0"),
            "`sent_at`: an integer is due, not a number with a fraction or an exponent".into(),
        ),
        (
            message_with("1", ",\"members_only\":0"),
            "`members_only`: true or false is due, not a number".into(),
        ),
        (message_with("1", ",\"recipients\":\"bob\""), "`recipients`: an array is due, not a string".into()),
        (members_with(""), "`add` and `remove` are missing; give at least one of them".into()),
        (members_with(",\"add\":null"), "`add` must not be null".into()),
        (members_with(",\"add\":[\"bob\",\"a/b\"]"), "`add[1]`: an id must not contain '/'".into()),
        (members_with(",\"remove\":[1]"), "`remove[0]`: a string is due, not a number".into()),
        (
            members_with(",\"add\":[\"a\",\"b\"],\"remove\":[\"c\",\"a\"]"),
            "`remove[1]`: the id is in `add`, too".into(),
        ),
        (
            members_with(",\"add\":[\"a\"]").replace("group/team", "direct/a/b"),
            "`conversation`: the members of a direct conversation are its two users; use a group".into(),
        ),
    ];
    for (text, message) in cases {
        assert_eq!(refused(&text), (Reason::Invalid, message), "{text}");
    }
}

#[test]
fn what_is_no_send_is_refused_with_its_reason() {
    for (text, reason) in [
        (String::new(), Reason::Malformed),
        ("null".into(), Reason::Malformed),
        (message_with("1", "") + "{}", Reason::Malformed),
        (message_with("1", ",\"sender\":\"alice\""), Reason::Malformed),
        (message_with("1", ",\"x\":{\"a\":1,\"a\":1}"), Reason::Malformed),
        (members_with(",\"add\":[],\"x\":[{\"a\":1,\"a\":1}]"), Reason::Malformed),
        (message_with("1", "").replace("\"v\":1", "\"v\":2"), Reason::Unsupported),
        (message_with("1", "").replace("\"message\"", "\"deliveries\""), Reason::Unsupported),
        (message_with("1", "").replace("\"message\"", "\"read\""), Reason::Unsupported),
    ] {
        assert_eq!(refused(&text).0, reason, "{text}");
    }
    assert_eq!(decode(None).unwrap_err().refusal.reason, Reason::Malformed);
}

#[test]
fn a_refusal_says_whose_it_is_where_that_can_be_read() {
    let whose = |text: &str| {
        let refused = decode(Some(text.as_bytes())).expect_err(text);
        (refused.sender, refused.client_id)
    };
    let known = |sender: &str, client: &str| (Some(sender.to_owned()), Some(client.to_owned()));
    assert_eq!(whose(&message_with("1", ",\"sent_at\":\"now\"")), known("alice", "c-1"));
    assert_eq!(whose(&members_with("")), known("alice", "m-1"));
    assert_eq!(whose(&members_with(",\"sender\":\"eve\"")), known("alice", "m-1"), "by, not sender");
    assert_eq!(whose(&message_with("{\"a\":1,\"a\":1}", "")), known("alice", "c-1"));
    assert_eq!(whose(&message_with("1", "").replace("\"v\":1", "\"v\":7")), known("alice", "c-1"));
    let long = message_with(&format!("\"{}\"", "x".repeat(SEND_BYTES_MAX)), "");
    assert_eq!(whose(&long), known("alice", "c-1"));
    let half = message_with("1", "").replace("\"alice\"", "\"a/b\"");
    assert_eq!(whose(&half), (None, Some("c-1".to_owned())));
    assert_eq!(whose("{"), (None, None));
    assert_eq!(whose(&message_with("1", ",\"sender\":\"eve\"")), (None, None), "whose of the two?");
}

#[test]
fn ids_that_look_like_conversations_are_told_apart() {
    let of = |conversation: &str| {
        let text = message_with("1", "").replacen("group/team", conversation, 1);
        decode(Some(text.as_bytes())).map(|input| input.conversation().to_string())
    };
    for conversation in
        ["group/x", "direct/group/x", "group/direct", "group/a:b", "direct/a/b:c", "direct/a:b/c"]
    {
        assert_eq!(of(conversation).as_deref(), Ok(conversation));
    }
    assert!(of("group/direct/x").is_err());
}

#[test]
fn a_payload_hash_is_the_same_for_ever() {
    let hash = |fields: &str| read_message(&message_with("{\"text\": \"hi\"}", fields)).payload_hash();
    assert_eq!(hash(",\"recipients\":[\"bob\",\"carol\"]"), 0x496b_e8ea_2e70_f960);
    assert_eq!(hash(""), 0x885e_90ae_2f3e_6751);
    let text = members_with(",\"add\":[\"bob\"],\"remove\":[\"carol\"]");
    assert_eq!(read_members(&text).payload_hash(), 0xb038_90f8_0a39_52e7);
}

#[test]
fn a_payload_is_what_a_retry_must_repeat() {
    let hash = |body: &str, fields: &str| read_message(&message_with(body, fields)).payload_hash();
    let same = hash("[1]", "");
    assert_eq!(hash("[1]", ",\"session\":\"s-2\",\"sent_at\":7,\"new\":1"), same);
    assert_eq!(hash("[1]", ",\"members_only\":false"), same);
    let others = [
        hash("[1 ]", ""),
        hash("[1]", ",\"members_only\":true"),
        hash("[1]", ",\"recipients\":[]"),
        hash("[1]", ",\"recipients\":[\"ab\"]"),
        hash("[1]", ",\"recipients\":[\"a\",\"b\"]"),
        hash("[1]", ",\"recipients\":[\"b\",\"a\"]"),
        hash("[1]", ",\"recipients\":[\"a\",\"b\",\"b\"]"),
    ];
    let change = |fields: &str| read_members(&members_with(fields)).payload_hash();
    let changes = [
        change(",\"add\":[\"a\",\"b\"]"),
        change(",\"remove\":[\"a\",\"b\"]"),
        change(",\"add\":[\"a\"],\"remove\":[\"b\"]"),
        change(",\"add\":[]"),
    ];
    let all: std::collections::BTreeSet<u64> = others.into_iter().chain(changes).chain([same]).collect();
    assert_eq!(all.len(), 12);
    assert_eq!(change(",\"add\":[]"), change(",\"remove\":[]"));
}

fn message() -> BoxedStrategy<Message<'static>> {
    let whose = (conversation(), id(), id());
    let rest = (option::of(vec(id(), 0..5)), any::<bool>(), option::of(id()), option::of(integer()));
    (whose, body(), rest)
        .prop_map(|((conversation, sender, client_id), body, rest)| {
            let (recipients, members_only, session, sent_at) = rest;
            let refused = Vec::new();
            Message {
                conversation,
                sender,
                client_id,
                body,
                recipients,
                refused,
                members_only,
                session,
                sent_at,
            }
        })
        .boxed()
}

fn members() -> BoxedStrategy<Members<'static>> {
    (group(), id(), id(), vec(id(), 0..5), vec(id(), 0..5))
        .prop_map(|(conversation, by, client_id, add, mut remove)| {
            remove.retain(|id| !add.contains(id));
            Members { conversation, by, client_id, add, remove }
        })
        .boxed()
}

fn input() -> impl Strategy<Value = SendInput<'static>> {
    prop_oneof![message().prop_map(SendInput::Message), members().prop_map(SendInput::Members)]
}

#[test]
fn the_scanner_reads_the_canonical_layout_and_any_order_of_fields() {
    let fields = r#","session":"s","recipients":["b","b"],"members_only":true,"sent_at":0"#;
    for text in [
        message_with("{\"a\":[1e999]}", ""),
        message_with("null", fields),
        message_with("\"\\ud83d\\ude42\"", ",\"recipients\":[]"),
        r#"{"v":1,"type":"message","body":1,"client_id":"c","sender":"b","conversation":"direct/a/b"}"#
            .to_owned(),
    ] {
        let scanned = scanned(text.as_bytes());
        assert!(scanned.is_some(), "{text}");
        assert_eq!(judge_record(Some(text.as_bytes())).ok(), scanned, "{text}");
    }
}

#[test]
fn after_any_single_edit_the_scanner_says_what_the_judge_says() {
    let fields = r#","session":"s","recipients":["b","c"],"members_only":true,"sent_at":1760000000000"#;
    let direct =
        r#"{"v":1,"type":"message","body":{"a":1},"client_id":"c","sender":"b","conversation":"direct/a/b"}"#;
    let mut agreed = 0;
    for text in [&message_with("\"x\"", fields), direct] {
        for edited in single_edits(text) {
            if let Some(input) = scanned(edited.as_bytes()) {
                assert_eq!(judge_record(Some(edited.as_bytes())), Ok(input), "{edited}");
                agreed += 1;
            }
        }
    }
    assert!(agreed > 1_000, "edits that leave a valid record are among them: {agreed}");
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_the_same(input in input()) {
        let value = encode(&input);
        prop_assert_eq!(decode(Some(&value)), Ok(input));
    }

    #[test]
    fn the_scanner_says_what_the_judge_says(bytes in edited(input().prop_map(|input| encode(&input)))) {
        if let Some(input) = scanned(&bytes) {
            prop_assert_eq!(judge_record(Some(&bytes)), Ok(input));
        }
    }

    #[test]
    fn any_bytes_are_refused_or_read_the_same_again(
        bytes in prop_oneof![
            vec(any::<u8>(), 0..200).boxed(),
            edited(input().prop_map(|input| encode(&input))),
        ],
    ) {
        if let Ok(mut input) = decode(Some(&bytes)) {
            if let SendInput::Message(message) = &mut input {
                message.refused.clear();
            }
            let value = encode(&input);
            prop_assert_eq!(decode(Some(&value)), Ok(input));
        }
    }
}
