//! `[kafka]` and what may be passed on to librdkafka.

use std::{collections::BTreeMap, time::Duration};

use secrecy::ExposeSecret;

use super::{
    KafkaSection, secret_from_file,
    settings::{ConfigError, LIBRDKAFKA, Settings},
};
use crate::{
    id::check_id,
    kafka::config::{Connection, REFUSED},
};

/// Properties whose values are secrets: they are named by file.
const SECRETS: &[&str] = &[
    "sasl.password",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.config",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.password",
];

pub(super) fn checked(settings: &Settings) -> Result<KafkaSection, ConfigError> {
    let name = |key: &str| {
        let text = settings.text(key)?;
        check_id(text).map_err(|error| settings.bad(key, error.to_string()))?;
        Ok::<_, ConfigError>(text.to_owned())
    };
    let instance = match settings.optional_text("kafka.instance")? {
        Some(_) => name("kafka.instance")?,
        None => random_instance(),
    };
    let session_timeout_ms = bounded_ms(settings, "kafka.session_timeout", 6_000, 300_000)?;
    let transaction_timeout_ms = bounded_ms(settings, "kafka.transaction_timeout", 2_000, 300_000)?;
    if transaction_timeout_ms >= session_timeout_ms {
        return Err(settings.bad(
            "kafka.transaction_timeout",
            format!(
                "{transaction_timeout_ms} ms must be below kafka.session_timeout ({session_timeout_ms} ms): \
                 what a dead pod left open must end before its partitions are given away"
            ),
        ));
    }
    let brokers = addresses(settings, "kafka.brokers")?;
    let connection = Connection::new(&brokers, properties(settings)?)
        .map_err(|error| settings.bad("kafka.brokers", error.to_string()))?;
    Ok(KafkaSection {
        connection,
        group_prefix: name("kafka.group_prefix")?,
        instance,
        session_timeout: Duration::from_millis(session_timeout_ms),
        transaction_timeout: Duration::from_millis(transaction_timeout_ms),
    })
}

/// `host:port` each.
pub(super) fn addresses(settings: &Settings, key: &str) -> Result<Vec<String>, ConfigError> {
    let list = settings.list(key)?;
    for address in list {
        let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        if port.and_then(|(_, port)| port.parse::<u16>().ok()).is_none() {
            return Err(settings.bad(key, format!("'{address}' is no host:port")));
        }
    }
    Ok(list.to_vec())
}

fn bounded_ms(settings: &Settings, key: &str, min_ms: u64, max_ms: u64) -> Result<u64, ConfigError> {
    let ms = settings.duration_ms(key)?;
    match (min_ms..=max_ms).contains(&ms) {
        true => Ok(ms),
        false => Err(settings.bad(key, format!("must be {} s to {} s", min_ms / 1_000, max_ms / 1_000))),
    }
}

/// What is passed on to librdkafka, secrets read from their files. [`Connection`] shows none of the values.
fn properties(settings: &Settings) -> Result<BTreeMap<String, String>, ConfigError> {
    let mut properties = BTreeMap::new();
    for (name, value) in settings.below(LIBRDKAFKA) {
        let key = format!("{LIBRDKAFKA}{name}");
        if let Some((_, reason)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
            return Err(settings.bad(&key, format!("cannot be set: {reason}")));
        }
        if SECRETS.contains(&name) {
            return Err(
                settings.bad(&key, format!("is a secret: name the file it is in, {name}_file = \"…\""))
            );
        }
        match name.strip_suffix("_file").filter(|name| SECRETS.contains(name)) {
            Some(name) => {
                let secret = secret_from_file(settings, &key)?;
                properties.extend(secret.map(|secret| (name.to_owned(), secret.expose_secret().to_owned())));
            }
            None => {
                properties.insert(name.to_owned(), value?);
            }
        }
    }
    Ok(properties)
}

/// Host name and a random part: names must differ even between pods that think they run on the same host.
fn random_instance() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let host: String =
        host.chars().filter(|c| c.is_ascii_alphanumeric() || "-._".contains(*c)).take(64).collect();
    let random = uuid::Uuid::now_v7().simple().to_string();
    format!("{}-{}", if host.is_empty() { "heartline" } else { &host }, &random[random.len() - 8..])
}
