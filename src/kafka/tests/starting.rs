//! A broker that has only just started, in librdkafka's mock: what it does not know yet is no verdict.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rdkafka::{mocking::MockCluster, producer::DefaultProducerContext, types::RDKafkaRespErr as Answer};

use super::runtime;
use crate::{
    client::TopicClient,
    kafka::{KafkaTopics, config::Connection, questions::insist, topics::KafkaTopicAdmin},
    log::{ErrorClass, LogError},
    topology::{Topic, Topology},
};

type Cluster = MockCluster<'static, DefaultProducerContext>;

fn connection(cluster: &Cluster) -> Connection {
    Connection::new(&[cluster.bootstrap_servers()], BTreeMap::new()).unwrap()
}

fn bounds(cluster: &Cluster) -> Result<usize, LogError> {
    let topics = KafkaTopics::new(connection(cluster)).unwrap();
    runtime().block_on(topics.bounds(Topic::Presence)).map(|bounds| bounds.len())
}

#[test]
fn a_topic_without_a_leader_is_there_and_one_that_is_missing_is_not() {
    let cluster = MockCluster::new(1).unwrap();
    let name = Topic::Presence.name();
    cluster.create_topic(name, 3, 1).unwrap();
    assert_eq!(bounds(&cluster), Ok(3));
    cluster.topic_error(name, Answer::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE).unwrap();
    let error = bounds(&cluster).unwrap_err();
    assert_eq!(error.class, ErrorClass::Retriable, "{error}");
    assert!(!error.message.contains("does not exist"), "{error}");
    cluster.topic_error(name, Answer::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART).unwrap();
    let error = bounds(&cluster).unwrap_err();
    assert_eq!(error.class, ErrorClass::Fatal, "{error}");
    assert!(error.message.contains("does not exist"), "{error}");
    assert!(error.message.contains("run `heartline topics apply`"), "{error}");
}

#[test]
fn a_topic_without_a_leader_does_not_differ_from_the_topology() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(Topic::Heartbeats.name(), 8, 1).unwrap();
    cluster.topic_error(Topic::Heartbeats.name(), Answer::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE).unwrap();
    let admin = KafkaTopicAdmin::new(connection(&cluster)).unwrap();
    let error = runtime().block_on(admin.plan(&Topology::shipped())).unwrap_err();
    assert_eq!(error.class, ErrorClass::Retriable, "{error}");
}

#[test]
fn a_topic_that_a_broker_does_not_know_yet_is_asked_for_again() {
    let mut answers = [Ok(None), Ok(None), Ok(Some(8))].into_iter();
    let found = insist(|| answers.next().unwrap_or(Err("asked once more")), || true);
    assert_eq!(found, Ok(Some(8)));
    let mut answers = [Ok(None), Err("away")].into_iter();
    assert_eq!(insist(|| answers.next().unwrap_or(Ok(Some(8))), || true), Err("away"));
}

#[test]
fn nobody_insists_for_ever_or_once_it_is_over() {
    let began = Instant::now();
    assert_eq!(insist(|| Ok::<Option<u32>, ()>(None), || false), Ok(None));
    assert!(began.elapsed() < Duration::from_secs(1));
    assert_eq!(insist(|| Ok::<Option<u32>, ()>(None), || true), Ok(None));
    assert!(began.elapsed() > Duration::from_secs(2));
}
