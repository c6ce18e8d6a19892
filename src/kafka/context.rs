//! What librdkafka says by itself, handed to the product's log.

use rdkafka::{
    ClientContext, config::RDKafkaLogLevel as Level, consumer::ConsumerContext, error::KafkaError,
};

/// Passes a line of librdkafka on. It names brokers, groups and topics, never a key or a value.
pub fn pass_line(level: Level, facility: &str, line: &str) {
    match level {
        Level::Emerg | Level::Alert | Level::Critical | Level::Error => {
            tracing::error!(target: "librdkafka", facility, "{line}");
        }
        Level::Warning => tracing::warn!(target: "librdkafka", facility, "{line}"),
        Level::Notice | Level::Info => tracing::info!(target: "librdkafka", facility, "{line}"),
        Level::Debug => tracing::debug!(target: "librdkafka", facility, "{line}"),
    }
}

/// Passes an error on that belongs to no request: connections that break, brokers that are down. librdkafka
/// goes on by itself; who waits for an answer hears of it there.
pub fn pass_error(error: &KafkaError, reason: &str) {
    tracing::warn!(target: "librdkafka", %error, "{reason}");
}

/// The context of a client that only has to be logged.
#[derive(Debug, Clone, Copy, Default)]
pub struct Logged;

impl ClientContext for Logged {
    fn log(&self, level: Level, facility: &str, line: &str) {
        pass_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        pass_error(&error, reason);
    }
}

impl ConsumerContext for Logged {}
