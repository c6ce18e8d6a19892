//! Logging to stderr. Ids and bodies are never logged above debug.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, fmt};

use super::{CliError, Global};

/// Storage tells at info how it works inside. Driver and client repeat, several times a second, what our own
/// sentence says once.
const SERVING: &str = "info,scylla=off,fjall=warn,lsm_tree=warn,librdkafka=off";
const ASKING: &str = "warn,scylla=off";

/// Starts logging, with more to say when the process stays.
pub(super) fn start(global: &Global, serves: bool) -> Result<(), CliError> {
    let filter = global.log.as_deref().unwrap_or(if serves { SERVING } else { ASKING });
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        CliError::usage(format!("--log '{filter}' is no filter: {error}; write info or debug"))
    })?;
    let subscriber = fmt().with_env_filter(filter).with_writer(io::stderr);
    let started = match global.log_json {
        true => subscriber.json().try_init(),
        false => subscriber.with_ansi(io::stderr().is_terminal()).with_target(false).try_init(),
    };
    started.map_err(|error| CliError::internal(format!("cannot start logging: {error}")))
}
