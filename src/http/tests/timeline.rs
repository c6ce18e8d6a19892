use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;

use super::{Server, server};
use crate::{
    store::{Change, Statement, WriteBatch},
    table::{
        Table, Value,
        conversation::{self, CONVERSATIONS, ConversationHead},
        inbox::{self, HEADS, HeadRow},
        message::{self, MESSAGES, MessageRow},
    },
    topology::ProcessorKind,
};

fn put(
    server: &Server,
    table: &'static Table,
    partition: Arc<[Value]>,
    clustering: Box<[Value]>,
    change: Change,
) {
    let statement = Statement { clustering, change, timestamp_us: 1, ttl_s: None };
    server.store.put(WriteBatch::new(table, partition, vec![statement]));
}

/// A conversation of one message.
fn talk(server: &Server, conversation: &str, body: &str) {
    let row = MessageRow {
        sender: "alice",
        client_id: "c 1",
        session: None,
        sent_at_ms: None,
        accepted_at_ms: 5,
        body,
    };
    let (partition, key) = (message::partition(conversation, 0), message::message_clustering(1));
    put(server, &MESSAGES, partition, key, Change::Upsert(row.to_cells()));
    let head = ConversationHead { latest_seq: 1, members_origin: 4, ..ConversationHead::default() };
    let partition = conversation::partition(conversation);
    put(server, &CONVERSATIONS, partition, Box::default(), Change::Statics(head.to_cells()));
}

#[tokio::test]
async fn nobody_and_nothing_known_is_answered_empty() {
    let server = server().await;
    let get = async |path: &str| server.client().get(path).await.expect("answered");
    let empty = json!({"latest_seq": 0, "last_seq": 0, "trimmed_to": 0, "unread": 0, "entries": []});
    assert_eq!(get("/v1/sync/bob").await, empty);
    let empty = json!({"latest_seq": 0, "trimmed_to": 0, "messages": []});
    assert_eq!(get("/v1/history/group/x").await, empty);
    assert_eq!(get("/v1/history/direct/b/a?before=7&count=5000").await, empty);
    assert_eq!(get("/v1/sends/ann/c-1?conversation=group/x").await, json!({"state": "unknown"}));
    assert_eq!(get("/v1/members/group/x?after=bob").await, json!({"members": [], "origin": 0}));
    assert_eq!(get("/v1/cursors/bob").await, json!({"inbox": 0, "conversations": {}}));
}

#[tokio::test]
async fn ids_are_decoded_and_bodies_keep_their_bytes() {
    let server = server().await;
    let body = r#"{"b" : 9007199254740993, "a":[1e400, 1.0]}"#;
    talk(&server, "direct/a:b c/zoë", body);
    talk(&server, "group/50%", "1");
    for path in ["/v1/history/direct/zo%C3%AB/a:b%20c", "/v1/history/direct/a%3Ab%20c/zo%C3%AB?after=0"] {
        let page: crate::http::timeline::history::HistoryPage =
            server.client().read(path).await.expect("answered");
        assert_eq!(page.messages[0].body.get(), body);
        assert_eq!(&*page.messages[0].conversation, "direct/a:b c/zoë");
    }
    let answer = server.client().get("/v1/history/group/50%25").await.expect("answered");
    assert_eq!(answer["latest_seq"], 1);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_a_sentence() {
    let server = server().await;
    let long = "x".repeat(129);
    for (request, code) in [
        ("/v1/sync/a%2Fb", "invalid_id"),
        ("/v1/sync/a%00", "invalid_id"),
        (&*format!("/v1/sync/{long}"), "invalid_id"),
        ("/v1/sync/%FF", "bad_path"),
        ("/v1/sync/bob?after=-1", "bad_query"),
        ("/v1/sync/bob?after=9007199254740992", "bad_query"),
        ("/v1/sync/bob?count=0", "bad_query"),
        ("/v1/sync/bob?count=many", "bad_query"),
        ("/v1/sync/bob?before=1", "bad_query"),
        ("/v1/history/group/a%2Fb", "invalid_id"),
        ("/v1/history/direct/a%2Fb/c", "invalid_id"),
        ("/v1/history/group/x?after=1&before=2", "bad_query"),
        ("/v1/history/group/x?count=0", "bad_query"),
        ("/v1/sends/ann/c-1", "bad_query"),
        ("/v1/sends/ann/c-1?conversation=team", "invalid_id"),
        ("/v1/sends/ann/c-1?conversation=direct/b/a", "invalid_id"),
        ("/v1/sends/ann/c%2F1?conversation=group/x", "invalid_id"),
        ("/v1/members/group/x?after=a/b", "invalid_id"),
        ("/v1/cursors/bob?after=x", "invalid_id"),
    ] {
        let (status, _, answer) = server.raw(&format!("GET {request} HTTP"), b"").await;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!(code)), "{request}: {answer}");
        assert!(answer["error"]["message"].as_str().is_some_and(|text| text.len() > 20), "{answer}");
    }
    assert_eq!(server.status_of("GET /v1/history/team HTTP").await.0, 404);
    assert_eq!(server.status_of("DELETE /v1/sync/bob HTTP").await.0, 405);
}

