use super::*;
use crate::record::Reason;

const RECORD: RecordRef<'static> =
    RecordRef { offset: 991, time_ms: 5, key: Some(b"alice"), value: Some(b"{"), headers: Some(&[]) };

fn letter(record: &RecordRef<'_>, refusal: &Refusal, parts: &[RefusedPart]) -> OutRecord {
    let topology = Topology::uniform(8, 8);
    dead_letter(&topology, Topic::Heartbeats, 11, record, refusal, parts, Sender::default())
}

fn malformed() -> Refusal {
    Refusal::new(Reason::Malformed, "not a JSON object")
}

fn header<'a>(letter: &'a OutRecord, name: &str) -> Option<&'a str> {
    let mut found = letter.headers.iter().filter(|header| header.name == name);
    let value = found.next()?.value.as_deref()?;
    assert!(found.next().is_none(), "{name} is there once");
    Some(std::str::from_utf8(value).unwrap())
}

#[test]
fn a_dead_letter_is_the_original_with_headers_that_say_why() {
    let trace = [Header { name: "trace".into(), value: None }];
    let sender = Sender { sender: Some("alice"), client_id: Some("c-1") };
    let record = RecordRef { headers: Some(&trace), ..RECORD };
    let letter =
        dead_letter(&Topology::uniform(8, 8), Topic::Heartbeats, 11, &record, &malformed(), &[], sender);
    assert_eq!((letter.key.as_deref(), letter.value.as_deref()), (RECORD.key, RECORD.value));
    assert_eq!(letter.headers[0], trace[0]);
    let expected = [
        ("__connect.errors.topic", Some("heartbeats")),
        ("__connect.errors.partition", Some("11")),
        ("__connect.errors.offset", Some("991")),
        ("__connect.errors.exception.message", Some("not a JSON object")),
        ("heartline.reason", Some("malformed")),
        ("heartline.sender", Some("alice")),
        ("heartline.client_id", Some("c-1")),
        ("heartline.refused", None),
        ("heartline.truncated", None),
    ];
    for (name, value) in expected {
        assert_eq!(header(&letter, name), value, "{name}");
    }
}

#[test]
fn a_dead_letter_lies_where_its_key_does_and_without_one_beside_its_input() {
    let keyed = letter(&RECORD, &malformed(), &[]);
    assert_eq!(keyed.partition, crate::id::partition_of(b"alice", 8));
    let keyless = letter(&RecordRef { key: None, value: None, ..RECORD }, &malformed(), &[]);
    assert_eq!((keyless.partition, keyless.key, keyless.value), (3, None, None));
}

#[test]
fn refused_parts_are_listed_with_index_reason_and_detail() {
    let part = RefusedPart { index: 4, refusal: Refusal::new(Reason::Invalid, "`user`: \"x\"") };
    let letter = letter(&RECORD, &Refusal::new(Reason::Beats, "1 of 5 beats"), &[part]);
    let expected = r#"[{"index":4,"reason":"invalid","detail":"`user`: \"x\""}]"#;
    assert_eq!(header(&letter, "heartline.refused"), Some(expected));
    assert_eq!(header(&letter, "heartline.reason"), Some("beats"));
}

#[test]
fn a_value_is_cut_above_its_limit_and_the_letter_says_so() {
    let value = vec![b'x'; DEAD_LETTER_VALUE_BYTES_MAX + 1];
    let whole = letter(&RecordRef { value: Some(&value[1..]), ..RECORD }, &malformed(), &[]);
    assert_eq!(whole.value.as_ref().map(Bytes::len), Some(DEAD_LETTER_VALUE_BYTES_MAX));
    assert_eq!(header(&whole, "heartline.truncated"), None);
    let cut = letter(&RecordRef { value: Some(&value), ..RECORD }, &malformed(), &[]);
    assert_eq!(cut.value.as_ref().map(Bytes::len), Some(DEAD_LETTER_VALUE_BYTES_MAX));
    assert_eq!(header(&cut, "heartline.truncated"), Some(value.len().to_string().as_str()));
}

#[test]
fn the_largest_of_everything_still_makes_a_letter_that_can_be_produced() {
    let huge = vec![b'x'; 1_000_000];
    let headers: Vec<_> = (0..5_000).map(|n| Header { name: format!("header-{n}"), value: None }).collect();
    let refusal = Refusal::new(Reason::Beats, "é".repeat(10_000));
    let parts: Vec<_> = (0..30_000).map(|index| RefusedPart { index, refusal: malformed() }).collect();
    let record = RecordRef { key: Some(&huge), value: Some(&huge), headers: Some(&headers), ..RECORD };
    let letter = letter(&record, &refusal, &parts);
    assert!(letter.size_bytes() <= RECORD_BYTES_MAX, "{} bytes", letter.size_bytes());
    assert_eq!(letter.partition, crate::id::partition_of(&huge, 8), "the whole key decides");
    let listed: Vec<serde_json::Value> =
        serde_json::from_str(header(&letter, "heartline.refused").unwrap()).unwrap();
    let left_off: usize = header(&letter, "heartline.refused_left_off").unwrap().parse().unwrap();
    assert!(!listed.is_empty());
    assert_eq!(listed.len() + left_off, parts.len());
}

#[test]
fn a_letter_that_was_one_before_says_only_why_it_is_one_now() {
    let stale = |name: &str| Header { name: name.to_owned(), value: Some(Bytes::from_static(b"old")) };
    let headers = [stale(REASON), stale(TRUNCATED), stale(REFUSED), stale("kept")];
    let letter = letter(&RecordRef { headers: Some(&headers), ..RECORD }, &malformed(), &[]);
    assert_eq!(header(&letter, REASON), Some("malformed"));
    assert_eq!(header(&letter, REFUSED), None);
    assert_eq!(header(&letter, TRUNCATED), None, "nothing was cut");
    assert_eq!(header(&letter, "kept"), Some("old"));
}
