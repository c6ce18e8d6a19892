//! Connecting: bounded, with one sentence when it fails.

use std::{error::Error, path::Path, sync::Arc, time::Duration};

use openssl::{
    error::ErrorStack,
    ssl::{SslConnector, SslConnectorBuilder, SslFiletype, SslMethod},
};
use scylla::{
    client::{execution_profile::ExecutionProfile, session::Session, session_builder::SessionBuilder},
    errors::{
        ConnectionError, ConnectionPoolError, ConnectionSetupRequestErrorKind as SetupError, DbError,
        MetadataError, NewSessionError,
    },
    policies::{load_balancing::DefaultPolicy, retry::FallthroughRetryPolicy},
};
use secrecy::ExposeSecret;
use thiserror::Error;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{
    config::{ConfigError, CqlConfig, Tls},
    session::Cql,
};

const RETRY_INTERVAL: Duration = Duration::from_millis(500);
const CONNECTION_TIMEOUT_MAX: Duration = Duration::from_secs(5);

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum ConnectError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("[store.tls] {what}: {reason}")]
    Tls { what: String, reason: String },
    #[error("[store] local_dc {given:?} is no datacenter of the database; it has {known}")]
    Datacenter { given: String, known: String },
    #[error("the database at {nodes} refused the user: {reason}; check [store] username and password")]
    Refused { nodes: String, reason: String },
    #[error("cannot reach the database at {nodes}: {reason}; check [store] nodes")]
    Unreachable { nodes: String, reason: String },
}

/// Connects, trying again until `connect_timeout` is over: a database that is just starting is waited for.
/// Afterwards the session reconnects by itself, for ever.
///
/// # Errors
/// With the last reason when the time is over; at once when trying again cannot help.
pub async fn connect(config: &CqlConfig) -> Result<Cql, ConnectError> {
    config.check()?;
    let builder = builder(config)?;
    let deadline = Instant::now() + config.connect_timeout;
    let nodes = || config.nodes.join(", ");
    let mut reason = format!("no answer within {} ms", config.connect_timeout.as_millis());
    let session = loop {
        match timeout_at(deadline, builder.build()).await {
            Ok(Ok(session)) => break session,
            Ok(Err(error)) => match refusal(&error) {
                Some(reason) => return Err(ConnectError::Refused { nodes: nodes(), reason }),
                None => reason = root_cause(&error),
            },
            Err(_) => return Err(ConnectError::Unreachable { nodes: nodes(), reason }),
        }
        let next = Instant::now() + RETRY_INTERVAL;
        if next >= deadline {
            return Err(ConnectError::Unreachable { nodes: nodes(), reason });
        }
        sleep_until(next).await;
    };
    check_datacenter(&session, config)?;
    Ok(Cql::new(session, config))
}

fn builder(config: &CqlConfig) -> Result<SessionBuilder, ConnectError> {
    let mut balancing = DefaultPolicy::builder().token_aware(true);
    if let Some(local_dc) = &config.local_dc {
        balancing = balancing.prefer_datacenter(local_dc.clone());
    }
    let profile = ExecutionProfile::builder()
        .consistency(config.consistency)
        .request_timeout(Some(config.request_timeout))
        .retry_policy(Arc::new(FallthroughRetryPolicy::new()))
        .load_balancing_policy(balancing.build())
        .build();
    let mut builder = SessionBuilder::new()
        .known_nodes(&config.nodes)
        .default_execution_profile_handle(profile.into_handle())
        .connection_timeout(config.connect_timeout.min(CONNECTION_TIMEOUT_MAX))
        .keepalive_interval(Duration::from_secs(10))
        .keepalive_timeout(config.request_timeout)
        // Replication is all that routing needs of the schema.
        .fetch_full_schema_metadata(false);
    if let Some(credentials) = &config.credentials {
        builder = builder.user(&credentials.username, credentials.password.expose_secret());
    }
    if let Some(tls) = &config.tls {
        builder = builder.tls_context(Some(tls_context(tls)?));
    }
    Ok(builder)
}

/// Certificates are verified against `ca_file` or the system's; names are not, since nodes are discovered by
/// address.
fn tls_context(tls: &Tls) -> Result<SslConnectorBuilder, ConnectError> {
    let failed = |what: &str, file: Option<&Path>| {
        let what = file.map_or_else(|| what.to_owned(), |file| format!("{what} {}", file.display()));
        move |error: ErrorStack| ConnectError::Tls { what, reason: error.to_string() }
    };
    let mut context =
        SslConnector::builder(SslMethod::tls_client()).map_err(failed("cannot be used", None))?;
    if let Some(file) = &tls.ca_file {
        context.set_ca_file(file).map_err(failed("cannot use ca_file", Some(file)))?;
    }
    if let Some(file) = &tls.certificate_file {
        let cannot = failed("cannot use certificate_file", Some(file));
        context.set_certificate_chain_file(file).map_err(cannot)?;
    }
    if let Some(file) = &tls.key_file {
        context
            .set_private_key_file(file, SslFiletype::PEM)
            .map_err(failed("cannot use key_file", Some(file)))?;
        context.check_private_key().map_err(failed("key_file is not the key of certificate_file", None))?;
    }
    Ok(context)
}

fn check_datacenter(session: &Session, config: &CqlConfig) -> Result<(), ConnectError> {
    let Some(given) = &config.local_dc else { return Ok(()) };
    let state = session.get_cluster_state();
    let mut known: Vec<&str> =
        state.get_nodes_info().iter().filter_map(|node| node.datacenter.as_deref()).collect();
    if known.contains(&given.as_str()) {
        return Ok(());
    }
    known.sort_unstable();
    known.dedup();
    Err(ConnectError::Datacenter { given: given.clone(), known: known.join(", ") })
}

/// What the database says to credentials that it doesn't accept.
fn refusal(error: &NewSessionError) -> Option<String> {
    let NewSessionError::MetadataError(MetadataError::ConnectionPoolError(ConnectionPoolError::Broken {
        last_connection_error: ConnectionError::ConnectionSetupRequestError(error),
    })) = error
    else {
        return None;
    };
    match error.get_error() {
        SetupError::DbError(DbError::AuthenticationError | DbError::Unauthorized, reason) => {
            Some(reason.clone())
        }
        SetupError::MissingAuthentication => Some("it asks for a user and a password".into()),
        _ => None,
    }
}

/// The innermost error: what the driver wraps around it is about the driver.
fn root_cause(error: &NewSessionError) -> String {
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
