//! Heartline: presence and timelines for chat back ends, as a pure function of the log.

pub mod id;
pub mod fnv;
pub mod limits;
pub mod mutant;
pub mod topology;
pub mod log;
pub mod store;
pub mod record;
pub mod effect;
pub mod table;
pub mod processor;
pub mod task;
pub mod engine;
pub mod sim;

pub mod conformance;

// The edges: clocks, threads, sockets and files are theirs to use.
#[cfg(feature = "edges")]
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod client;
#[cfg(feature = "edges")]
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod worker;
#[cfg(feature = "edges")]
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod kafka;
#[cfg(feature = "edges")]
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod cql;
#[cfg(feature = "edges")]
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod embedded;
#[cfg(feature = "edges")]
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod http;
#[cfg(feature = "edges")]
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod config;
#[cfg(feature = "edges")]
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod cli;
