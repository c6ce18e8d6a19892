use proptest::prelude::*;

use super::*;
use crate::record::{
    Reason,
    tests::strategy::{conversation, edited, id, seq, single_edits},
};

fn refused(text: &str) -> (Reason, String) {
    match decode(Some(text.as_bytes())) {
        Err(refusal) => (refusal.reason, refusal.message),
        Ok(read) => panic!("{text} is valid: {read:?}"),
    }
}

/// A receipt with these fields after the user.
fn read_with(fields: &str) -> String {
    format!(r#"{{"v":1,"type":"read","user":"bob"{fields}}}"#)
}

fn both() -> Read<'static> {
    Read { user: "bob".into(), inbox: Some(41), conversation: Some("group/team".into()), seq: Some(17) }
}

#[test]
fn a_receipt_is_written_as_the_contract_shows_it() {
    let text = r#"{"v":1,"type":"read","user":"bob","inbox":41,"conversation":"group/team","seq":17}"#;
    assert_eq!(String::from_utf8(encode(&both())).unwrap(), text);
    assert_eq!(decode(Some(text.as_bytes())), Ok(both()));
}

#[test]
fn an_inbox_a_conversation_or_both_are_read() {
    let inbox = read_with(r#","inbox":0"#);
    assert_eq!(
        decode(Some(inbox.as_bytes())),
        Ok(Read { inbox: Some(0), conversation: None, seq: None, ..both() })
    );
    let conversation = read_with(r#","seq":17,"conversation":"group/team""#);
    assert_eq!(decode(Some(conversation.as_bytes())), Ok(Read { inbox: None, ..both() }));
    for (fields, message) in [
        ("", "`inbox` is missing, and so are `conversation` and `seq`; give one or both"),
        (r#","conversation":"group/x""#, "`seq` is missing: up to where is `conversation` read?"),
        (r#","seq":1,"inbox":1"#, "`conversation` is missing: `seq` is a number in which one?"),
        (
            r#","conversation":"direct/b/a","seq":1"#,
            "`conversation`: the users of a direct conversation stand in the order of their bytes; \
             write direct/a/b",
        ),
    ] {
        assert_eq!(refused(&read_with(fields)), (Reason::Invalid, message.to_owned()), "{fields}");
    }
}

#[test]
fn positions_are_read_from_zero_to_two_to_the_53_less_one() {
    for (position, is_valid) in
        [("-1", false), ("0", true), ("9007199254740991", true), ("9007199254740992", false), ("1.0", false)]
    {
        for fields in
            [format!(r#","inbox":{position}"#), format!(r#","conversation":"group/x","seq":{position}"#)]
        {
            let text = read_with(&fields);
            assert_eq!(decode(Some(text.as_bytes())).is_ok(), is_valid, "{text}");
        }
    }
}

#[test]
fn a_receipt_is_read_at_its_size_limit_and_refused_above() {
    let padded = |bytes: usize| {
        let text = read_with(r#","inbox":1"#);
        let padding = " ".repeat(bytes - text.len());
        text + &padding
    };
    assert!(decode(Some(padded(RECEIPT_BYTES_MAX).as_bytes())).is_ok());
    assert_eq!(refused(&padded(RECEIPT_BYTES_MAX + 1)).0, Reason::Oversize);
}

#[test]
fn what_is_no_receipt_is_refused_with_its_reason() {
    for (text, reason) in [
        ("", Reason::Malformed),
        ("[]", Reason::Malformed),
        (r#"{"v":1,"type":"read","user":"a","inbox":1,"inbox":1}"#, Reason::Malformed),
        (r#"{"v":1,"type":"read","user":"a","inbox":1}{}"#, Reason::Malformed),
        (r#"{"v":1,"type":"read","user":"a","inbox":1,"x":{"a":1,"a":1}}"#, Reason::Malformed),
        (r#"{"v":2,"type":"read","user":"a","inbox":1}"#, Reason::Unsupported),
        (r#"{"v":1,"type":"cursor","user":"a","inbox":1}"#, Reason::Unsupported),
        (r#"{"v":1,"type":"read","inbox":1}"#, Reason::Invalid),
    ] {
        assert_eq!(refused(text).0, reason, "{text}");
    }
    assert_eq!(decode(None).unwrap_err().reason, Reason::Malformed);
}

fn read() -> BoxedStrategy<Read<'static>> {
    let place = (conversation(), seq());
    (id(), proptest::option::of(seq()), proptest::option::of(place))
        .prop_filter("one of them", |(_, inbox, place)| inbox.is_some() || place.is_some())
        .prop_map(|(user, inbox, place)| {
            let (conversation, seq) = place.unzip();
            Read { user, inbox, conversation, seq }
        })
        .boxed()
}

#[test]
fn the_scanner_reads_the_canonical_layout_and_any_order_of_fields() {
    for text in [
        read_with(r#","inbox":41,"conversation":"group/team","seq":17"#),
        read_with(r#","inbox":0"#),
        r#"{"v":1,"type":"read","seq":0,"conversation":"direct/a/b","user":"b"}"#.to_owned(),
    ] {
        let scanned = scan::read(text.as_bytes());
        assert!(scanned.is_some(), "{text}");
        assert_eq!(judge(Some(text.as_bytes())).ok(), scanned, "{text}");
    }
    for fields in ["", r#","conversation":"group/team""#, r#","seq":1"#, r#","inbox":1,"seq":1"#] {
        assert_eq!(scan::read(read_with(fields).as_bytes()), None, "{fields}");
    }
}

#[test]
fn after_any_single_edit_the_scanner_says_what_the_judge_says() {
    let mut agreed = 0;
    for text in [
        read_with(r#","inbox":1760000000000,"conversation":"group/team","seq":17"#),
        read_with(r#","seq":17,"conversation":"direct/alice/bob""#),
    ] {
        for edited in single_edits(&text) {
            if let Some(read) = scan::read(edited.as_bytes()) {
                assert_eq!(judge(Some(edited.as_bytes())), Ok(read), "{edited}");
                agreed += 1;
            }
        }
    }
    assert!(agreed > 500, "edits that leave a valid record are among them: {agreed}");
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_the_same(read in read()) {
        let value = encode(&read);
        prop_assert_eq!(decode(Some(&value)), Ok(read));
    }

    #[test]
    fn the_scanner_says_what_the_judge_says(bytes in edited(read().prop_map(|read| encode(&read)))) {
        if let Some(read) = scan::read(&bytes) {
            prop_assert_eq!(judge(Some(&bytes)), Ok(read));
        }
    }

    #[test]
    fn any_bytes_are_refused_or_read_the_same_again(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200).boxed(),
            edited(read().prop_map(|read| encode(&read))),
        ],
    ) {
        if let Ok(read) = decode(Some(&bytes)) {
            let value = encode(&read);
            prop_assert_eq!(decode(Some(&value)), Ok(read));
        }
    }
}
