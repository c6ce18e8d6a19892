use std::{collections::BTreeSet, sync::Arc};

use tokio::sync::watch;

use super::{feed::Feed, hub::Hub};
use crate::http::tests::fakes::{FakeTopics, Shared, transition};

#[tokio::test]
async fn a_listener_that_does_not_keep_up_is_told_to_resume_and_cut_off() {
    let topics = Arc::new(FakeTopics::new(1));
    let hub = Hub::new(Arc::new(Shared(topics.clone())));
    let subscription = hub.subscribe().await.expect("running");
    let positions = subscription.positions.clone();
    let (_down, shutdown) = watch::channel(false);
    let mut slow = Feed::new(subscription, positions, shutdown);
    topics.put((1..=10_000).map(|version| transition(0, "ann", version, 1)).collect());
    while hub.subscribe().await.expect("running").positions.get(0) != Some(10_000) {
        tokio::task::yield_now().await;
    }
    let last = slow.next().await.expect("a comment");
    assert!(
        String::from_utf8_lossy(&last).starts_with(": too slow to keep up; connect again with Last-Event-ID")
    );
    assert_eq!(slow.next().await, None);
}

#[tokio::test]
async fn only_wanted_users_reach_a_listener_but_its_position_passes_the_others() {
    let topics = Arc::new(FakeTopics::new(1));
    let hub = Hub::new(Arc::new(Shared(topics.clone())));
    let subscription = hub.subscribe().await.expect("running");
    let positions = subscription.positions.clone();
    let (_down, shutdown) = watch::channel(false);
    let mut feed = Feed::new(subscription, positions, shutdown);
    feed.users = Some(BTreeSet::from(["bob".to_owned()]));
    topics.put(vec![transition(0, "ann", 1, 1), transition(0, "bob", 1, 1)]);
    let frame = feed.next().await.expect("an event");
    let text = String::from_utf8_lossy(&frame);
    assert!(text.starts_with("id: 0:2\nevent: transition\ndata: ") && text.contains("bob"), "{text}");
}