#[tokio::test]
async fn a_store_that_cannot_be_read_is_told_and_may_be_asked_again() {
    let server = server().await;
    talk(&server, "group/x", "1");
    let unreadable = |table: &'static str| *server.store.unreadable.lock().expect("a lock") = Some(table);
    for (table, request) in [
        ("inbox_heads", "/v1/sync/bob"),
        ("cursors", "/v1/sync/bob"),
        ("conversations", "/v1/history/group/x"),
        ("messages", "/v1/history/group/x"),
        ("messages", "/v1/sends/ann/c-1?conversation=group/x"),
        ("conversations", "/v1/members/group/x"),
        ("inbox_heads", "/v1/cursors/bob"),
    ] {
        unreadable(table);
        let (status, head, answer) = server.raw(&format!("GET {request} HTTP"), b"").await;
        assert_eq!((status, &answer["error"]["code"]), (503, &json!("unreadable")), "{table} {request}");
        assert!(head.contains("retry-after: 1"), "{head}");
    }
}

#[tokio::test]
async fn a_hole_is_an_error_of_its_own_and_so_are_rows_of_another_hand() {
    let server = server().await;
    let bucket = server.topology.bucket(ProcessorKind::Inbox, b"bob");
    let head = HeadRow { latest_seq: 3, foreign_count: 3, window: 1, timestamp_us: 7 };
    let (partition, key) = (inbox::bucket_partition(bucket), [Value::text("bob")].into());
    put(&server, &HEADS, partition, key, Change::Upsert(head.to_cells()));
    let bounds = server.client().get("/v1/sync/bob").await.expect("all of it was let go");
    assert_eq!((&bounds["latest_seq"], &bounds["trimmed_to"]), (&json!(3), &json!(3)));
    talk(&server, "group/x", "1");
    let head = ConversationHead { latest_seq: 2, ..ConversationHead::default() };
    let partition = conversation::partition("group/x");
    put(&server, &CONVERSATIONS, partition.clone(), Box::default(), Change::Statics(head.to_cells()));
    let (status, head, answer) = server.raw("GET /v1/history/group/x HTTP", b"").await;
    assert_eq!((status, &answer["error"]["code"]), (503, &json!("incomplete")), "{answer}");
    assert!(head.contains("retry-after: 1"), "{head}");
    talk(&server, "group/y", "no json");
    assert_eq!(server.status_of("GET /v1/history/group/y HTTP").await, (500, "damaged".to_owned()));
}

#[tokio::test]
async fn a_send_over_http_may_be_asked_about_under_the_same_path() {
    let server = server().await;
    let answer = server.client().get("/v1/sends/alice/c%201?conversation=group%2Fx").await;
    assert_eq!(answer.expect("answered")["state"], "unknown");
    assert_eq!(server.status_of("GET /v1/sends HTTP").await.0, 405);
    let posted = server.client().post("/v1/sends", "", Bytes::from("[]")).await.expect("taken");
    assert_eq!(posted["accepted"], 0);
}
