//! Every reader of what crosses the log: any bytes are refused, or are a record that is written and read the
//! same again.

use bytes::Bytes;
use heartline::{
    id::{check_id, parse_conversation},
    limits::{BATCH_BYTES_MAX, HEARTBEAT_BYTES_MAX, OFFSET_METADATA_BYTES_MAX},
    record::{
        cursor::CursorView,
        heartbeats::{self, Input},
        posted::{self, DeliveriesWriter, InboxView, InboxWriter},
        receipts, sends,
        session::SessionView,
        transition::TransitionView,
    },
    task::metadata::OffsetMetadata,
};

/// The scanner knows no white space at the start, so that the judge alone reads a record with some.
pub fn heartbeats(data: &[u8]) {
    let found = heartbeats::decode(Some(data));
    let at_a_limit = [HEARTBEAT_BYTES_MAX, BATCH_BYTES_MAX].contains(&data.len());
    if !at_a_limit && let Ok(scanned) = &found {
        let spaced = [b" ", data].concat();
        assert_eq!(heartbeats::decode(Some(&spaced)).as_ref(), Ok(scanned));
    }
    match found {
        Ok(Input::Heartbeats { refused, .. } | Input::Goodbyes { refused, .. }) if !refused.is_empty() => {}
        Ok(input) => {
            let again = heartbeats::encode(&input);
            // Written out, a batch's gateway is in every beat: it may have got longer than a record may be.
            if again.len() <= HEARTBEAT_BYTES_MAX {
                assert_eq!(heartbeats::decode(Some(&again)), Ok(input));
            }
        }
        Err(refusal) => assert!(refusal.message.len() < 4_096),
    }
}

pub fn sends(data: &[u8]) {
    match sends::decode(Some(data)) {
        Ok(mut input) => {
            if let sends::SendInput::Message(message) = &mut input {
                message.refused.clear();
            }
            let again = sends::encode(&input);
            assert_eq!(sends::decode(Some(&again)).as_ref(), Ok(&input));
        }
        Err(refused) => assert!(refused.refusal.message.len() < 4_096),
    }
}

pub fn receipts(data: &[u8]) {
    if let Ok(read) = receipts::decode(Some(data)) {
        let again = receipts::encode(&read);
        assert_eq!(receipts::decode(Some(&again)), Ok(read));
    }
}

pub fn deliveries(data: &[u8]) {
    let Ok(deliveries) = posted::decode_deliveries(Some(data)) else { return };
    let mut writer = DeliveriesWriter::new();
    for delivery in &deliveries {
        writer.message(&delivery.posted);
        delivery.recipients.iter().for_each(|recipient| writer.recipient(recipient));
    }
    assert_eq!(posted::decode_deliveries(Some(&writer.finish())), Ok(deliveries));
}

pub fn inbox(data: &[u8]) {
    let Ok(inbox) = InboxView::decode(data) else { return };
    let mut writer = InboxWriter::new();
    for message in &inbox.messages {
        writer.message(&message.posted);
        message.entries.iter().for_each(|entry| writer.entry(&entry.user, entry.seq));
    }
    assert_eq!(InboxView::decode(&writer.finish()), Ok(inbox));
}

pub fn transition(data: &[u8]) {
    same_again(data, TransitionView::decode, |view| view.as_transition().encode());
}

pub fn session(data: &[u8]) {
    same_again(data, SessionView::decode, |view| view.as_record().encode());
}

pub fn cursor(data: &[u8]) {
    same_again(data, CursorView::decode, |view| view.as_record().encode());
}

fn same_again<T: PartialEq + std::fmt::Debug, E: PartialEq + std::fmt::Debug>(
    data: &[u8],
    decode: fn(&[u8]) -> Result<T, E>,
    encode: impl Fn(&T) -> Bytes,
) {
    if let Ok(view) = decode(data) {
        assert_eq!(decode(&encode(&view)).as_ref(), Ok(&view));
    }
}

/// A conversation is made of ids, and has one name only.
pub fn ids(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let is_id = check_id(text).is_ok();
    let expected = (1..=128).contains(&text.len()) && !text.chars().any(|c| c == '/' || c.is_control());
    assert_eq!(is_id, expected);
    assert_eq!(parse_conversation(&format!("group/{text}")).is_ok(), is_id);
    assert_eq!(parse_conversation(&format!("direct/{text}/{text}")).is_ok(), is_id);
    let _ = parse_conversation(text);
}

pub fn metadata(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if text.len() <= OFFSET_METADATA_BYTES_MAX / 8
        && let Some(metadata) = OffsetMetadata::decode(text)
    {
        assert_eq!(OffsetMetadata::decode(&metadata.encode()), Some(metadata));
    }
}
