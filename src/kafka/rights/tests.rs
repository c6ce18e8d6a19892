use rdkafka::types::RDKafkaErrorCode as Code;

use super::{
    MissingRight, NativeError, Resource,
    Right::{self, Describe, DescribeConfigs, Read, Write},
    missing, needs,
};
use crate::topology::{ProcessorKind, Topic};

const ALL: [Right; 4] = [Read, Write, Describe, DescribeConfigs];

fn denied(code: Code) -> NativeError {
    NativeError { code, text: "as the broker says".to_owned(), is_fatal: false }
}

fn codes(rights: &[Right]) -> Vec<i32> {
    rights.iter().map(|right| right.code()).collect()
}

#[test]
fn a_worker_reads_its_input_and_the_transitions_and_writes_all_of_its_topics() {
    let needs = needs(ProcessorKind::Presence);
    let of = |topic| needs.iter().find(|(of, _)| *of == topic).map(|(_, rights)| rights.as_slice());
    assert_eq!(of(Topic::Heartbeats), Some(&ALL[..]));
    assert_eq!(of(Topic::Presence), Some(&ALL[..]));
    for topic in [Topic::PresenceState, Topic::Sessions, Topic::DeadLetters] {
        assert_eq!(of(topic), Some(&ALL[1..]), "{topic}");
    }
    assert_eq!(needs.len(), 5, "no topic twice, and none of others: {needs:?}");
}

#[test]
fn what_is_not_answered_is_missing() {
    assert_eq!(missing(Ok(Some(codes(&ALL))), &ALL), Ok(vec![]));
    assert_eq!(missing(Ok(Some(codes(&[Write, Describe]))), &ALL), Ok(vec![Read, DescribeConfigs]));
    assert_eq!(missing(Ok(Some(codes(&[Read, Write]))), &ALL), Ok(vec![Describe, DescribeConfigs]));
    assert_eq!(missing(Ok(Some(vec![])), &[Read, Describe]), Ok(vec![Read]), "describing comes with reading");
}

#[test]
fn a_broker_that_does_not_say_and_a_topic_that_is_not_there_lack_nothing() {
    assert_eq!(missing(Ok(None), &ALL), Ok(vec![]));
    assert_eq!(missing(Err(denied(Code::UnknownTopicOrPartition)), &ALL), Ok(vec![]));
}

#[test]
fn who_may_not_even_ask_lacks_everything() {
    for code in [Code::TopicAuthorizationFailed, Code::GroupAuthorizationFailed] {
        assert_eq!(missing(Err(denied(code)), &ALL), Ok(vec![Read, Write, DescribeConfigs]));
    }
    let away = denied(Code::BrokerTransportFailure);
    assert_eq!(missing(Err(away.clone()), &ALL), Err(away), "no answer is no denial");
}

#[test]
fn a_missing_right_names_the_command_that_grants_it() {
    let said = |resource, right| MissingRight { resource, right }.to_string();
    assert_eq!(
        said(Resource::Topic(Topic::Presence), DescribeConfigs),
        "topic 'presence': the principal lacks DescribeConfigs; grant it with `kafka-acls --add \
         --allow-principal User:… --operation DescribeConfigs --topic presence`"
    );
    let group = said(Resource::Group("heartline.presence".to_owned()), Read);
    assert!(group.ends_with("--operation Read --group heartline.presence`"), "{group}");
    let ids = said(Resource::TransactionalIds { prefix: "heartline.presence.".to_owned() }, Write);
    assert!(
        ids.contains("--transactional-id heartline.presence. --resource-pattern-type prefixed`"),
        "{ids}"
    );
}
