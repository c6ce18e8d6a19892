//! What a session needs to know, checked: a value of these types can be used as it is.

use std::{collections::BTreeMap, fmt, path::PathBuf, str::FromStr, time::Duration};

use secrecy::SecretString;
use thiserror::Error;

pub use scylla::statement::Consistency;

/// How to reach the database and how hard to lean on it.
#[derive(Debug, Clone)]
pub struct CqlConfig {
    /// `host:port` of some nodes; the others are discovered.
    pub nodes: Vec<String>,
    pub keyspace: String,
    /// Used when `schema apply` creates the keyspace, and only then.
    pub replication: Replication,
    pub consistency: Consistency,
    /// Requests go to this datacenter first. Required with a local consistency and more than one datacenter.
    pub local_dc: Option<String>,
    pub credentials: Option<Credentials>,
    pub tls: Option<Tls>,
    /// How long [`connect`](super::connect) keeps trying.
    pub connect_timeout: Duration,
    /// How long one request to the database, or one page of a read, may take.
    pub request_timeout: Duration,
    pub in_flight_requests_max: u32,
    pub in_flight_bytes_max: u32,
    /// What writes that nobody waits for may have of that; see [`Table::is_background`].
    ///
    /// [`Table::is_background`]: crate::table::Table::is_background
    pub background_bytes_max: u32,
}

#[derive(Debug, Clone)]
pub struct Credentials {
    pub username: String,
    pub password: SecretString,
}

/// Certificates as PEM files. Without `ca_file` the system's certificates are trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    pub ca_file: Option<PathBuf>,
    /// The client's own certificate and its key: both or neither.
    pub certificate_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
}

/// Copies of each row: `3`, or by datacenter `dc1=3,dc2=2`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replication {
    Everywhere(u32),
    ByDatacenter(BTreeMap<String, u32>),
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    #[error("[store] nodes is empty: name at least one node as host:port")]
    NoNodes,
    #[error(
        "[store] keyspace {0:?} cannot be used: write 1-48 lower-case letters, digits or underscores, \
         a letter first"
    )]
    Keyspace(String),
    #[error("[store] replication {0:?} cannot be used: write a number of copies such as 3, or dc1=3,dc2=2")]
    Replication(String),
    #[error(
        "[store] in_flight_requests_max, in_flight_bytes_max and background_bytes_max must be at least 1"
    )]
    InFlight,
    #[error("[store.tls] certificate_file and key_file go together: give both or neither")]
    Certificate,
}

impl CqlConfig {
    /// The defaults for `nodes` and `keyspace`.
    ///
    /// # Errors
    /// When there is no node or the keyspace's name would need quoting.
    pub fn new(nodes: Vec<String>, keyspace: &str) -> Result<Self, ConfigError> {
        let config = Self {
            nodes,
            keyspace: keyspace.into(),
            replication: Replication::Everywhere(1),
            consistency: Consistency::LocalQuorum,
            local_dc: None,
            credentials: None,
            tls: None,
            connect_timeout: Duration::from_secs(20),
            request_timeout: Duration::from_secs(5),
            // Measured on two cores: 64 to 512 requests in flight make no difference, fewer cost throughput.
            in_flight_requests_max: 256,
            in_flight_bytes_max: 32 * 1024 * 1024,
            // A large write at a time or many small ones: what the database has to do for a mass of them
            // then takes less from the log's transactions, and what waits meanwhile shares larger writes.
            background_bytes_max: 64 * 1024,
        };
        config.check()?;
        Ok(config)
    }

    /// Holds the fields, which may have been set since, to what the rest of this module relies on.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.nodes.is_empty() {
            return Err(ConfigError::NoNodes);
        }
        if !is_plain_name(&self.keyspace) {
            return Err(ConfigError::Keyspace(self.keyspace.clone()));
        }
        let bounds = [self.in_flight_requests_max, self.in_flight_bytes_max, self.background_bytes_max];
        if bounds.contains(&0) {
            return Err(ConfigError::InFlight);
        }
        let certificate =
            self.tls.as_ref().map(|tls| (tls.certificate_file.is_some(), tls.key_file.is_some()));
        match certificate {
            Some((certificate, key)) if certificate != key => Err(ConfigError::Certificate),
            _ => Ok(()),
        }
    }
}

/// The name goes into statements unquoted, so that the operator can type it as it is.
fn is_plain_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    (1..=48).contains(&bytes.len())
        && bytes[0].is_ascii_lowercase()
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'_')
}

impl FromStr for Replication {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let error = || ConfigError::Replication(text.into());
        let copies = |text: &str| text.trim().parse::<u32>().ok().filter(|copies| (1..=100).contains(copies));
        if let Some(everywhere) = copies(text) {
            return Ok(Self::Everywhere(everywhere));
        }
        let mut datacenters = BTreeMap::new();
        for part in text.split(',') {
            let (name, number) = part.split_once('=').ok_or_else(error)?;
            let name = name.trim();
            let is_name = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
            if name.is_empty() || !name.bytes().all(is_name) {
                return Err(error());
            }
            let number = copies(number).ok_or_else(error)?;
            if datacenters.insert(name.to_owned(), number).is_some() {
                return Err(error());
            }
        }
        Ok(Self::ByDatacenter(datacenters))
    }
}

/// The map that `CREATE KEYSPACE … WITH replication =` takes.
impl fmt::Display for Replication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{'class': 'NetworkTopologyStrategy'")?;
        match self {
            Self::Everywhere(copies) => write!(f, ", 'replication_factor': {copies}")?,
            Self::ByDatacenter(datacenters) => {
                for (name, copies) in datacenters {
                    write!(f, ", '{name}': {copies}")?;
                }
            }
        }
        f.write_str("}")
    }
}

#[cfg(test)]
mod tests;
