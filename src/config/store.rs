//! `[store]`.

use std::{collections::BTreeMap, path::PathBuf};

use super::{
    secret_from_file,
    settings::{ConfigError, REPLICATION, Settings},
};
use crate::cql::{Consistency, CqlConfig, Credentials, Replication, Tls};

const CONSISTENCIES: &[(&str, Consistency)] = &[
    ("one", Consistency::One),
    ("quorum", Consistency::Quorum),
    ("all", Consistency::All),
    ("local_one", Consistency::LocalOne),
    ("local_quorum", Consistency::LocalQuorum),
    ("each_quorum", Consistency::EachQuorum),
];

pub(super) fn checked(settings: &Settings) -> Result<CqlConfig, ConfigError> {
    let nodes = super::kafka::addresses(settings, "store.nodes")?;
    let mut config = CqlConfig::new(nodes, settings.text("store.keyspace")?)
        .map_err(|error| settings.bad("store.keyspace", error.to_string()))?;
    let name = settings.text("store.consistency")?;
    let known = CONSISTENCIES.iter().find(|(known, _)| *known == name);
    let (_, consistency) = known.ok_or_else(|| {
        let names: Vec<&str> = CONSISTENCIES.iter().map(|(name, _)| *name).collect();
        settings.bad("store.consistency", format!("must be one of {}", names.join(", ")))
    })?;
    config.consistency = *consistency;
    config.replication = replication(settings)?;
    config.local_dc = settings.optional_text("store.local_dc")?.map(str::to_owned);
    config.credentials = credentials(settings)?;
    config.tls = tls(settings)?;
    Ok(config)
}

fn replication(settings: &Settings) -> Result<Replication, ConfigError> {
    const SIMPLE: &str = "store.replication";
    let copies = |key: &str, number: i64| match number {
        1..=100 => Ok(number as u32),
        _ => Err(settings.bad(key, "must be 1 to 100 copies")),
    };
    if let Some(number) = settings.integer(SIMPLE)? {
        return copies(SIMPLE, number).map(Replication::Everywhere);
    }
    let mut per_data_centre = BTreeMap::new();
    for (name, _) in settings.below(REPLICATION) {
        let key = format!("{REPLICATION}{name}");
        let number = settings.integer(&key)?.unwrap_or_default();
        per_data_centre.insert(name.to_owned(), copies(&key, number)?);
    }
    Ok(Replication::ByDatacenter(per_data_centre))
}

fn credentials(settings: &Settings) -> Result<Option<Credentials>, ConfigError> {
    let username = settings.optional_text("store.username")?;
    let password = secret_from_file(settings, "store.password_file")?;
    match (username, password) {
        (None, None) => Ok(None),
        (Some(username), Some(password)) => Ok(Some(Credentials { username: username.to_owned(), password })),
        (Some(_), None) => {
            Err(settings.bad("store.username", "needs store.password_file, the file with the password"))
        }
        (None, Some(_)) => Err(settings.bad("store.password_file", "needs store.username")),
    }
}

fn tls(settings: &Settings) -> Result<Option<Tls>, ConfigError> {
    let file = |key: &str| Ok::<_, ConfigError>(settings.optional_text(key)?.map(PathBuf::from));
    let tls = Tls {
        ca_file: file("store.ca_file")?,
        certificate_file: file("store.cert_file")?,
        key_file: file("store.key_file")?,
    };
    match (&tls.certificate_file, &tls.key_file) {
        (Some(_), None) => {
            Err(settings.bad("store.cert_file", "needs store.key_file, the certificate's key"))
        }
        (None, Some(_)) => Err(settings.bad("store.key_file", "needs store.cert_file")),
        _ => Ok((tls != Tls::default()).then_some(tls)),
    }
}
