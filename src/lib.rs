//! Heartline: presence and timelines for chat back ends, as a pure function of the log.

pub mod id;
pub mod limits;
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

#[cfg(feature = "edges")]
pub mod client;
#[cfg(feature = "edges")]
pub mod worker;
#[cfg(feature = "edges")]
pub mod kafka;
#[cfg(feature = "edges")]
pub mod cql;
#[cfg(feature = "edges")]
pub mod embedded;
#[cfg(feature = "edges")]
pub mod http;
#[cfg(feature = "edges")]
pub mod config;
#[cfg(feature = "edges")]
pub mod cli;
