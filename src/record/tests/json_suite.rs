//! The cases of the public JSONTestSuite, generated anew: as a whole record of every topic, as a field of a
//! record that is read and one that is ignored, and as a message's body. All that is valid is accepted, all
//! that is not is refused as malformed, and what the RFC leaves open is decided here, once for each.

use proptest::{collection::vec, prelude::*, sample::select};

use super::{
    super::{cursor::CursorView, posted, receipts, sends},
    strategy::edited,
    *,
};
use crate::limits::{JSON_DEPTH_MAX, METADATA_BYTES_MAX};

mod cases;
mod grammar;

use cases::Case;

/// What a reader says of a record: nothing, or why it refuses it.
type Verdict = Option<Reason>;

type Reader = fn(&[u8]) -> Verdict;

/// Every reader of records of JSON, by its topic.
const READERS: [(Topic, Reader); 8] = [
    (Topic::Heartbeats, |value| heartbeats::decode(Some(value)).err().map(|refusal| refusal.reason)),
    (Topic::Sends, |value| sends::decode(Some(value)).err().map(|refused| refused.refusal.reason)),
    (Topic::Receipts, |value| receipts::decode(Some(value)).err().map(|refusal| refusal.reason)),
    (Topic::Deliveries, |value| posted::decode_deliveries(Some(value)).err().map(|refusal| refusal.reason)),
    (Topic::Inbox, |value| posted::InboxView::decode(value).err().map(|refusal| refusal.reason)),
    (Topic::Presence, |value| TransitionView::decode(value).err().map(|refusal| refusal.reason)),
    (Topic::Sessions, |value| SessionView::decode(value).err().map(|refusal| refusal.reason)),
    (Topic::Cursors, |value| CursorView::decode(value).err().map(|refusal| refusal.reason)),
];

/// A valid record of a topic, up to a field that nobody knows and to its value.
fn record_up_to_unknown(topic: Topic) -> String {
    let fields = match topic {
        Topic::Heartbeats => r#""type":"heartbeat","user":"a","session":"s","counter":1"#,
        Topic::Sends => {
            r#""type":"message","conversation":"group/g","sender":"a","client_id":"c","body":{"k":[1]}"#
        }
        Topic::Receipts => r#""type":"read","user":"a","inbox":4"#,
        Topic::Deliveries => r#""type":"deliveries","messages":[]"#,
        Topic::Inbox => r#""type":"inbox","messages":[]"#,
        Topic::Cursors => r#""type":"cursor","user":"a","inbox":4"#,
        Topic::Sessions => concat!(
            r#""type":"session","event":"join","user":"a","session":"s","sessions":1,"#,
            r#""origin":{"partition":0,"offset":1}"#
        ),
        _ => concat!(
            r#""type":"transition","user":"a","version":1,"from":"offline","to":"online","#,
            r#""cause":"heartbeat","sessions":1,"occurred_at":1,"detected_at":1,"last_seen":1,"#,
            r#""origin":{"partition":0,"offset":1}"#
        ),
    };
    format!("{{\"v\":1,{fields},\"unknown\":")
}

/// A place for a case in a record, what reads the record, and how deep the place is.
struct Place {
    name: String,
    before: String,
    after: &'static str,
    read: Reader,
    bytes_max: usize,
    /// Numbers are passed on as they are.
    opaque: bool,
    depth: usize,
}

impl Place {
    fn record_with(&self, case: &[u8]) -> Vec<u8> {
        [self.before.as_bytes(), case, self.after.as_bytes()].concat()
    }

    /// What must be said of a record with this in it.
    fn expected(&self, record: &[u8]) -> Verdict {
        let accepted = grammar::read(record).is_some_and(|found| {
            let known = !found.duplicate_key && !found.lone_surrogate && (self.opaque || !found.too_large);
            known && found.depth <= JSON_DEPTH_MAX
        });
        (!accepted).then_some(Reason::Malformed)
    }
}

