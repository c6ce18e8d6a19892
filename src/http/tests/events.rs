use std::time::Duration;

use serde_json::{Value as Json, json};

use super::{fakes::transition, next, now_ms, server};
use crate::{client::TailFrom, topology::Topic};

#[tokio::test]
async fn transitions_are_told_to_those_who_asked_for_the_user() {
    let server = server().await;
    let mut all = server.client().events("/v1/events").await.expect("open");
    let mut ann = server.client().events("/v1/events?user=ann").await.expect("open");
    let (p_ann, p_bob) = (server.partition("ann"), server.partition("bob"));
    server.topics.put(vec![transition(p_bob, "bob", 1, 1)]);
    let first = next(&mut all).await;
    server.topics.put(vec![transition(p_ann, "ann", 1, 1)]);
    assert_eq!(serde_json::from_str::<Json>(&first.data).expect("JSON")["user"], "bob");
    assert_eq!((first.event.as_str(), first.id.is_some()), ("transition", true));
    for events in [&mut all, &mut ann] {
        let event = next(events).await;
        assert_eq!(
            Some(event.data),
            server.topics.values(Topic::Presence).into_iter().find(|v| v.contains("ann"))
        );
    }
    let tails = server.topics.tailed.lock().expect("a lock").clone();
    assert_eq!(tails, [(Topic::Presence, TailFrom::End)], "one tail serves all");
}

#[tokio::test]
async fn a_listener_that_resumes_misses_nothing_and_hears_nothing_twice() {
    let server = server().await;
    let (p_ann, p_bob) = (server.partition("ann"), server.partition("bob"));
    let mut listener = server.listen(&json!({}), None).await;
    listener.until("listening").await;
    server.topics.put(vec![transition(p_ann, "ann", 1, 1)]);
    listener.until("\"ann\"").await;
    listener.whole().await;
    let id = listener.last_id();
    drop(listener);
    server.topics.put(vec![transition(p_bob, "bob", 1, 1), transition(p_ann, "ann", 2, 2)]);
    // The shared tail has passed them when somebody else was told.
    let mut other = server.listen(&json!({}), None).await;
    other.until("listening").await;
    let mut listener = server.listen(&json!({}), Some(&id)).await;
    listener.until("\"bob\"").await;
    server.topics.put(vec![transition(p_ann, "ann", 3, 3), transition(p_bob, "bob", 2, 3)]);
    listener.until("\"version\":3").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    listener.until("bob\",\"v\":1,\"version\":2").await;
    let mut told = listener.told();
    told.sort();
    assert_eq!(told, ["ann 2", "ann 3", "bob 1", "bob 2"]);
}

#[tokio::test]
async fn who_was_further_than_the_log_is_hears_what_comes() {
    let server = server().await;
    let ann = server.partition("ann");
    server.topics.put(vec![transition(ann, "ann", 1, 1)]);
    let mut listener = server.listen(&json!({"users": ["ann"]}), Some(&format!("{ann}:7,99:7"))).await;
    listener.until("listening").await;
    listener.whole().await;
    assert_eq!(listener.last_id(), format!("{ann}:1"), "its log was taken away since");
    server.topics.put(vec![transition(ann, "ann", 2, 2)]);
    listener.until("\"version\":2").await;
    assert_eq!(listener.told(), ["ann 2"]);
}

#[tokio::test]
async fn a_snapshot_is_followed_by_newer_transitions_only() {
    let server = server().await;
    let partition = server.partition("ann");
    server.write_user("ann", "online", 4);
    server.write_as_of(now_ms() + 60_000);
    // Starts the shared tail, which then remembers 4 and 5: 5 is published and not yet stored.
    let mut other = server.listen(&json!({}), None).await;
    other.until("listening").await;
    server.topics.put(vec![transition(partition, "ann", 4, 1), transition(partition, "ann", 5, 1)]);
    other.until("\"version\":5").await;
    let mut listener = server.listen(&json!({"users": ["ann", "bob"], "snapshot": true}), None).await;
    listener.until("listening").await;
    server.topics.put(vec![transition(partition, "ann", 6, 1)]);
    let text = listener.until("\"version\":6").await;
    assert_eq!(text.matches("event: snapshot").count(), 2, "{text}");
    assert_eq!(listener.told(), ["ann 4", "bob null", "ann 5", "ann 6"]);
}

