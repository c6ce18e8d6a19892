//! How `ingest`, `tail` and the commands that read reach the data: through a running `heartline`, or Kafka
//! and the database directly. The folder of a running `up` is locked, so that one is asked over HTTP.

use std::path::PathBuf;

use clap::Args;
use secrecy::SecretString;

use super::{CliError, Global};
use crate::{config::Config, http::client::Client};

/// Where `up` listens when nobody says otherwise.
pub const DEFAULT_URL: &str = "http://127.0.0.1:7700";

#[derive(Debug, Clone, Default, Args)]
pub struct Reach {
    /// Ask a running heartline there [default: http://127.0.0.1:7700, unless there is a configuration file:
    /// then Kafka and the database are asked directly]
    #[arg(long, value_name = "URL", env = "HEARTLINE_URL")]
    url: Option<String>,
    /// File with the token that the server asks for
    #[arg(long, value_name = "FILE", env = "HEARTLINE_TOKEN_FILE")]
    token_file: Option<PathBuf>,
}

/// Where the data is.
pub enum Reached {
    Server(Client),
    Direct(Box<Config>),
}

impl Reach {
    pub fn resolve(&self, global: &Global) -> Result<Reached, CliError> {
        if self.url.is_none() && global.is_configured() {
            return Ok(Reached::Direct(Box::new(global.config(&[])?)));
        }
        let token = match &self.token_file {
            None => None,
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| CliError::config(format!("--token-file {}: {error}", path.display())))?;
                Some(SecretString::from(text.trim()))
            }
        };
        Ok(Reached::Server(Client::new(self.url.as_deref().unwrap_or(DEFAULT_URL), token)?))
    }
}
