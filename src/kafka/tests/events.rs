use std::{sync::Arc, time::Duration};

use rdkafka::{
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
};
use tokio::{sync::broadcast::error::RecvError, time::timeout};

use super::{PATIENCE, alone, connection, runtime};
use crate::{
    client::TopicClient,
    http::{events::hub::Hub, tests::fakes::transition},
    kafka::{KafkaTopics, topics::KafkaTopicAdmin},
    topology::{Topic, Topology},
};

#[test]
#[ignore = "needs a broker; set HEARTLINE_TEST_KAFKA"]
fn listeners_are_told_that_the_topic_was_made_anew_and_then_hear_the_new_one() {
    let _alone = alone();
    runtime().block_on(async {
        let topics = Arc::new(KafkaTopics::new(connection()).unwrap());
        let hub = Hub::new(topics.clone());
        let mut listening = hub.subscribe().await.unwrap();
        topics.append((1..=3).map(|version| transition(5, "ann", version, 1)).collect()).await.unwrap();
        for version in 1..=3 {
            assert_eq!(timeout(PATIENCE, listening.receiver.recv()).await.unwrap().unwrap().version, version);
        }
        make_anew(&topics).await;
        let end = timeout(PATIENCE, listening.receiver.recv()).await.unwrap();
        assert!(matches!(end, Err(RecvError::Closed)), "{end:?}");

        let mut listening = hub.subscribe().await.unwrap();
        topics.append(vec![transition(5, "ann", 4, 1)]).await.unwrap();
        assert_eq!(timeout(PATIENCE, listening.receiver.recv()).await.unwrap().unwrap().version, 4);
    });
}

/// Deletes `presence` and makes it again, until the broker shows the new one.
async fn make_anew(topics: &KafkaTopics) {
    let admin: AdminClient<DefaultClientContext> = connection().admin().create().unwrap();
    admin.delete_topics(&[Topic::Presence.name()], &AdminOptions::new()).await.unwrap();
    let admin = KafkaTopicAdmin::new(connection()).unwrap();
    let made = async {
        loop {
            // Refused while the old one is still being deleted.
            let _ = admin.apply(&Topology::shipped()).await;
            let bounds = topics.bounds(Topic::Presence).await;
            if bounds.is_ok_and(|bounds| bounds.len() == 8 && bounds[5].1.end == 0) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, made).await.expect("the topic is there again");
}
