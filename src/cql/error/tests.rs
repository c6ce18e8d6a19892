use std::{sync::Arc, time::Duration};

use scylla::{
    errors::{
        BadQuery, BrokenConnectionErrorKind, ConnectionError, ConnectionPoolError, OperationType, WriteType,
    },
    frame::response::CqlResponseKind,
    serialize::SerializationError,
    statement::Consistency,
};

use super::*;

const CONSISTENCY: Consistency = Consistency::LocalQuorum;

fn answered(error: DbError) -> ExecutionError {
    RequestAttemptError::DbError(error, "as the server says".into()).into()
}

fn unserialisable() -> SerializationError {
    SerializationError::new(std::io::Error::other("no such column"))
}

#[test]
fn what_passes_is_retriable() {
    let broken = ConnectionError::IoError(Arc::new(std::io::Error::other("connection refused")));
    let database = [
        DbError::Unavailable { consistency: CONSISTENCY, required: 2, alive: 1 },
        DbError::Overloaded,
        DbError::IsBootstrapping,
        DbError::TruncateError,
        DbError::ReadTimeout { consistency: CONSISTENCY, received: 1, required: 2, data_present: true },
        DbError::WriteTimeout {
            consistency: CONSISTENCY,
            received: 1,
            required: 2,
            write_type: WriteType::UnloggedBatch,
        },
        DbError::ReadFailure {
            consistency: CONSISTENCY,
            received: 1,
            required: 2,
            numfailures: 1,
            data_present: false,
        },
        DbError::WriteFailure {
            consistency: CONSISTENCY,
            received: 1,
            required: 2,
            numfailures: 1,
            write_type: WriteType::Simple,
        },
        DbError::Unprepared { statement_id: bytes::Bytes::new() },
        DbError::ServerError,
        DbError::RateLimitReached { op_type: OperationType::Write, rejected_by_coordinator: true },
        DbError::Other(0x7777),
    ];
    let driver = [
        ExecutionError::EmptyPlan,
        ExecutionError::RequestTimeout(Duration::from_secs(5)),
        ConnectionPoolError::Initializing.into(),
        ConnectionPoolError::Broken { last_connection_error: broken.clone() }.into(),
        PrepareError::ConnectionPoolError(ConnectionPoolError::Broken { last_connection_error: broken })
            .into(),
        PrepareError::PreparedStatementIdsMismatch.into(),
        RequestAttemptError::UnableToAllocStreamId.into(),
        RequestAttemptError::BrokenConnectionError(BrokenConnectionErrorKind::ChannelError.into()).into(),
        RequestAttemptError::UnexpectedResponse(CqlResponseKind::Ready).into(),
        RequestAttemptError::RepreparedIdMissingInBatch.into(),
        PrepareError::AllAttemptsFailed { first_attempt: RequestAttemptError::UnableToAllocStreamId }.into(),
    ];
    for error in database.into_iter().map(answered).chain(driver) {
        assert_eq!(classify(&error), Retriable, "{error:?}");
    }
}

#[test]
fn what_would_fail_again_is_permanent() {
    let names = || ("heartline".to_owned(), "presence".to_owned());
    let (keyspace, table) = names();
    let (function_keyspace, function) = names();
    let database = [
        DbError::SyntaxError,
        DbError::Invalid,
        DbError::Unauthorized,
        DbError::AuthenticationError,
        DbError::ConfigError,
        DbError::ProtocolError,
        DbError::AlreadyExists { keyspace, table },
        DbError::FunctionFailure { keyspace: function_keyspace, function, arg_types: vec![] },
    ];
    let unknown_table = RequestAttemptError::DbError(DbError::Invalid, "unconfigured table presence".into());
    let driver = [
        ExecutionError::BadQuery(BadQuery::ValuesTooLongForKey(70_000, 65_535)),
        RequestAttemptError::SerializationError(unserialisable()).into(),
        PrepareError::AllAttemptsFailed { first_attempt: unknown_table }.into(),
    ];
    for error in database.into_iter().map(answered).chain(driver) {
        assert_eq!(classify(&error), Permanent, "{error:?}");
    }
}

#[test]
fn a_failure_says_what_failed_and_what_to_do() {
    let error = failed("a write to presence", &ExecutionError::RequestTimeout(Duration::from_secs(5)));
    assert_eq!(
        error.message,
        "a write to presence failed: Request execution exceeded a client timeout of 5000ms; \
         it may be tried again"
    );
    let error = failed("a write to presence", &answered(DbError::Unauthorized));
    assert!(error.message.ends_with("and the rights of the database user"), "{error}");
}

#[test]
fn a_statement_id_that_changed_is_prepared_anew() {
    let changed = RequestAttemptError::RepreparedIdChanged {
        statement: "SELECT".into(),
        expected_id: vec![1],
        reprepared_id: vec![2],
    };
    assert!(needs_preparing(&changed.into()));
    assert!(!needs_preparing(&answered(DbError::Overloaded)));
}
