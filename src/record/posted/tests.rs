use proptest::{collection::vec, option, prelude::*};

use super::*;
use crate::{
    limits::ENTRY_FRAMING_BYTES,
    record::{
        Reason,
        tests::strategy::{body, conversation, edited, id, integer, seq, single_edits},
    },
};

fn posted() -> Posted<'static> {
    Posted {
        conversation: "group/team".into(),
        seq: 17,
        sender: "alice".into(),
        client_id: "c-1".into(),
        session: Some("s-1".into()),
        sent_at: Some(1_760_000_000_000),
        accepted_at: 1_760_000_000_001,
        body: r#"{"text": "hi"}"#,
    }
}

fn write(deliveries: &[Delivery<'_>]) -> bytes::Bytes {
    let mut writer = DeliveriesWriter::new();
    for delivery in deliveries {
        writer.message(&delivery.posted);
        delivery.recipients.iter().for_each(|recipient| writer.recipient(recipient));
    }
    let size_bytes = writer.size_bytes();
    let value = writer.finish();
    assert_eq!(value.len(), size_bytes);
    value
}

fn write_inbox(messages: &[InboxMessage<'_>]) -> bytes::Bytes {
    let mut writer = InboxWriter::new();
    for message in messages {
        writer.message(&message.posted);
        message.entries.iter().for_each(|entry| writer.entry(&entry.user, entry.seq));
    }
    let size_bytes = writer.size_bytes();
    let value = writer.finish();
    assert_eq!(value.len(), size_bytes);
    value
}

#[test]
fn deliveries_are_written_as_the_contract_shows_them() {
    let bare = Posted { session: None, sent_at: None, seq: 18, body: "null", ..posted() };
    let mut writer = DeliveriesWriter::new();
    writer.message(&posted());
    writer.recipient("bob");
    writer.recipient("c\"arol");
    writer.message(&bare);
    writer.recipient("bob");
    assert_eq!(writer.recipients(), 3);
    let expected = concat!(
        r#"{"v":1,"type":"deliveries","messages":[{"conversation":"group/team","seq":17,"sender":"alice","#,
        r#""client_id":"c-1","session":"s-1","sent_at":1760000000000,"accepted_at":1760000000001,"#,
        r#""body":{"text": "hi"},"recipients":["bob","c\"arol"]},"#,
        r#"{"conversation":"group/team","seq":18,"sender":"alice","client_id":"c-1","#,
        r#""accepted_at":1760000000001,"body":null,"recipients":["bob"]}]}"#,
    );
    assert_eq!(writer.finish(), expected);
}

#[test]
fn an_inbox_record_is_written_as_the_contract_shows_it() {
    let mut writer = InboxWriter::new();
    writer.message(&Posted { session: None, sent_at: None, ..posted() });
    writer.entry("bob", 41);
    writer.entry("carol", 7);
    assert_eq!(writer.entries(), 2);
    let expected = concat!(
        r#"{"v":1,"type":"inbox","messages":[{"conversation":"group/team","seq":17,"sender":"alice","#,
        r#""client_id":"c-1","accepted_at":1760000000001,"body":{"text": "hi"},"#,
        r#""entries":[{"user":"bob","seq":41},{"user":"carol","seq":7}]}]}"#,
    );
    assert_eq!(writer.finish(), expected);
}

#[test]
fn a_record_without_messages_is_one_too() {
    assert_eq!(write(&[]), r#"{"v":1,"type":"deliveries","messages":[]}"#);
    assert_eq!(decode_deliveries(Some(&write(&[]))), Ok(Vec::new()));
    assert_eq!(InboxView::decode(&write_inbox(&[])), Ok(InboxView { messages: Vec::new() }));
}

#[test]
fn the_scanner_reads_what_is_written() {
    let recipients = vec!["bob".into(), "carol".into()];
    for posted in [
        posted(),
        Posted { session: None, sent_at: None, body: "null", ..posted() },
        Posted { conversation: "direct/alice/bob".into(), body: "-1e999", ..posted() },
        Posted { body: r#""\ud83d\ude42 / é""#, ..posted() },
    ] {
        let deliveries = vec![Delivery { posted, recipients: recipients.clone() }; 2];
        assert_eq!(scan::deliveries(&write(&deliveries)), Some(deliveries));
    }
}

#[test]
fn after_any_single_edit_the_scanner_says_what_the_judge_says() {
    let delivery = Delivery { posted: posted(), recipients: vec!["bob".into(), "carol".into()] };
    let direct = Posted { conversation: "direct/a/b".into(), session: None, sent_at: None, ..posted() };
    let direct = Delivery { posted: Posted { body: "\"x\"", ..direct }, recipients: vec!["b".into()] };
    let text = write(&[delivery, direct]);
    let mut agreed = 0;
    for edited in single_edits(std::str::from_utf8(&text).unwrap()) {
        if let Some(deliveries) = scan::deliveries(edited.as_bytes()) {
            assert_eq!(judge_deliveries(Some(edited.as_bytes())), Ok(deliveries), "{edited}");
            agreed += 1;
        }
    }
    assert!(agreed > 1_000, "edits that leave a valid record are among them: {agreed}");
}

#[test]
#[should_panic(expected = "a message is opened before its recipients are named")]
fn a_recipient_without_a_message_is_a_mistake_of_the_caller() {
    DeliveriesWriter::new().recipient("bob");
}

/// A message as large as a send can make it.
fn largest() -> Posted<'static> {
    let id = "\"".repeat(128);
    Posted {
        conversation: format!("direct/{id}/{id}").into(),
        seq: INTEGER_MAX,
        sender: id.clone().into(),
        client_id: id.clone().into(),
        session: Some(id.into()),
        sent_at: Some(-INTEGER_MAX),
        accepted_at: -INTEGER_MAX,
        body: "\"\"",
    }
}

#[test]
fn a_message_beside_its_body_and_with_one_recipient_is_within_its_bound() {
    let mut writer = DeliveriesWriter::new();
    writer.message(&largest());
    writer.recipient("x");
    let before = writer.size_bytes();
    writer.message(&largest());
    writer.recipient(&"\"".repeat(128));
    let grown = writer.size_bytes() - before;
    assert!(grown <= POSTED_HEAD_BYTES_MAX, "{grown} bytes");
}

#[test]
fn a_recipient_grows_by_the_stated_framing_when_it_becomes_an_entry() {
    let (mut deliveries, mut inbox) = (DeliveriesWriter::new(), InboxWriter::new());
    deliveries.message(&largest());
    inbox.message(&largest());
    assert!(inbox.size_bytes() <= deliveries.size_bytes());
    let grown = |writer: &InboxWriter, deliveries: &DeliveriesWriter| {
        writer.size_bytes() as isize - deliveries.size_bytes() as isize
    };
    let before = grown(&inbox, &deliveries);
    deliveries.recipient("b\"ob");
    inbox.entry("b\"ob", INTEGER_MAX);
    assert_eq!(grown(&inbox, &deliveries) - before, ENTRY_FRAMING_BYTES as isize);
}

/// A record filled as the fold fills it, and what becomes of it in `inbox`.
fn filled(posted: &Posted<'_>, user: &str) -> (DeliveriesWriter, InboxWriter) {
    let (mut deliveries, mut inbox) = (DeliveriesWriter::new(), InboxWriter::new());
    while !deliveries.is_full() {
        deliveries.message(posted);
        inbox.message(posted);
        for _ in 0..3 {
            if !deliveries.is_full() {
                deliveries.recipient(user);
                inbox.entry(user, INTEGER_MAX);
            }
        }
    }
    (deliveries, inbox)
}

#[test]
fn a_full_record_is_read_and_what_becomes_of_it_is_below_a_producers_default() {
    let body = format!("\"{}\"", "x".repeat(BODY_BYTES_MAX - 2));
    for (body, user) in [(body.as_str(), "u"), ("0", "u"), ("0", &"\"".repeat(128))] {
        let (deliveries, inbox) = filled(&Posted { body, ..largest() }, user);
        assert!(deliveries.size_bytes() >= DELIVERIES_BYTES_MAX);
        assert!(deliveries.size_bytes() <= DELIVERIES_VALUE_BYTES_MAX);
        assert!(inbox.size_bytes() < 1_000_000);
        decode_deliveries(Some(&deliveries.finish())).expect("valid");
        InboxView::decode(&inbox.finish()).expect("valid");
    }
}

#[test]
fn deliveries_are_read_at_their_limits_and_refused_above() {
    let recipients = |count: usize| Delivery { posted: posted(), recipients: vec!["u".into(); count] };
    let reason = |value: &[u8]| decode_deliveries(Some(value)).map_err(|refusal| refusal.reason).err();
    assert_eq!(reason(&write(&[recipients(RECIPIENTS_MAX - 1), recipients(1)])), None);
    assert_eq!(reason(&write(&[recipients(RECIPIENTS_MAX - 1), recipients(2)])), Some(Reason::Oversize));
    let mut padded = write(&[recipients(1)]).to_vec();
    padded.resize(DELIVERIES_VALUE_BYTES_MAX, b' ');
    assert_eq!(reason(&padded), None);
    padded.push(b' ');
    assert_eq!(reason(&padded), Some(Reason::Oversize));
    let body = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    let with_body =
        |body: &str| write(&[Delivery { posted: Posted { body, ..posted() }, recipients: vec![] }]);
    assert_eq!(reason(&with_body(&body(BODY_BYTES_MAX))), None);
    assert_eq!(reason(&with_body(&body(BODY_BYTES_MAX + 1))), Some(Reason::Oversize));
}

#[test]
fn a_body_as_deep_as_a_send_may_have_it_is_read_here_too() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    for (levels, is_valid) in [(15, true), (16, false)] {
        let body = nested(levels);
        let posted = Posted { body: &body, ..posted() };
        let deliveries = write(&[Delivery { posted: posted.clone(), recipients: Vec::new() }]);
        assert_eq!(decode_deliveries(Some(&deliveries)).is_ok(), is_valid, "{levels}");
        let inbox = write_inbox(&[InboxMessage { posted, entries: Vec::new() }]);
        assert_eq!(InboxView::decode(&inbox).is_ok(), is_valid, "{levels}");
    }
}

#[test]
fn what_is_no_deliveries_is_refused_with_its_reason() {
    let text =
        String::from_utf8(write(&[Delivery { posted: posted(), recipients: vec!["bob".into()] }]).into());
    let text = text.unwrap();
    for (from, to, reason) in [
        ("\"v\":1", "\"v\":2", Reason::Unsupported),
        ("\"deliveries\"", "\"inbox\"", Reason::Unsupported),
        ("[\"bob\"]", "[\"b/b\"]", Reason::Invalid),
        ("[\"bob\"]", "[\"b\"", Reason::Malformed),
        ("\"seq\":17", "\"seq\":0", Reason::Invalid),
        ("\"seq\":17", "\"seq\":17,\"seq\":17", Reason::Malformed),
        ("{\"text\": \"hi\"}", "{\"a\":1,\"a\":1}", Reason::Malformed),
        ("\"sender\"", "\"new\":{\"a\":1,\"a\":1},\"sender\"", Reason::Malformed),
        ("group/team", "direct/b/a", Reason::Invalid),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text);
        let refusal = decode_deliveries(Some(changed.as_bytes())).expect_err(&changed);
        assert_eq!(refusal.reason, reason, "{changed}");
    }
    assert_eq!(decode_deliveries(None).unwrap_err().reason, Reason::Malformed);
}

fn any_posted() -> BoxedStrategy<Posted<'static>> {
    let times = (option::of(integer()), integer());
    (conversation(), seq(), id(), id(), option::of(id()), times, body())
        .prop_map(|(conversation, seq, sender, client_id, session, (sent_at, accepted_at), body)| Posted {
            conversation,
            seq,
            sender,
            client_id,
            session,
            sent_at,
            accepted_at,
            body,
        })
        .boxed()
}

