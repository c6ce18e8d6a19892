//! The configuration: defaults < `heartline.toml` < environment < `--set`.
//!
//! What was written ([`settings::Settings`]) and what it means ([`Config`]) are different types: whoever
//! holds a `Config` holds one that was checked. Errors name the place where the offending value was written.

use std::{fmt, net::SocketAddr, path::Path, time::Duration};

use secrecy::SecretString;

use crate::{cql::CqlConfig, kafka::config::Connection, processor::Retention, record::beacon::Parameters};

mod http;
mod kafka;
mod presence;
mod retention;
pub mod settings;
mod store;

pub use settings::{ConfigError, Origin};
use settings::{Settings, Sources};

/// The name of the file that is read when none is named.
pub const DEFAULT_FILE: &str = "heartline.toml";

/// The checked configuration.
#[derive(Debug, Clone)]
pub struct Config {
    pub kafka: KafkaSection,
    pub store: CqlConfig,
    /// What this pod's beacons will announce.
    pub presence: Parameters,
    pub retention: Retention,
    pub http: HttpSection,
}

#[derive(Debug, Clone)]
pub struct KafkaSection {
    /// The brokers, and further properties for librdkafka of which none breaks a promise.
    pub connection: Connection,
    pub group_prefix: String,
    /// The name of this pod; transactional ids carry it.
    pub instance: String,
    pub session_timeout: Duration,
    /// Below the session timeout.
    pub transaction_timeout: Duration,
}

#[derive(Debug, Clone)]
pub struct HttpSection {
    pub listen: SocketAddr,
    /// Present whenever `listen` is not loopback.
    pub token: Option<SecretString>,
    /// Where the token is from.
    pub token_file: Option<String>,
}

/// Everything that is wrong, one error a line.
#[derive(Debug)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let line_end = if index == 0 { "" } else { "\n" };
            write!(f, "{line_end}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

impl Config {
    /// Reads the named file (or `heartline.toml`, if it is there), the process's environment and `sets`
    /// (`kafka.brokers=a:9092,b:9092`).
    pub fn load(file: Option<&Path>, sets: &[String]) -> Result<Self, ConfigErrors> {
        let name = file.unwrap_or(Path::new(DEFAULT_FILE));
        let text = match std::fs::read_to_string(name) {
            Ok(text) => Some(text),
            Err(error) if file.is_none() && error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => {
                return Err(ConfigErrors(vec![ConfigError::Unreadable {
                    file: name.to_path_buf(),
                    message: error.to_string(),
                }]));
            }
        };
        let name = name.display().to_string();
        let environment = std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let file = text.as_deref().map(|text| (name.as_str(), text));
        Self::from_sources(&Sources { file, environment, sets })
    }

    /// Layers and checks what was written. Reads nothing but the files that secrets are in.
    pub fn from_sources(sources: &Sources<'_>) -> Result<Self, ConfigErrors> {
        let settings = Settings::layered(sources).map_err(ConfigErrors)?;
        let parts = (
            kafka::checked(&settings),
            store::checked(&settings),
            presence::checked(&settings),
            retention::checked(&settings),
            http::checked(&settings),
        );
        match parts {
            (Ok(kafka), Ok(store), Ok(presence), Ok(retention), Ok(http)) => {
                Ok(Self { kafka, store, presence, retention, http })
            }
            (kafka, store, presence, retention, http) => {
                let errors = [kafka.err(), store.err(), presence.err(), retention.err(), http.err()];
                Err(ConfigErrors(errors.into_iter().flatten().collect()))
            }
        }
    }
}

/// The secret that the file named by `key` holds, if one is named. The text in it is used without the white
/// space around it.
fn secret_from_file(settings: &Settings, key: &str) -> Result<Option<SecretString>, ConfigError> {
    let Some(path) = settings.optional_text(key)? else { return Ok(None) };
    let text = std::fs::read_to_string(path)
        .map_err(|error| settings.bad(key, format!("cannot read the file '{path}': {error}")))?;
    match text.trim() {
        "" => Err(settings.bad(key, format!("the file '{path}' is empty; it must hold the secret"))),
        secret => Ok(Some(SecretString::from(secret))),
    }
}

#[cfg(test)]
mod tests;
