//! HTTP: records in, presence and timelines out, live events, and what operators ask. The same in `up` and in
//! `run`.
//!
//! It stands on [`TopicClient`] and [`StoreClient`] alone and shares nothing with the workers but
//! [`status::Status`].

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    extract::{DefaultBodyLimit, MatchedPath, Request},
    http::StatusCode,
    middleware::{self, Next},
    response::Response,
    routing::{get, post},
};
use metrics_exporter_prometheus::PrometheusHandle;
use secrecy::SecretString;
use tokio::sync::watch;

use crate::{
    client::{StoreClient, TopicClient},
    topology::{Topic, Topology},
};

pub mod client;
pub mod error;
pub mod events;
mod guard;
pub mod ingest;
mod observe;
pub mod positions;
pub mod presence;
mod query;
pub mod records;
pub mod server;
pub mod sse;
pub mod status;
pub mod timeline;

use error::ApiError;
use status::Status;

/// Bytes of a request's body.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// What the requests are answered from.
#[derive(Clone)]
pub struct App {
    topics: Arc<dyn TopicClient>,
    store: Arc<dyn StoreClient>,
    topology: Arc<Topology>,
    status: Status,
    token: Option<SecretString>,
    metrics: Option<PrometheusHandle>,
    shutdown: watch::Receiver<bool>,
    request_within: Duration,
    hub: events::hub::Hub,
    own_tails: events::OwnTails,
    waiting: ingest::Waiting,
}

impl App {
    /// `shutdown` turns true when open requests are to end.
    #[must_use]
    pub fn new(
        topics: Arc<dyn TopicClient>,
        store: Arc<dyn StoreClient>,
        topology: Arc<Topology>,
        status: Status,
        shutdown: watch::Receiver<bool>,
    ) -> Self {
        let hub = events::hub::Hub::new(topics.clone());
        Self {
            topics,
            store,
            topology,
            status,
            token: None,
            metrics: None,
            shutdown,
            request_within: server::REQUEST_WITHIN,
            hub,
            own_tails: events::OwnTails::default(),
            waiting: ingest::Waiting::default(),
        }
    }

    /// How long a request may take to arrive, instead of [`server::REQUEST_WITHIN`].
    #[must_use]
    pub fn with_request_within(mut self, within: Duration) -> Self {
        self.request_within = within;
        self
    }

    /// Every request but `/livez` must carry this token.
    #[must_use]
    pub fn with_token(mut self, token: Option<SecretString>) -> Self {
        self.token = token;
        self
    }

    /// What `/metrics` renders beside the partitions' figures.
    #[must_use]
    pub fn with_metrics(mut self, metrics: Option<PrometheusHandle>) -> Self {
        self.metrics = metrics;
        self
    }
}

/// The interface as a service.
pub fn router(app: App) -> Router {
    Router::new()
        .route("/v1/heartbeats", ingest::into(Topic::Heartbeats))
        .route("/v1/sends", ingest::into(Topic::Sends))
        .route("/v1/receipts", ingest::into(Topic::Receipts))
        .route("/v1/presence", get(presence::get))
        .route("/v1/presence/query", post(presence::post))
        .route("/v1/events", get(events::get).post(events::post))
        .route("/v1/topics/{topic}/records", get(records::get))
        .route("/v1/topology", get(observe::topology))
        .route("/v1/partitions", get(observe::partitions))
        .merge(timeline::routes())
        .route("/livez", get(observe::livez))
        .route("/readyz", get(observe::readyz))
        .route("/metrics", get(observe::metrics))
        .route("/version", get(observe::version))
        .route_layer(middleware::from_fn_with_state(app.clone(), guard::read_body))
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn(guard::refuse_encoding))
        .layer(middleware::from_fn_with_state(app.clone(), guard::check_token))
        .layer(middleware::from_fn(count))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(app)
}

/// Milliseconds since 1970 by this machine's clock; compared with `as_of`, never used to decide about
/// presence.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

async fn not_found(request: Request) -> ApiError {
    let message = format!("there is nothing at {}; see /v1/topology for a start", request.uri().path());
    ApiError::new(StatusCode::NOT_FOUND, "not_found", message)
}

async fn wrong_method(request: Request) -> ApiError {
    let message = format!("{} cannot be asked with {}", request.uri().path(), request.method());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
}

/// Counts requests by route and status: routes are few, paths and queries carry ids.
async fn count(path: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let route = path.map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    let response = next.run(request).await;
    let status = response.status().as_u16().to_string();
    metrics::counter!("heartline_http_requests_total", "route" => route, "status" => status).increment(1);
    response
}

#[cfg(test)]
pub(crate) mod tests;