fn deliveries() -> BoxedStrategy<Vec<Delivery<'static>>> {
    let delivery =
        (any_posted(), vec(id(), 0..5)).prop_map(|(posted, recipients)| Delivery { posted, recipients });
    vec(delivery, 0..4).boxed()
}

fn inbox() -> BoxedStrategy<Vec<InboxMessage<'static>>> {
    let entry = (id(), seq()).prop_map(|(user, seq)| Entry { user, seq });
    let message =
        (any_posted(), vec(entry, 0..5)).prop_map(|(posted, entries)| InboxMessage { posted, entries });
    vec(message, 0..4).boxed()
}

proptest! {
    #[test]
    fn what_is_written_decodes_to_the_same((deliveries, inbox) in (deliveries(), inbox())) {
        let value = write(&deliveries);
        prop_assert_eq!(decode_deliveries(Some(&value)), Ok(deliveries));
        let value = write_inbox(&inbox);
        prop_assert_eq!(InboxView::decode(&value), Ok(InboxView { messages: inbox }));
    }

    #[test]
    fn the_scanner_says_what_the_judge_says(
        bytes in edited(deliveries().prop_map(|deliveries| write(&deliveries).to_vec())),
    ) {
        if let Some(deliveries) = scan::deliveries(&bytes) {
            prop_assert_eq!(judge_deliveries(Some(&bytes)), Ok(deliveries));
        }
    }

    #[test]
    fn any_bytes_are_refused_or_read_the_same_again(
        bytes in prop_oneof![
            vec(any::<u8>(), 0..200).boxed(),
            edited(deliveries().prop_map(|deliveries| write(&deliveries).to_vec())),
            edited(inbox().prop_map(|inbox| write_inbox(&inbox).to_vec())),
        ],
    ) {
        if let Ok(deliveries) = decode_deliveries(Some(&bytes)) {
            let again = write(&deliveries);
            prop_assert_eq!(decode_deliveries(Some(&again)), Ok(deliveries));
        }
        if let Ok(view) = InboxView::decode(&bytes) {
            let again = write_inbox(&view.messages);
            prop_assert_eq!(InboxView::decode(&again), Ok(view));
        }
    }
}