fn places() -> Vec<Place> {
    let unknown = READERS.iter().map(|(topic, read)| Place {
        name: format!("an unknown field of {topic}"),
        before: record_up_to_unknown(*topic),
        after: "}",
        read: *read,
        bytes_max: 3_000,
        opaque: false,
        depth: 1,
    });
    let place = |name: &str, topic: usize, before: &str, after, bytes_max, opaque, depth| Place {
        name: name.to_owned(),
        before: before.to_owned(),
        after,
        read: READERS[topic].1,
        bytes_max,
        opaque,
        depth,
    };
    let body = r#"{"v":1,"type":"message","conversation":"group/g","sender":"a","client_id":"c","body":"#;
    let beat = r#"{"v":1,"type":"heartbeat","user":"a","session":"s","counter":1,"metadata":"#;
    unknown
        .chain([
            place("the body of a message", 1, body, "}", 60_000, true, 1),
            place("a session's metadata", 0, beat, "}", METADATA_BYTES_MAX, false, 1),
        ])
        .collect()
}

fn assert_everywhere(cases: &[Case], expected: impl Fn(&Place) -> Verdict) {
    for place in places() {
        let expected = expected(&place);
        for case in cases.iter().filter(|case| case.len() <= place.bytes_max) {
            let record = place.record_with(case);
            let shown = String::from_utf8_lossy(&record);
            assert_eq!((place.read)(&record), expected, "{}: {shown}", place.name);
            assert_eq!(place.expected(&record), expected, "the grammar on {}: {shown}", place.name);
        }
    }
}

const MALFORMED: Verdict = Some(Reason::Malformed);

#[test]
fn every_valid_text_is_accepted_in_every_place() {
    let valid = cases::valid();
    assert!(valid.len() > 800, "{} cases", valid.len());
    assert_everywhere(&valid, |_| None);
}

#[test]
fn every_invalid_text_is_refused_in_every_place() {
    let invalid = cases::invalid();
    assert!(invalid.len() > 5_000, "{} cases", invalid.len());
    assert_everywhere(&invalid, |_| MALFORMED);
}

#[test]
fn a_structure_broken_at_any_token_is_judged_as_the_grammar_has_it() {
    let (mut accepted, mut refused) = (0, 0);
    let broken = cases::broken_structures();
    for place in places() {
        for case in broken.iter().filter(|case| case.len() <= place.bytes_max) {
            let record = place.record_with(case);
            let shown = String::from_utf8_lossy(&record);
            let expected = place.expected(&record);
            assert_eq!((place.read)(&record), expected, "{}: {shown}", place.name);
            *if expected.is_none() { &mut accepted } else { &mut refused } += 1;
        }
    }
    assert!(accepted > 1_000 && refused > 50_000, "{accepted} accepted, {refused} refused");
}

