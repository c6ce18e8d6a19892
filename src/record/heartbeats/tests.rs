use proptest::prelude::*;

use super::*;
use crate::{
    limits::{BATCH_BYTES_MAX, HEARTBEAT_BYTES_MAX, METADATA_BYTES_MAX, TEXT_BYTES_MAX},
    record::{Reason, tests::strategy::single_edits},
};

mod strategy;

fn read(text: &str) -> Input<'_> {
    decode(Some(text.as_bytes())).unwrap_or_else(|refusal| panic!("{text}: {refusal:?}"))
}

/// What the scanner says, if anything.
fn scanned(value: &[u8]) -> Option<Input<'_>> {
    let batch = || Some(Input::Heartbeats { beats: scan::heartbeats(value)?, refused: Vec::new() });
    scan::heartbeat(value).map(Input::Heartbeat).or_else(batch)
}

fn refused(text: &str) -> (Reason, String) {
    match decode(Some(text.as_bytes())) {
        Err(refusal) => (refusal.reason, refusal.message),
        Ok(input) => panic!("{text} is valid: {input:?}"),
    }
}

/// A heartbeat with these fields after the required ones.
fn beat_with(fields: &str) -> String {
    let comma = if fields.is_empty() { "" } else { "," };
    format!(r#"{{"v":1,"type":"heartbeat","user":"alice","session":"s-1","counter":12{comma}{fields}}}"#)
}

fn read_beat(text: &str) -> Beat<'_> {
    match read(text) {
        Input::Heartbeat(beat) => beat,
        other => panic!("a heartbeat is due, not {other:?}"),
    }
}

fn plain_beat() -> Beat<'static> {
    Beat::new("alice", "s-1", 0, 12)
}

