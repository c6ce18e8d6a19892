//! What operators and orchestrators ask: `/livez`, `/readyz`, `/metrics`, `/version`, `/v1/topology`,
//! `/v1/partitions`.

use std::fmt::Write;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{
    App,
    status::{PartitionStatus, TURN_WITHIN},
};

/// Whether the loops turn; never depends on the log or the store, or a broker's outage would restart every
/// pod.
pub(super) async fn livez(State(app): State<App>) -> Response {
    let stuck = app.status.stuck(TURN_WITHIN);
    match stuck.is_empty() {
        true => (StatusCode::OK, Json(json!({"live": true}))).into_response(),
        false => {
            (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"live": false, "stuck": stuck}))).into_response()
        }
    }
}

pub(super) async fn readyz(State(app): State<App>) -> Response {
    let missing = app.status.missing();
    let status = if missing.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let list: Vec<Value> = missing.iter().map(|(part, why)| json!({"part": part, "message": why})).collect();
    (status, Json(json!({"ready": missing.is_empty(), "missing": list}))).into_response()
}

pub(super) async fn version() -> Json<Value> {
    Json(json!({"name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION")}))
}

pub(super) async fn topology(State(app): State<App>) -> Json<Value> {
    let topics: Vec<Value> = app
        .topology
        .topics()
        .map(|(topic, spec)| json!({"name": topic.name(), "partitions": spec.partitions}))
        .collect();
    Json(json!({"partitioner": "murmur2", "topics": topics}))
}

pub(super) async fn partitions(State(app): State<App>) -> Json<Value> {
    let partitions: Vec<Value> = app.status.partitions().iter().map(partition_json).collect();
    Json(json!({"partitions": partitions}))
}

fn partition_json(status: &PartitionStatus) -> Value {
    json!({
        "processor": status.processor.name(),
        "topic": status.processor.input().name(),
        "partition": status.partition,
        "phase": status.phase,
        "end": status.end,
        "committed": status.committed,
        "stored": status.stored,
        "lag": status.lag(),
        "lease_clock_ms": status.lease_clock_ms,
        "brake": {"held": status.brake_held},
        "users": status.users,
        "sessions": status.sessions,
        "keys": status.keys,
        "halted": status.halted,
    })
}

/// The recorder's figures, and the partitions' as of now.
pub(super) async fn metrics(State(app): State<App>) -> Response {
    let mut text = app.metrics.as_ref().map_or_else(String::new, |metrics| metrics.render());
    partition_gauges(&app.status.partitions(), &mut text);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

fn partition_gauges(partitions: &[PartitionStatus], text: &mut String) {
    type Gauge = (&'static str, &'static str, fn(&PartitionStatus) -> Option<i64>);
    const GAUGES: &[Gauge] = &[
        ("lag", "Records of the input that are not published yet", PartitionStatus::lag),
        ("unstored", "Records that are published and not yet in the store", PartitionStatus::unstored),
        ("lease_clock_ms", "The partition's lease clock", |status| Some(status.lease_clock_ms)),
        ("brake_held", "Leases that are due and held by the brake", |status| Some(status.brake_held as i64)),
        ("users", "Users in memory", |status| Some(status.users as i64)),
        ("sessions", "Live sessions", |status| Some(status.sessions as i64)),
        ("keys", "Conversations, inbox buckets or cursors in memory", |status| Some(status.keys as i64)),
        ("halted", "1 while the partition is halted", |status| Some(i64::from(status.halted.is_some()))),
    ];
    for (name, help, value) in GAUGES {
        let name = format!("heartline_partition_{name}");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
        for status in partitions {
            let (processor, partition) = (status.processor, status.partition);
            // What is not known has no sample: 0 would say that all is well.
            let Some(value) = value(status) else { continue };
            let _ = writeln!(text, "{name}{{processor=\"{processor}\",partition=\"{partition}\"}} {value}");
        }
    }
}