#[test]
fn a_valid_body_is_kept_byte_for_byte() {
    for case in [cases::valid(), cases::too_large(), cases::rounded()].concat() {
        let text = String::from_utf8(case).unwrap();
        let body = places().into_iter().find(|place| place.opaque).unwrap();
        for around in ["", " ", "\r\n\t"] {
            let record = body.record_with([around, &text, around].concat().as_bytes());
            match sends::decode(Some(&record)) {
                Ok(sends::SendInput::Message(message)) => assert_eq!(message.body, text.trim()),
                other => panic!("{text}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_text_that_is_no_object_is_no_record_and_an_object_is_judged_by_its_fields() {
    let all = [cases::valid(), cases::invalid(), cases::broken_structures(), cases::not_utf8()].concat();
    for (topic, read) in READERS {
        for case in all.iter().filter(|case| case.len() <= 3_000) {
            let verdict = read(case);
            let found = grammar::read(case);
            let object = found.is_some() && case.trim_ascii_start().first() == Some(&b'{');
            let shown = String::from_utf8_lossy(case);
            match object {
                // There is no version in it; whose keys are twice, the record is none.
                true => assert!(
                    verdict == Some(Reason::Invalid) || found.is_some_and(|found| found.duplicate_key),
                    "{topic}: {shown}: {verdict:?}"
                ),
                false => assert_eq!(verdict, MALFORMED, "{topic}: {shown}"),
            }
        }
    }
}

#[test]
fn nothing_but_white_space_may_be_around_a_record() {
    for (topic, read) in READERS {
        let record = format!("{}null}}", record_up_to_unknown(topic));
        for space in ["", " ", "\t", "\n", "\r", " \r\n\t "] {
            assert_eq!(read([space, &record, space].concat().as_bytes()), None, "{topic}: {space:?}");
        }
        for (before, after) in cases::AROUND {
            let found = [before, record.as_bytes(), after].concat();
            assert_eq!(read(&found), MALFORMED, "{topic}: {}", String::from_utf8_lossy(&found));
            assert_eq!(grammar::read(&found).filter(|_| *before != b"["), None);
        }
        for length in 0..record.len() {
            assert_eq!(read(&record.as_bytes()[..length]), MALFORMED, "{topic}: {}", &record[..length]);
        }
    }
}

#[test]
fn decided_a_key_that_is_there_twice_is_refused_however_it_is_written() {
    assert_everywhere(&cases::duplicate_keys(), |_| MALFORMED);
}

#[test]
fn decided_half_a_surrogate_pair_is_refused() {
    assert_everywhere(&cases::lone_surrogates(), |_| MALFORMED);
}

#[test]
fn decided_what_is_not_utf8_is_refused_and_so_is_a_byte_order_mark() {
    assert_everywhere(&cases::not_utf8(), |_| MALFORMED);
    assert_everywhere(&[b"\xef\xbb\xbf{}".to_vec()], |_| MALFORMED);
    for (topic, read) in READERS {
        let record = format!("{}null}}", record_up_to_unknown(topic));
        let little: Vec<u8> = record.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = record.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let marked = [b"\xff\xfe".as_slice(), &little].concat();
        for encoded in [little, big, marked] {
            assert_eq!(read(&encoded), MALFORMED, "{topic}");
        }
    }
}

#[test]
fn decided_a_number_beyond_floating_point_is_kept_in_a_body_and_refused_elsewhere() {
    assert_everywhere(&cases::too_large(), |place| if place.opaque { None } else { MALFORMED });
}

#[test]
fn decided_a_number_that_floating_point_rounds_is_accepted() {
    assert_everywhere(&cases::rounded(), |_| None);
}

#[test]
fn decided_nesting_is_accepted_up_to_sixteen() {
    for place in places() {
        for (levels, expected) in [
            (JSON_DEPTH_MAX - 1 - place.depth, None),
            (JSON_DEPTH_MAX - place.depth, None),
            (JSON_DEPTH_MAX + 1 - place.depth, MALFORMED),
            (128, MALFORMED),
            (500, MALFORMED),
        ] {
            for case in cases::nested(levels).iter().filter(|case| case.len() <= place.bytes_max) {
                let record = place.record_with(case);
                assert_eq!((place.read)(&record), expected, "{}: {levels}", place.name);
                assert_eq!(place.expected(&record), expected, "{}: {levels}", place.name);
            }
        }
    }
    let (_, read) = READERS[1];
    assert_eq!(read(&b"[".repeat(100_000)), MALFORMED);
    assert_eq!(read(&b"[{\"\":".repeat(30_000)), MALFORMED);
}

#[test]
fn decided_a_recipient_is_judged_on_its_own_whatever_it_is() {
    let message = |recipient: &[u8]| {
        let before = record_up_to_unknown(Topic::Sends);
        [before.as_bytes(), br#"0,"recipients":["a","#, recipient, br#","b"]}"#].concat()
    };
    let no_ids =
        [cases::too_large(), cases::duplicate_keys(), cases::lone_surrogates(), cases::nested(50).to_vec()];
    for case in no_ids.concat().iter().filter(|case| case.len() <= 3_000) {
        let record = message(case);
        let shown = String::from_utf8_lossy(&record);
        match sends::decode(Some(&record)) {
            Ok(sends::SendInput::Message(sent)) => {
                assert_eq!(sent.recipients, Some(vec!["a".into(), "b".into()]), "{shown}");
                assert_eq!(sent.refused.iter().map(|part| part.index).collect::<Vec<_>>(), [1], "{shown}");
            }
            other => panic!("{shown}: {other:?}"),
        }
    }
    for case in cases::invalid().iter().filter(|case| case.len() <= 3_000) {
        let record = message(case);
        // Closed and opened again, it may be more than one recipient.
        if grammar::read(&record).is_none() {
            assert_eq!(READERS[1].1(&record), MALFORMED, "{}", String::from_utf8_lossy(&record));
        }
    }
}

/// Whether parts of a message are refused and the rest of it is accepted.
fn refuses_recipients(record: &[u8]) -> bool {
    matches!(
        sends::decode(Some(record)),
        Ok(sends::SendInput::Message(message)) if !message.refused.is_empty()
    )
}

#[test]
fn decided_an_integer_is_written_without_fraction_and_exponent() {
    let read = READERS[0].1;
    let beat = |counter: &str| {
        format!(r#"{{"v":1,"type":"heartbeat","user":"a","session":"s","counter":{counter}}}"#).into_bytes()
    };
    for counter in ["0", "-0", "1", "9007199254740990", "9007199254740991", "-9007199254740991"] {
        assert_eq!(read(&beat(counter)), None, "{counter}");
    }
    for counter in ["1.0", "1e0", "1E2", "0.0", "9007199254740992", "-9007199254740992", "1e-1"] {
        assert_eq!(read(&beat(counter)), Some(Reason::Invalid), "{counter}");
    }
    for counter in ["01", "+1", "1.", "0x1", "1e", "--1"] {
        assert_eq!(read(&beat(counter)), MALFORMED, "{counter}");
    }
}

/// The text of any value: with every kind of token, and white space where there may be some.
fn text() -> BoxedStrategy<String> {
    let pool = |cases: Vec<Case>| {
        let short =
            cases.into_iter().filter(|case| case.len() < 60).map(|case| String::from_utf8(case).unwrap());
        select(short.collect::<Vec<_>>())
    };
    let space = || prop_oneof![4 => Just(""), 1 => select(&[" ", "\n", "\t\r"][..])];
    let leaf = prop_oneof![3 => pool(cases::valid()), 1 => pool(cases::lone_surrogates())];
    let nested = leaf.prop_recursive(18, 40, 4, move |inner| {
        let keys = vec(select(&["", "a", "b", "\\u0061", "🙂"][..]), 4);
        let object = (vec((inner.clone(), space()), 0..4), keys).prop_map(|(values, keys)| {
            let fields = values.iter().zip(&keys);
            let fields = fields.map(|((value, space), key)| format!("\"{key}\"{space}:{space}{value}"));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        });
        let array = vec((inner.clone(), space()), 0..4).prop_map(|values| {
            let elements = values.iter().map(|(value, space)| [*space, value, *space].concat());
            format!("[{}]", elements.collect::<Vec<_>>().join(","))
        });
        let wrapped = inner.prop_map(|inner| format!("[{inner}]"));
        prop_oneof![object, array, wrapped]
    });
    nested.boxed()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2_000, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn any_text_and_any_edit_of_it_is_judged_as_the_grammar_has_it(
        (text, changed) in text().prop_flat_map(|text| {
            (Just(text.clone()), edited(Just(text.into_bytes())))
        }),
    ) {
        for place in places() {
            for case in [text.as_bytes(), &changed] {
                let record = place.record_with(case);
                // A number in an edited text may have got out of the body.
                let is_judged = !place.opaque || !grammar::read(&record).is_some_and(|found| found.too_large);
                if case.len() <= place.bytes_max && is_judged {
                    let (verdict, expected) = ((place.read)(&record), place.expected(&record));
                    let shown = String::from_utf8_lossy(&record);
                    // An edit may have made known fields wrong, or have added recipients.
                    let well_formed = grammar::read(&record).is_some();
                    let same = verdict == expected
                        || (expected.is_none() && case != text.as_bytes() && verdict != MALFORMED)
                        || (well_formed && verdict.is_none() && refuses_recipients(&record));
                    prop_assert!(same, "{}: {shown}: {verdict:?}, not {expected:?}", place.name);
                }
            }
        }
    }
}