#[test]
fn fields_of_a_heartbeat_are_left_out_null_or_given() {
    assert_eq!(read_beat(&beat_with("")), plain_beat());
    let nulls = r#""device":null,"gateway":null,"lease_ms":null,"idle_ms":null,"busy":null,"metadata":null"#;
    let cleared = Beat {
        device: Field::Null,
        gateway: Field::Null,
        lease_ms: Field::Null,
        idle_ms: Field::Null,
        busy: Field::Null,
        metadata: Field::Null,
        ..plain_beat()
    };
    assert_eq!(read_beat(&beat_with(nulls)), cleared);
    let values = r#""epoch":-3,"device":"ios","gateway":"gw-7","lease_ms":5000,"idle_ms":0,"busy":true,
        "metadata":{"a": 1e2}"#;
    let given = Beat {
        epoch: -3,
        device: Field::Given("ios".into()),
        gateway: Field::Given("gw-7".into()),
        lease_ms: Field::Given(5_000),
        idle_ms: Field::Given(0),
        busy: Field::Given(true),
        metadata: Field::Given(r#"{"a": 1e2}"#),
        ..plain_beat()
    };
    assert_eq!(read_beat(&beat_with(values)), given);
}

#[test]
fn what_is_no_single_json_object_is_malformed() {
    let texts = [
        "",
        " ",
        "null",
        "[]",
        "12",
        "{",
        r#"{"v":1,}"#,
        "\u{feff}{}",
        &(beat_with("") + "{}"),
        &(beat_with("") + "x"),
        &beat_with(r#""counter":12"#),
        &beat_with(r#""co\u0075nter":12"#),
        &beat_with(r#""unknown":{"a":1,"b":{"c":1,"c":2}}"#),
        &beat_with(r#""metadata":{"a":1,"a":1}"#),
        &beat_with(r#""metadata":01"#),
        &beat_with(r#""device":"\ud800""#),
        &beat_with("\"device\":\"a\nb\""),
    ];
    for text in texts {
        assert_eq!(refused(text).0, Reason::Malformed, "{text}");
    }
    assert_eq!(decode(None).unwrap_err().reason, Reason::Malformed);
    let not_utf8 = decode(Some(b"{\"v\":1,\"x\":\"\xff\"}")).unwrap_err();
    assert_eq!(not_utf8.reason, Reason::Malformed);
    assert!(not_utf8.message.starts_with("not UTF-8"), "{}", not_utf8.message);
}

#[test]
fn nesting_of_sixteen_is_read_and_of_seventeen_is_refused() {
    // The record itself is the first level.
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels - 1), "]".repeat(levels - 1));
    for field in ["metadata", "unknown"] {
        let text = beat_with(&format!("\"{field}\":{}", nested(16)));
        read(&text);
        let (reason, message) = refused(&beat_with(&format!("\"{field}\":{}", nested(17))));
        assert_eq!(reason, Reason::Malformed);
        assert!(message.contains("nested deeper than 16"), "{message}");
    }
    // In a batch, the list and the beat are levels, too.
    let batch = |levels| {
        let part = format!(r#"{{"user":"a","session":"b","counter":1,"metadata":{}}}"#, nested(levels));
        format!(r#"{{"v":1,"type":"heartbeats","beats":[{part}]}}"#)
    };
    assert!(matches!(read(&batch(14)), Input::Heartbeats { refused, .. } if refused.is_empty()));
    assert!(matches!(read(&batch(15)), Input::Heartbeats { beats, .. } if beats.is_empty()));
    assert_eq!(refused(&"[".repeat(BATCH_BYTES_MAX)).0, Reason::Malformed);
}

#[test]
fn a_wrong_field_is_invalid_and_named() {
    let base = r#""v":1,"type":"heartbeat","session":"s","counter":1"#;
    let cases = [
        (format!("{{{base}}}"), "`user` is missing"),
        (format!("{{{base},\"user\":null}}"), "`user` must not be null"),
        (format!("{{{base},\"user\":7}}"), "`user`: a string is due, not a number"),
        (format!("{{{base},\"user\":\"\"}}"), "`user`: an id must not be empty"),
        (format!("{{{base},\"user\":\"a/b\"}}"), "`user`: an id must not contain '/'"),
        (format!("{{{base},\"user\":\"a\\u002fb\"}}"), "`user`: an id must not contain '/'"),
        (format!("{{{base},\"user\":\"a\\nb\"}}"), "`user`: an id must not contain control characters"),
        (
            format!("{{{base},\"user\":\"{}\"}}", "x".repeat(129)),
            "`user`: an id has at most 128 bytes, this one has 129",
        ),
        (beat_with("\"epoch\":null"), "`epoch` must not be null"),
        (
            beat_with("\"epoch\":1.0"),
            "`epoch`: an integer is due, not a number with a fraction or an exponent",
        ),
        (
            beat_with("\"epoch\":1e3"),
            "`epoch`: an integer is due, not a number with a fraction or an exponent",
        ),
        (beat_with("\"epoch\":\"1\""), "`epoch`: an integer is due, not a string"),
        (beat_with("\"busy\":1"), "`busy`: true or false is due, not a number"),
        (beat_with("\"device\":{}"), "`device`: a string is due, not an object"),
        (beat_with("\"idle_ms\":-1"), "`idle_ms`: must be 0 .. 9007199254740991"),
        (beat_with("\"lease_ms\":4999"), "`lease_ms`: must be 5000 .. 600000"),
        (beat_with("\"lease_ms\":600001"), "`lease_ms`: must be 5000 .. 600000"),
        (r#"{"type":"heartbeat"}"#.into(), "`v` is missing"),
        (r#"{"v":"1","type":"heartbeat"}"#.into(), "`v`: an integer is due, not a string"),
        (r#"{"v":1}"#.into(), "`type` is missing"),
        (r#"{"v":1,"type":"heartbeats"}"#.into(), "`beats` is missing"),
        (r#"{"v":1,"type":"heartbeats","beats":{}}"#.into(), "`beats`: an array is due, not an object"),
        (r#"{"v":1,"type":"goodbyes","ends":null}"#.into(), "`ends` must not be null"),
        (
            r#"{"v":1,"type":"heartbeats","gateway":"","beats":[]}"#.into(),
            "`gateway`: an id must not be empty",
        ),
        (
            r#"{"v":1,"type":"status","user":"a","status":"gone"}"#.into(),
            "`status`: must be \"auto\", \"away\", \"busy\" or \"invisible\"",
        ),
    ];
    for (text, message) in cases {
        assert_eq!(refused(&text), (Reason::Invalid, message.to_owned()), "{text}");
    }
}

#[test]
fn integers_are_read_up_to_two_to_the_53_less_one() {
    for counter in ["9007199254740991", "-9007199254740991", "0", "-0"] {
        read(&beat_with(&format!("\"epoch\":{counter}")));
    }
    for counter in ["9007199254740992", "-9007199254740992", "99999999999999999999999"] {
        assert_eq!(refused(&beat_with(&format!("\"epoch\":{counter}"))).0, Reason::Invalid, "{counter}");
    }
}

#[test]
fn an_unknown_type_or_version_is_unsupported() {
    for text in [
        r#"{"v":2,"type":"heartbeat"}"#.to_owned(),
        r#"{"v":0,"type":"heartbeat"}"#.to_owned(),
        r#"{"v":1,"type":"message"}"#.to_owned(),
        r#"{"v":1,"type":""}"#.to_owned(),
        format!(r#"{{"v":1,"type":"{}"}}"#, "y".repeat(60_000)),
    ] {
        let (reason, message) = refused(&text);
        assert_eq!(reason, Reason::Unsupported, "{message}");
        assert!(message.len() < 200, "a message is short whatever the record has");
    }
}

#[test]
fn a_record_is_read_at_its_size_limit_and_refused_above() {
    let padded = |text: String, bytes: usize| {
        let padding = " ".repeat(bytes - text.len());
        text + &padding
    };
    let batch = r#"{"v":1,"type":"heartbeats","beats":[]}"#.to_owned();
    read(&padded(beat_with(""), HEARTBEAT_BYTES_MAX));
    read(&padded(batch.clone(), BATCH_BYTES_MAX));
    assert_eq!(refused(&padded(beat_with(""), HEARTBEAT_BYTES_MAX + 1)).0, Reason::Oversize);
    assert_eq!(refused(&padded(batch, BATCH_BYTES_MAX + 1)).0, Reason::Oversize);
    // Without padding, so that the scanner sees it.
    let ids = "x".repeat(128);
    let long = beat_with(&format!("\"metadata\":\"{}\",\"device\":\"{ids}\"", "m".repeat(4_000)));
    assert_eq!(refused(&long).0, Reason::Oversize);
}

#[test]
fn texts_and_metadata_are_read_at_their_limits_and_refused_above() {
    let metadata = |bytes: usize| beat_with(&format!("\"metadata\":\"{}\"", "m".repeat(bytes - 2)));
    read(&metadata(METADATA_BYTES_MAX));
    assert_eq!(refused(&metadata(METADATA_BYTES_MAX + 1)).0, Reason::Oversize);
    for field in ["status_text", "activity"] {
        let status = |bytes: usize| {
            format!(r#"{{"v":1,"type":"status","user":"a","{field}":"é{}"}}"#, "x".repeat(bytes - 2))
        };
        read(&status(TEXT_BYTES_MAX));
        assert_eq!(refused(&status(TEXT_BYTES_MAX + 1)).0, Reason::Oversize, "{field}");
    }
}

#[test]
fn a_bad_part_of_a_batch_costs_only_itself() {
    let text = r#"{"v":1,"type":"heartbeats","gateway":"gw-7","beats":[
        {"user":"a","session":"s","counter":1},
        {"user":"a","session":"s"},
        {"user":"b","session":"s","counter":1,"gateway":null},
        7,
        {"user":"c","session":"s","counter":1,"metadata":{"k":1,"k":2}},
        {"user":"d","session":"s","counter":1,"gateway":"gw-8"}]}"#;
    let Input::Heartbeats { beats, refused } = read(text) else { panic!("a batch is due") };
    let found: Vec<_> =
        beats.iter().map(|(at, beat)| (*at, beat.user.as_ref(), beat.gateway.clone())).collect();
    assert_eq!(
        found,
        [(0, "a", Field::Given("gw-7".into())), (2, "b", Field::Null), (5, "d", Field::Given("gw-8".into()))]
    );
    let found: Vec<_> = refused.iter().map(|part| (part.index, part.refusal.reason)).collect();
    assert_eq!(found, [(1, Reason::Invalid), (3, Reason::Invalid), (4, Reason::Malformed)]);
}

#[test]
fn a_batch_of_refused_parts_only_is_still_a_batch() {
    let Input::Goodbyes { ends, refused } = read(r#"{"v":1,"type":"goodbyes","ends":[{},null]}"#) else {
        panic!("a batch is due")
    };
    assert_eq!((ends.len(), refused.len()), (0, 2));
    let empty = Input::Heartbeats { beats: Vec::new(), refused: Vec::new() };
    assert_eq!(read(r#"{"v":1,"type":"heartbeats","beats":[]}"#), empty);
}

#[test]
fn a_goodbye_waits_at_most_ten_minutes() {
    let goodbye = |after: &str| {
        format!(r#"{{"v":1,"type":"goodbye","user":"a","session":"s","epoch":5,"counter":14{after}}}"#)
    };
    let after = |text: &str| match read(text) {
        Input::Goodbye(end) => (end.epoch, end.counter, end.after_ms),
        other => panic!("a goodbye is due, not {other:?}"),
    };
    assert_eq!(after(&goodbye("")), (5, 14, 0));
    assert_eq!(after(&goodbye(",\"after_ms\":600000")), (5, 14, 600_000));
    assert_eq!(refused(&goodbye(",\"after_ms\":600001")).0, Reason::Invalid);
    assert_eq!(refused(&goodbye(",\"after_ms\":-1")).0, Reason::Invalid);
    assert_eq!(refused(&goodbye(",\"after_ms\":null")).0, Reason::Invalid);
}

#[test]
fn escapes_are_read_and_escaped_field_names_are_the_same_names() {
    let text = r#"{"v":1,"type":"heartb\u0065at","us\u0065r":"\u0061lice \"q\" \ud83d\ude42",
        "session":"s","counter":1}"#;
    assert_eq!(read_beat(text).user, "alice \"q\" 🙂");
}

#[test]
fn a_record_is_routed_by_its_user_and_a_batch_by_its_first_valid_part() {
    let routed = |text: &str| routing_user(&read(text)).map(str::to_owned);
    assert_eq!(routed(&beat_with("")).as_deref(), Some("alice"));
    let batch = r#"{"v":1,"type":"goodbyes","ends":[{"user":"x"},{"user":"b","session":"s","counter":1}]}"#;
    assert_eq!(routed(batch).as_deref(), Some("b"));
    assert_eq!(routed(r#"{"v":1,"type":"status","user":"c"}"#).as_deref(), Some("c"));
    assert_eq!(routed(r#"{"v":1,"type":"gateway_gone","gateway":"g"}"#), None);
    assert_eq!(routed(r#"{"v":1,"type":"heartbeats","beats":[]}"#), None);
}

#[test]
fn the_scanner_reads_the_canonical_layout_and_any_order_of_fields() {
    let fields = r#""idle_ms":1760000000000,"device":"ios","gateway":null,"busy":false,"metadata":{"a":[1]}"#;
    for text in [
        beat_with(""),
        beat_with(fields),
        r#"{"v":1,"type":"heartbeat","counter":0,"session":"s","epoch":12345678,"user":"alice"}"#.to_owned(),
        r#"{"v":1,"type":"heartbeats","beats":[]}"#.to_owned(),
        r#"{"v":1,"type":"heartbeats","gateway":"g","beats":[{"user":"a","session":"b","counter":1}]}"#
            .to_owned(),
    ] {
        assert_eq!(scanned(text.as_bytes()), judge::judge(Some(text.as_bytes())).ok(), "{text}");
        assert!(scanned(text.as_bytes()).is_some(), "{text}");
    }
}

#[test]
fn after_any_single_edit_the_scanner_says_what_the_judge_says() {
    let fields = concat!(
        r#""epoch":1760000000000,"device":"ios","gateway":null,"lease_ms":5000,"busy":true,"#,
        r#""metadata":{"a":[1]}"#
    );
    let part = r#"{"user":"a","session":"b","counter":1}"#;
    let batch = format!(r#"{{"v":1,"type":"heartbeats","gateway":"g","beats":[{part},{part}]}}"#);
    let mut agreed = 0;
    for text in [beat_with(fields), batch] {
        for edited in single_edits(&text) {
            if let Some(input) = scanned(edited.as_bytes()) {
                assert_eq!(judge::judge(Some(edited.as_bytes())), Ok(input), "{edited}");
                agreed += 1;
            }
        }
    }
    assert!(agreed > 1_000, "edits that leave a valid record are among them: {agreed}");
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_the_same(input in strategy::input()) {
        let bytes = encode(&input);
        prop_assert_eq!(decode(Some(&bytes)), Ok(input));
    }

    #[test]
    fn the_scanner_says_what_the_judge_says(bytes in strategy::mutated_record()) {
        if let Some(input) = scanned(&bytes) {
            prop_assert_eq!(judge::judge(Some(&bytes)), Ok(input));
        }
    }

    #[test]
    fn any_bytes_are_refused_or_read_the_same_again(
        bytes in prop_oneof![prop::collection::vec(any::<u8>(), 0..200), strategy::mutated_record()],
    ) {
        match decode(Some(&bytes)) {
            // What was refused of a batch is not in it, and the rest is numbered anew.
            Ok(Input::Heartbeats { refused, .. } | Input::Goodbyes { refused, .. })
                if !refused.is_empty() => {}
            Ok(input) => {
                let again = encode(&input);
                prop_assert_eq!(decode(Some(&again)), Ok(input));
            }
            Err(_) => {}
        }
    }
}
