//! `POST /v1/heartbeats`, `/v1/sends` and `/v1/receipts`: records in over HTTP, answered once the log has
//! them durably.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{self, MethodRouter},
};
use serde::Serialize;
use tokio::sync::Semaphore;

use super::{App, error::ApiError};
use crate::{
    log::OutRecord,
    record::{Reason, Refusal},
    topology::{Topic, Topology},
};

mod body;
mod place;

pub use place::{OPEN_TOPICS, Placed, place};

/// Kilobytes of records that wait for the log, of all requests; above, a request is answered 429.
const WAITING_KIB_MAX: usize = 64 * 1024;
/// A log that has not answered for so long is away.
const APPEND_WITHIN: Duration = Duration::from_secs(30);

/// Records that one request may become: a `gateway_gone` is one for every partition.
const RECORDS_MAX: usize = 100_000;

/// Bounds what waits for the log.
#[derive(Debug, Clone)]
pub(super) struct Waiting(pub Arc<Semaphore>);

impl Default for Waiting {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(WAITING_KIB_MAX)))
    }
}

/// The answer to an ingest: how many records were taken, and what was not.
#[derive(Debug, Default, Serialize)]
pub struct Accepted {
    /// Records of which at least a part was taken.
    pub accepted: usize,
    pub refused: Vec<Refused>,
}

/// A record, or a part of one, that was not taken.
#[derive(Debug, Serialize)]
pub struct Refused {
    /// The record's place in the request.
    pub index: usize,
    pub reason: &'static str,
    pub detail: String,
}

/// Takes records into `topic`.
pub(super) fn into(topic: Topic) -> MethodRouter<App> {
    routing::post(move |State(app): State<App>, headers: HeaderMap, body: Bytes| async move {
        take(&app, topic, &headers, &body).await
    })
}

async fn take(app: &App, topic: Topic, headers: &HeaderMap, body: &Bytes) -> Result<Response, ApiError> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let parts = body::read(content_type, body)?;
    let parts = parts.into_iter().map(|part| body.slice_ref(part));
    let (records, answer) = sort_out(&app.topology, topic, parts);
    metrics::counter!("heartline_http_ingest_accepted_total").increment(answer.accepted as u64);
    metrics::counter!("heartline_http_ingest_refused_total").increment(answer.refused.len() as u64);
    append(app, records).await?;
    Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
}

/// Which records are appended, and what is said about each.
fn sort_out(
    topology: &Topology,
    topic: Topic,
    parts: impl Iterator<Item = Bytes>,
) -> (Vec<OutRecord>, Accepted) {
    let mut answer = Accepted::default();
    let mut records = Vec::new();
    for (index, value) in parts.enumerate() {
        let placed = match records.len() > RECORDS_MAX {
            true => Err(Refusal::new(
                Reason::Oversize,
                format!("the request becomes more than {RECORDS_MAX} records; send several requests"),
            )),
            false => place(topology, topic, &value),
        };
        match placed {
            Ok(placed) => {
                answer.accepted += usize::from(!placed.records.is_empty());
                records.extend(placed.records);
                answer.refused.extend(placed.refused.into_iter().map(|part| Refused {
                    index,
                    reason: part.refusal.reason.name(),
                    detail: format!("[{}]: {}", part.index, part.refusal.message),
                }));
            }
            Err(refusal) => {
                let (reason, detail) = (refusal.reason.name(), refusal.message);
                answer.refused.push(Refused { index, reason, detail });
            }
        }
    }
    (records, answer)
}

async fn append(app: &App, records: Vec<OutRecord>) -> Result<(), ApiError> {
    if records.is_empty() {
        return Ok(());
    }
    let bytes: usize = records.iter().map(OutRecord::size_bytes).sum();
    let kib = u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX);
    let Ok(permit) = app.waiting.0.clone().try_acquire_many_owned(kib) else {
        return Err(ApiError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "log_behind",
            "the log is behind: too much waits to be written; try again in a second",
        ));
    };
    // A task of its own: a client that hangs up must not cancel what is half written, nor give back its share
    // of the bound early.
    let topics = app.topics.clone();
    let appending = tokio::spawn(async move {
        let result = tokio::time::timeout(APPEND_WITHIN, topics.append(records)).await;
        drop(permit);
        result
    });
    match appending.await {
        Ok(Ok(result)) => Ok(result?),
        Ok(Err(_)) => Err(ApiError::unavailable(
            "log_away",
            "the log has not confirmed the records in time; some may be there, send them again",
        )),
        Err(_) => Err(ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "appending ended unexpectedly; send the records again",
        )),
    }
}
