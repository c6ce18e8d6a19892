use std::collections::BTreeSet;

use super::{Chat, receipt};
use crate::{
    http::timeline::sync::SyncPage,
    record::{
        receipts,
        sends::{SendInput, decode},
    },
};

fn minutes(users: u32, seed: u64) -> Vec<String> {
    let mut chat = Chat::new(users, seed, 7);
    (0..600).flat_map(|_| chat.turn(|_| true)).collect()
}

#[test]
fn everybody_is_in_a_group_and_what_is_said_is_valid() {
    for users in [1, 2, 50, 1_234] {
        let (mut members, mut conversations) = (BTreeSet::new(), BTreeSet::new());
        for value in minutes(users, 1) {
            match decode(Some(value.as_bytes())).unwrap_or_else(|refused| panic!("{value}: {refused:?}")) {
                SendInput::Members(change) => members.extend(change.add.iter().map(|user| user.to_string())),
                SendInput::Message(message) => {
                    conversations.insert(message.conversation.into_owned());
                }
            }
        }
        assert_eq!(members.len(), users as usize);
        let direct = conversations.iter().any(|conversation| conversation.starts_with("direct/"));
        let group = conversations.iter().any(|conversation| conversation.starts_with("group/"));
        assert!(direct && group, "{users}: {conversations:?}");
    }
}

#[test]
fn some_messages_are_sent_again_as_they_were() {
    let values = minutes(50, 1);
    let different: BTreeSet<&String> = values.iter().collect();
    let again = values.len() - different.len();
    assert!((100..400).contains(&again), "{again} of {}", values.len());
}

#[test]
fn who_is_not_there_says_nothing() {
    let mut chat = Chat::new(5, 1, 7);
    let values: Vec<String> = (0..600).flat_map(|_| chat.turn(|_| false)).collect();
    assert_eq!(values.len(), 1, "the group is made: {values:?}");
}

#[test]
fn who_has_read_something_says_how_far() {
    let page = |entries: serde_json::Value| -> SyncPage {
        let page = serde_json::json!({"latest_seq": 9, "last_seq": 5, "trimmed_to": 0, "unread": 1,
            "entries": entries});
        serde_json::from_str(&page.to_string()).expect("a page")
    };
    assert_eq!(receipt("bob", &page(serde_json::json!([]))), None);
    let entry = serde_json::json!({"seq": 5, "conversation": "group/x", "conversation_seq": 3, "sender": "a",
        "client_id": "c", "body": 1, "accepted_at": 1});
    let value = receipt("bob", &page(serde_json::json!([entry]))).expect("a receipt");
    let read = receipts::decode(Some(value.as_bytes())).expect("valid");
    assert_eq!((read.inbox, read.conversation.as_deref(), read.seq), (Some(5), Some("group/x"), Some(3)));
}

#[test]
fn the_same_seed_is_the_same_chat() {
    assert_eq!(minutes(50, 7), minutes(50, 7));
    assert_ne!(minutes(50, 7), minutes(50, 8));
}