#[tokio::test]
async fn a_snapshot_waits_for_the_store_to_hold_what_was_published() {
    let server = server().await;
    server.write_as_of(now_ms() - 60_000);
    let mut listener = server.listen(&json!({"users": ["ann"], "snapshot": true}), None).await;
    let early = tokio::time::timeout(Duration::from_millis(300), listener.stream.readable()).await;
    assert!(early.is_err(), "nothing may be told before the store is current");
    server.write_user("ann", "busy", 9);
    server.write_as_of(now_ms() + 60_000);
    listener.until("listening").await;
    assert_eq!(listener.told(), ["ann 9"]);
}

#[tokio::test]
async fn who_was_further_than_the_log_is_gets_the_snapshot_it_asked_for() {
    let server = server().await;
    let ann = server.partition("ann");
    server.topics.put(vec![transition(ann, "ann", 1, 1)]);
    server.write_user("ann", "online", 1);
    server.write_as_of(now_ms() + 60_000);
    let body = json!({"users": ["ann"], "snapshot": true});
    for (id, told) in [(format!("{ann}:1,99:7"), [].as_slice()), (format!("{ann}:7"), &["ann 1"])] {
        let mut listener = server.listen(&body, Some(&id)).await;
        listener.until("listening").await;
        assert_eq!(listener.told(), told, "{id}");
    }
}

#[tokio::test]
async fn who_was_where_the_log_is_no_longer_is_refused_or_gets_the_snapshot_it_asked_for() {
    let server = server().await;
    let ann = server.partition("ann");
    server.topics.put((1..=3).map(|version| transition(ann, "ann", version, 1)).collect());
    server.write_user("ann", "online", 3);
    server.write_as_of(now_ms() + 60_000);
    *server.topics.first.lock().expect("a lock") = 2;
    for (id, kept) in [(format!("{ann}:1"), false), (format!("{ann}:2"), true)] {
        let mut listener = server.listen(&json!({"users": ["ann"]}), Some(&id)).await;
        let heard = if kept { "\"version\":3" } else { "\"code\":\"position_gone\"" };
        let text = listener.until(heard).await;
        assert_eq!(text.contains("410 Gone"), !kept, "{text}");
        let told: &[&str] = if kept { &["ann 3"] } else { &[] };
        assert_eq!(listener.told(), told, "{id}");
        let mut listener = server.listen(&json!({"users": ["ann"], "snapshot": true}), Some(&id)).await;
        let text = listener.until("\"version\":3").await;
        assert_eq!(text.contains("event: snapshot"), !kept, "{id}: {text}");
    }
}

#[tokio::test]
async fn when_the_topic_is_made_anew_listeners_are_told_and_the_next_ones_hear_it() {
    let server = server().await;
    let ann = server.partition("ann");
    let mut listener = server.listen(&json!({}), None).await;
    listener.until("listening").await;
    server.topics.put((1..=3).map(|version| transition(ann, "ann", version, 1)).collect());
    listener.until("\"version\":3").await;
    listener.whole().await;
    let id = listener.last_id();
    server.topics.make_anew(Topic::Presence);
    listener.until("connect again with a snapshot").await;
    let mut listener = server.listen(&json!({}), Some(&id)).await;
    listener.until("listening").await;
    server.topics.put(vec![transition(ann, "ann", 4, 1)]);
    listener.until("\"version\":4").await;
    assert_eq!(listener.told(), ["ann 4"]);
}
