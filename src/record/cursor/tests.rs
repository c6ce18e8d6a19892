use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::record::tests::strategy::{conversation, edited, id, seq};

#[test]
fn cursors_are_written_as_the_contract_shows_them() {
    let inbox = CursorRecord::Inbox { user: "bob", inbox: 41 };
    assert_eq!(inbox.encode(), r#"{"v":1,"type":"cursor","user":"bob","inbox":41}"#);
    assert_eq!(inbox.key(), "bob");
    let conversation = CursorRecord::Conversation { user: "bob", conversation: "group/team", seq: 17 };
    assert_eq!(
        conversation.encode(),
        r#"{"v":1,"type":"cursor","user":"bob","conversation":"group/team","seq":17}"#
    );
    assert_eq!(conversation.key(), "bob/group/team");
}

#[test]
fn no_two_cursors_share_a_key() {
    let users = ["group", "direct", "x", "group:x", "group:", ":"];
    let mut conversations: Vec<String> = users.iter().map(|id| format!("group/{id}")).collect();
    for (a, b) in users.iter().flat_map(|a| users.iter().map(move |b| (a, b))).filter(|(a, b)| a <= b) {
        conversations.push(format!("direct/{a}/{b}"));
    }
    let mut keys = BTreeSet::new();
    for user in users {
        assert!(keys.insert(CursorRecord::Inbox { user, inbox: 1 }.key()), "{user}");
        for conversation in &conversations {
            let cursor = CursorRecord::Conversation { user, conversation, seq: 1 };
            assert!(keys.insert(cursor.key()), "{user} in {conversation}");
        }
    }
}

#[test]
fn what_is_no_cursor_is_refused() {
    for text in [
        r#"{"v":1,"type":"cursor","user":"bob"}"#,
        r#"{"v":1,"type":"cursor","user":"bob","inbox":1,"conversation":"group/x","seq":1}"#,
        r#"{"v":1,"type":"cursor","user":"bob","inbox":1,"seq":1}"#,
        r#"{"v":1,"type":"cursor","user":"bob","conversation":"group/x"}"#,
        r#"{"v":1,"type":"cursor","user":"bob","conversation":"direct/b/a","seq":1}"#,
        r#"{"v":2,"type":"cursor","user":"bob","inbox":1}"#,
        r#"{"v":1,"type":"read","user":"bob","inbox":1}"#,
    ] {
        assert!(CursorView::decode(text.as_bytes()).is_err(), "{text}");
    }
}

fn cursor() -> impl Strategy<Value = CursorView> {
    let position = || prop_oneof![Just(0), seq()];
    let inbox =
        (id(), position()).prop_map(|(user, inbox)| CursorView::Inbox { user: user.into_owned(), inbox });
    let conversation = (id(), conversation(), position()).prop_map(|(user, conversation, seq)| {
        CursorView::Conversation { user: user.into_owned(), conversation: conversation.into_owned(), seq }
    });
    prop_oneof![inbox, conversation]
}

proptest! {
    #[test]
    fn a_cursor_reads_back_the_same(cursor in cursor()) {
        prop_assert_eq!(CursorView::decode(&cursor.as_record().encode()), Ok(cursor));
    }

    #[test]
    fn any_bytes_are_refused_or_read_the_same_again(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200).boxed(),
            edited(cursor().prop_map(|cursor| cursor.as_record().encode().to_vec())),
        ],
    ) {
        if let Ok(cursor) = CursorView::decode(&bytes) {
            prop_assert_eq!(CursorView::decode(&cursor.as_record().encode()), Ok(cursor));
        }
    }
}
