//! `[store]`.

use std::{collections::BTreeMap, path::PathBuf};

use super::{
    Consistency, Credentials, Replication, StoreConfig, Tls, secret_from_file,
    settings::{ConfigError, REPLICATION, Settings},
};

/// Characters of a keyspace's name.
const KEYSPACE_LENGTH_MAX: usize = 48;

impl Consistency {
    pub const ALL: [Self; 6] =
        [Self::One, Self::Quorum, Self::All, Self::LocalOne, Self::LocalQuorum, Self::EachQuorum];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Quorum => "quorum",
            Self::All => "all",
            Self::LocalOne => "local_one",
            Self::LocalQuorum => "local_quorum",
            Self::EachQuorum => "each_quorum",
        }
    }
}

pub(super) fn checked(settings: &Settings) -> Result<StoreConfig, ConfigError> {
    let nodes = super::kafka::addresses(settings, "store.nodes")?;
    let keyspace = settings.text("store.keyspace")?;
    let plain = keyspace.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if !plain
        || !keyspace.starts_with(|c: char| c.is_ascii_lowercase())
        || keyspace.len() > KEYSPACE_LENGTH_MAX
    {
        return Err(settings.bad(
            "store.keyspace",
            "must be a lower-case letter followed by up to 47 lower-case letters, digits or '_'",
        ));
    }
    let consistency = settings.text("store.consistency")?;
    let consistency =
        Consistency::ALL.into_iter().find(|known| known.name() == consistency).ok_or_else(|| {
            let names = Consistency::ALL.map(Consistency::name).join(", ");
            settings.bad("store.consistency", format!("must be one of {names}"))
        })?;
    Ok(StoreConfig {
        nodes,
        keyspace: keyspace.to_owned(),
        replication: replication(settings)?,
        consistency,
        local_dc: settings.optional_text("store.local_dc")?.map(str::to_owned),
        credentials: credentials(settings)?,
        tls: tls(settings)?,
    })
}

fn replication(settings: &Settings) -> Result<Replication, ConfigError> {
    const SIMPLE: &str = "store.replication";
    let copies = |key: &str, number: i64| match number {
        1..=100 => Ok(number as u16),
        _ => Err(settings.bad(key, "must be 1 to 100 copies")),
    };
    if let Some(number) = settings.integer(SIMPLE)? {
        return copies(SIMPLE, number).map(Replication::Simple);
    }
    let mut per_data_centre = BTreeMap::new();
    for (name, _) in settings.below(REPLICATION) {
        let key = format!("{REPLICATION}{name}");
        let number = settings.integer(&key)?.unwrap_or_default();
        per_data_centre.insert(name.to_owned(), copies(&key, number)?);
    }
    Ok(Replication::PerDataCentre(per_data_centre))
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
    let client = match (file("store.cert_file")?, file("store.key_file")?) {
        (None, None) => None,
        (Some(cert), Some(key)) => Some((cert, key)),
        (Some(_), None) => {
            return Err(settings.bad("store.cert_file", "needs store.key_file, the certificate's key"));
        }
        (None, Some(_)) => return Err(settings.bad("store.key_file", "needs store.cert_file")),
    };
    match (file("store.ca_file")?, client) {
        (None, None) => Ok(None),
        (Some(ca_file), client) => Ok(Some(Tls { ca_file, client })),
        (None, Some(_)) => {
            Err(settings.bad("store.cert_file", "needs store.ca_file, the authority of the nodes"))
        }
    }
}
