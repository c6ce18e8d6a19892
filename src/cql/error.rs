//! What the driver's errors mean: try again, or the same statement will fail again.
//!
//! In doubt it is retriable: a write that is repeated does no harm, whereas a permanent error halts a
//! partition.

use std::fmt::Display;

use scylla::errors::{DbError, ExecutionError, PrepareError, RequestAttemptError};

use crate::store::{
    StoreError,
    StoreErrorClass::{self, Permanent, Retriable},
};

/// Names the operation, such as `a write to presence`, and says what to do.
pub(super) fn failed(operation: impl Display, error: &ExecutionError) -> StoreError {
    let class = classify(error);
    let advice = match class {
        Retriable => "it may be tried again",
        Permanent => "check the schema (heartline schema check) and the rights of the database user",
    };
    StoreError { class, message: format!("{operation} failed: {error}; {advice}") }
}

/// For what fails before the database is asked, or in spite of its answer.
pub(super) fn permanent(message: String) -> StoreError {
    StoreError { class: Permanent, message }
}

pub(super) fn closed() -> StoreError {
    StoreError { class: Retriable, message: "the connection to the database is closed".into() }
}

pub(super) fn classify(error: &ExecutionError) -> StoreErrorClass {
    match error {
        // The values don't fit the statement.
        ExecutionError::BadQuery(_) => Permanent,
        ExecutionError::PrepareError(PrepareError::AllAttemptsFailed { first_attempt }) => {
            attempt(first_attempt)
        }
        ExecutionError::LastAttemptError(error) => attempt(error),
        // No node to ask, no answer in time, or something about the cluster that passes.
        _ => Retriable,
    }
}

/// Whether the statement's id on the server is no longer the one that was prepared: preparing it anew is the
/// cure.
pub(super) fn needs_preparing(error: &ExecutionError) -> bool {
    matches!(
        error,
        ExecutionError::LastAttemptError(
            RequestAttemptError::RepreparedIdChanged { .. } | RequestAttemptError::RepreparedIdMissingInBatch
        )
    )
}

fn attempt(error: &RequestAttemptError) -> StoreErrorClass {
    match error {
        RequestAttemptError::SerializationError(_) | RequestAttemptError::CqlRequestSerialization(_) => {
            Permanent
        }
        RequestAttemptError::DbError(error, _) => database(error),
        // Broken connections, exhausted streams, garbled answers: they say nothing about the statement.
        _ => Retriable,
    }
}

fn database(error: &DbError) -> StoreErrorClass {
    match error {
        DbError::SyntaxError
        | DbError::Invalid
        | DbError::AlreadyExists { .. }
        | DbError::FunctionFailure { .. }
        | DbError::AuthenticationError
        | DbError::Unauthorized
        | DbError::ConfigError
        | DbError::ProtocolError => Permanent,
        // Too few replicas, too slow, too much to do, starting up, or a fault of the server's own.
        _ => Retriable,
    }
}

#[cfg(test)]
mod tests;
