//! Why a command did not do what was asked, and the exit code that says so to a program.

use std::io;

use crate::{
    config::ConfigErrors,
    cql::{ConnectError, schema::SchemaError},
    embedded::OpenError,
    http::{client::ClientError, timeline::ReadError},
    log::{ErrorClass, LogError},
    store::{StoreError, StoreErrorClass},
};

/// Exit codes; where sysexits.h has one for the case, it is that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    Done,
    Usage,
    Config,
    Unavailable,
    Internal,
    Mismatch,
}

impl Exit {
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Usage => 2,
            Self::Config => 64,
            Self::Unavailable => 69,
            Self::Internal => 70,
            Self::Mismatch => 78,
        }
    }
}

/// What went wrong, where, and what to do; nothing is said when the message is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CliError {
    pub exit: Exit,
    pub message: String,
}

impl CliError {
    pub fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, message: message.into() }
    }

    pub fn config(message: impl Into<String>) -> Self {
        Self { exit: Exit::Config, message: message.into() }
    }

    pub fn unavailable(message: impl Into<String>) -> Self {
        Self { exit: Exit::Unavailable, message: message.into() }
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self { exit: Exit::Internal, message: message.into() }
    }

    pub fn mismatch(message: impl Into<String>) -> Self {
        Self { exit: Exit::Mismatch, message: message.into() }
    }

    /// The same with its place before it.
    #[must_use]
    pub fn at(mut self, place: &str) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }
}

impl From<ConfigErrors> for CliError {
    fn from(errors: ConfigErrors) -> Self {
        Self::config(errors.to_string())
    }
}

impl From<LogError> for CliError {
    fn from(error: LogError) -> Self {
        match error.class {
            ErrorClass::Retriable | ErrorClass::Behind | ErrorClass::Restore => {
                Self::unavailable(error.message)
            }
            ErrorClass::Fatal => Self::internal(error.message),
        }
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        match error.class {
            StoreErrorClass::Retriable => Self::unavailable(error.message),
            StoreErrorClass::Permanent => Self::mismatch(error.message),
        }
    }
}

impl From<ReadError> for CliError {
    fn from(error: ReadError) -> Self {
        let message = error.to_string();
        match error {
            ReadError::Store(error) => error.into(),
            ReadError::Late | ReadError::Hole { .. } => Self::unavailable(message),
            ReadError::Damaged(_) => Self::internal(message),
        }
    }
}

impl From<ConnectError> for CliError {
    fn from(error: ConnectError) -> Self {
        let message = error.to_string();
        match error {
            ConnectError::Config(_) | ConnectError::Tls { .. } | ConnectError::Datacenter { .. } => {
                Self::config(message)
            }
            ConnectError::Refused { .. } | ConnectError::Unreachable { .. } => Self::unavailable(message),
        }
    }
}

impl From<SchemaError> for CliError {
    fn from(error: SchemaError) -> Self {
        match error {
            SchemaError::Mismatch { .. } => Self::mismatch(error.to_string()),
            SchemaError::Store(error) => error.into(),
        }
    }
}

impl From<OpenError> for CliError {
    fn from(error: OpenError) -> Self {
        let message = error.to_string();
        match error {
            OpenError::InUse { .. } => Self::unavailable(message),
            OpenError::Format { .. } | OpenError::Partitions { .. } | OpenError::Cleanup { .. } => {
                Self::mismatch(message)
            }
            OpenError::Storage { .. } => Self::internal(message),
        }
    }
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        let message = error.to_string();
        match error {
            ClientError::BadUrl(_) => Self::usage(message),
            ClientError::Away { .. } | ClientError::Refused { status: 429 | 503, .. } => {
                Self::unavailable(message)
            }
            ClientError::Refused { status: 401, .. } => {
                Self::config(format!("{message}; name the file it is in with --token-file"))
            }
            ClientError::Refused { status: 400..=499, .. } => Self::usage(message),
            ClientError::Refused { .. } | ClientError::Unreadable { .. } => Self::internal(message),
        }
    }
}

/// From writing to stdout. A reader that has seen enough, such as `head`, is no error.
impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self { exit: Exit::Done, message: String::new() },
            _ => Self::internal(format!("cannot write: {error}")),
        }
    }
}
