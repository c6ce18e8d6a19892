//! What may be done about an error of Kafka: one table for every caller. A code that is not listed is fatal.

use rdkafka::{error::KafkaError, types::RDKafkaErrorCode as Code};

use crate::log::{ErrorClass, LogError};

/// The class of an error code. Unknown is fatal.
#[must_use]
pub fn class_of(code: Code) -> ErrorClass {
    if RETRIABLE.contains(&code) {
        ErrorClass::Retriable
    } else if RESTORE.contains(&code) {
        ErrorClass::Restore
    } else {
        ErrorClass::Fatal
    }
}

/// The broker or the way to it is away, or busy with itself: the same request may succeed later.
const RETRIABLE: &[Code] = &[
    Code::BrokerDestroy,
    Code::BrokerTransportFailure,
    Code::Resolve,
    Code::MessageTimedOut,
    Code::AllBrokersDown,
    Code::OperationTimedOut,
    Code::QueueFull,
    Code::ISRInsufficient,
    Code::NodeUpdate,
    Code::WaitingForCoordinator,
    Code::InProgress,
    Code::PreviousInProgress,
    Code::TimedOutQueue,
    Code::WaitCache,
    Code::Interrupted,
    Code::Partial,
    Code::Retry,
    Code::UnknownBroker,
    Code::DestroyBroker,
    Code::LeaderNotAvailable,
    Code::NotLeaderForPartition,
    Code::RequestTimedOut,
    Code::BrokerNotAvailable,
    Code::ReplicaNotAvailable,
    Code::StaleControllerEpoch,
    Code::NetworkException,
    Code::CoordinatorLoadInProgress,
    Code::CoordinatorNotAvailable,
    Code::NotCoordinator,
    Code::NotEnoughReplicas,
    Code::NotEnoughReplicasAfterAppend,
    Code::NotController,
    Code::ConcurrentTransactions,
    Code::KafkaStorageError,
    Code::ReassignmentInProgress,
    Code::FetchSessionIdNotFound,
    Code::InvalidFetchSessionEpoch,
    Code::ListenerNotFound,
    Code::FencedLeaderEpoch,
    Code::UnknownLeaderEpoch,
    Code::StaleBrokerEpoch,
    Code::OffsetNotAvailable,
    Code::PreferredLeaderNotAvailable,
    Code::EligibleLeadersNotAvailable,
    Code::ThrottlingQuotaExceeded,
    Code::UnstableOffsetCommit,
];

/// What this member held is no longer its own, or the producer's state is in doubt.
const RESTORE: &[Code] = &[
    Code::PurgeQueue,
    Code::PurgeInflight,
    Code::GaplessGuarantee,
    Code::PollExceeded,
    Code::Fenced,
    Code::AssignmentLost,
    Code::State,
    Code::IllegalGeneration,
    Code::UnknownMemberId,
    Code::RebalanceInProgress,
    Code::FencedInstanceId,
    Code::OutOfOrderSequenceNumber,
    Code::DuplicateSequenceNumber,
    Code::InvalidProducerEpoch,
    Code::InvalidTransactionalState,
    Code::InvalidProducerIdMapping,
    Code::TransactionCoordinatorFenced,
    Code::UnknownProducerId,
    Code::ProducerFenced,
];

/// Whether the code says that a newer producer has the same transactional id.
#[must_use]
pub fn is_fenced(code: Code) -> bool {
    matches!(code, Code::Fenced | Code::InvalidProducerEpoch | Code::ProducerFenced)
}

/// A sentence about `error` while `doing` something at `brokers`, with its class and, where one is known, the
/// cure.
#[must_use]
pub fn explain(doing: &str, brokers: &str, error: &KafkaError) -> LogError {
    match error.rdkafka_error_code() {
        Some(code) => explain_code(doing, brokers, code, &error.to_string()),
        // librdkafka answers these without a code: a setting it refuses, a call in the wrong state.
        None => LogError::fatal(format!("{doing}: {error}; check [kafka.librdkafka]")),
    }
}

/// As [`explain`], for a code and what was said with it.
#[must_use]
pub fn explain_code(doing: &str, brokers: &str, code: Code, said: &str) -> LogError {
    let message = match code {
        Code::BrokerTransportFailure
        | Code::AllBrokersDown
        | Code::Resolve
        | Code::OperationTimedOut
        | Code::MessageTimedOut
        | Code::WaitingForCoordinator => {
            format!("{doing}: cannot reach Kafka at {brokers}: {said}; check [kafka] brokers")
        }
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => {
            format!("{doing}: the topic or partition does not exist ({said}); run `heartline topics apply`")
        }
        Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed => {
            format!("{doing}: Kafka denies it ({said}); grant the worker's principal the right")
        }
        Code::Authentication | Code::SaslAuthenticationFailed | Code::SSL => {
            format!("{doing}: Kafka refuses the login ({said}); check sasl.* and ssl.* in [kafka.librdkafka]")
        }
        _ => format!("{doing}: {said}"),
    };
    LogError { class: class_of(code), message }
}

#[cfg(test)]
mod tests;
