use rdkafka::{error::KafkaError, types::RDKafkaErrorCode as Code};

use super::{class_of, explain, explain_code, is_fenced};
use crate::log::ErrorClass::{self, Fatal, Restore, Retriable};

const TABLE: [(Code, ErrorClass); 29] = [
    (Code::BrokerTransportFailure, Retriable),
    (Code::AllBrokersDown, Retriable),
    (Code::OperationTimedOut, Retriable),
    (Code::RequestTimedOut, Retriable),
    (Code::NotCoordinator, Retriable),
    (Code::CoordinatorNotAvailable, Retriable),
    (Code::CoordinatorLoadInProgress, Retriable),
    (Code::LeaderNotAvailable, Retriable),
    (Code::OffsetNotAvailable, Retriable),
    (Code::KafkaStorageError, Retriable),
    (Code::NotLeaderForPartition, Retriable),
    (Code::NotEnoughReplicas, Retriable),
    (Code::ConcurrentTransactions, Retriable),
    (Code::UnstableOffsetCommit, Retriable),
    (Code::QueueFull, Retriable),
    (Code::IllegalGeneration, Restore),
    (Code::UnknownMemberId, Restore),
    (Code::RebalanceInProgress, Restore),
    (Code::InvalidProducerIdMapping, Restore),
    (Code::ProducerFenced, Restore),
    (Code::Fenced, Restore),
    (Code::PurgeQueue, Restore),
    (Code::UnknownTopicOrPartition, Fatal),
    (Code::TopicAuthorizationFailed, Fatal),
    (Code::MessageSizeTooLarge, Fatal),
    (Code::SaslAuthenticationFailed, Fatal),
    (Code::InvalidTransactionTimeout, Fatal),
    (Code::Fatal, Fatal),
    (Code::Unknown, Fatal),
];

#[test]
fn every_listed_code_has_its_class() {
    for (code, class) in TABLE {
        assert_eq!(class_of(code), class, "{code:?}");
    }
}

#[test]
fn only_a_newer_producer_of_the_same_name_counts_as_fencing() {
    assert!(
        is_fenced(Code::Fenced) && is_fenced(Code::ProducerFenced) && is_fenced(Code::InvalidProducerEpoch)
    );
    assert!(!is_fenced(Code::FencedInstanceId) && !is_fenced(Code::FencedLeaderEpoch));
}

#[test]
fn an_unreachable_broker_is_named_with_the_setting_to_check() {
    let error = explain_code("reading offsets", "k1:9092", Code::AllBrokersDown, "2/2 brokers are down");
    assert_eq!(error.class, Retriable);
    assert_eq!(
        error.message,
        "reading offsets: cannot reach Kafka at k1:9092: 2/2 brokers are down; check [kafka] brokers"
    );
}

#[test]
fn a_missing_topic_names_the_command_that_makes_it() {
    let error = explain_code("following 'presence'", "k1:9092", Code::UnknownTopicOrPartition, "unknown");
    assert_eq!(error.class, Fatal);
    assert!(error.message.contains("heartline topics apply"), "{}", error.message);
}

#[test]
fn an_error_without_a_code_is_fatal() {
    let error = explain("joining", "k1:9092", &KafkaError::Subscription("odd".to_owned()));
    assert_eq!(error.class, Fatal);
}
