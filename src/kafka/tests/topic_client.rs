use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rdkafka::{
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
};

use tokio::time::timeout;

use super::{Member, PATIENCE, alone, connection, fresh, heartbeat, runtime};
use crate::{
    client::{TailEvent, TailFrom, TopicClient},
    kafka::{KafkaTopics, config::Connection},
    log::{ErrorClass, TransactionOutcome, TransactionStep},
    topology::Topic,
};

#[test]
#[ignore = "needs a broker; set HEARTLINE_TEST_KAFKA"]
fn what_is_appended_is_followed_in_order() {
    let _alone = alone();
    runtime().block_on(async {
        let topics = KafkaTopics::new(connection()).unwrap();
        let mut tail = topics.tail(Topic::Heartbeats, TailFrom::End).await.unwrap();
        assert_eq!(tail.positions.len(), 8);
        let start = tail.positions[5].1;
        topics.append((0..500).map(|n| heartbeat(5, &n.to_string())).collect()).await.unwrap();
        for n in 0..500 {
            let record = tail.next().await.unwrap().unwrap();
            assert_eq!((record.partition, record.offset), (5, start + n));
            assert_eq!(record.value.as_deref(), Some(n.to_string().as_bytes()));
        }
        let bounds = topics.bounds(Topic::Heartbeats).await.unwrap();
        assert_eq!(bounds[5].1.end, start + 500);

        let from = TailFrom::Positions(vec![(5, start + 490)]);
        let mut tail = topics.tail(Topic::Heartbeats, from).await.unwrap();
        assert_eq!(tail.next().await.unwrap().unwrap().offset, start + 490);
    });
}

#[test]
#[ignore = "needs a broker; set HEARTLINE_TEST_KAFKA"]
fn following_from_a_position_that_is_not_there_ends_with_a_sentence() {
    let _alone = alone();
    runtime().block_on(async {
        let topics = KafkaTopics::new(connection()).unwrap();
        let end = topics.bounds(Topic::Heartbeats).await.unwrap()[0].1.end;
        let from = TailFrom::Positions(vec![(0, end + 1_000)]);
        let mut tail = topics.tail(Topic::Heartbeats, from).await.unwrap();
        let error = tail.next().await.unwrap().unwrap_err();
        assert!(error.message.contains("partition 0 no longer has position"), "{}", error.message);
        assert!(tail.next().await.is_none());
    });
}

#[test]
#[ignore = "needs a broker; set HEARTLINE_TEST_KAFKA"]
fn an_end_behind_which_there_is_a_marker_only_is_told() {
    let _alone = alone();
    let (mut member, assignment, _) = Member::joined(&fresh("marker"), &fresh("producer"));
    let start = member.bounds(1).end;
    let records = TransactionStep::Records(vec![heartbeat(1, "x")]);
    assert_eq!(member.transact(assignment, vec![records]), TransactionOutcome::Committed);
    runtime().block_on(async {
        let topics = KafkaTopics::new(connection()).unwrap();
        let from = TailFrom::Positions(vec![(1, start + 1)]);
        let mut tail = topics.tail(Topic::Heartbeats, from).await.unwrap();
        let behind_the_marker = async {
            loop {
                match tail.events.recv().await.unwrap().unwrap() {
                    TailEvent::End(1, end) if end == start + 2 => return,
                    TailEvent::End(..) => {}
                    TailEvent::Record(record) => panic!("{record:?}"),
                }
            }
        };
        timeout(PATIENCE, behind_the_marker).await.expect("the end is told");
    });
    member.leave();
}

#[test]
#[ignore = "needs a broker; set HEARTLINE_TEST_KAFKA"]
fn a_topic_that_does_not_exist_is_named() {
    let _alone = alone();
    runtime().block_on(async {
        let topics = KafkaTopics::new(connection()).unwrap();
        let admin: AdminClient<DefaultClientContext> = connection().admin().create().unwrap();
        admin.delete_topics(&[Topic::Inbox.name()], &AdminOptions::new()).await.unwrap();
        // The brokers hear of it one after the other.
        let until = Instant::now() + PATIENCE;
        let error = loop {
            let bounds = topics.bounds(Topic::Inbox).await;
            assert!(Instant::now() < until, "{bounds:?}");
            match bounds {
                Err(error) => break error,
                Ok(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        };
        assert_eq!(error.class, ErrorClass::Fatal);
        for part in ["'inbox'", "does not exist", "heartline topics apply"] {
            assert!(error.message.contains(part), "{}", error.message);
        }
        let mut record = heartbeat(0, "lost");
        record.topic = Topic::Inbox;
        let error = topics.append(vec![record]).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Fatal, "{}", error.message);
        assert!(error.message.contains("heartline topics apply"), "{}", error.message);
    });
}

#[test]
fn a_broker_that_is_away_is_said_within_the_limit() {
    runtime().block_on(async {
        // Port 1 answers nothing on any machine.
        let connection = Connection::new(&["127.0.0.1:1".to_owned()], BTreeMap::new()).unwrap();
        let topics = KafkaTopics::new(connection).unwrap();
        let appended =
            tokio::time::timeout(Duration::from_secs(12), topics.append(vec![heartbeat(0, "lost")]));
        let (appended, bounds) = tokio::join!(appended, topics.bounds(Topic::Heartbeats));
        for error in [appended.unwrap().unwrap_err(), bounds.unwrap_err()] {
            assert_eq!(error.class, ErrorClass::Retriable);
            assert!(error.message.contains("cannot reach Kafka at 127.0.0.1:1"), "{}", error.message);
            assert!(error.message.contains("check [kafka] brokers"), "{}", error.message);
        }
    });
}
