//! `GET /v1/presence` and `POST /v1/presence/query`: reads by bucket, answered user by user.

use axum::{
    Json,
    body::Bytes,
    extract::{RawQuery, State},
};
use futures_util::{StreamExt, stream};
use serde::Deserialize;

use super::{App, error::ApiError, now_ms, query};
use crate::{client::StoreClient, limits::READS_AT_ONCE, topology::Topology};

pub mod answer;

use answer::{Answer, Question, Readings, as_of};

/// Users of one request.
pub const USERS_MAX: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawQuestion {
    users: Vec<String>,
    #[serde(default)]
    sessions: bool,
}

pub(super) async fn get(State(app): State<App>, RawQuery(query): RawQuery) -> Result<Json<Answer>, ApiError> {
    let mut parameters = query::Parameters::parse(query.as_deref(), &["user", "sessions"])?;
    let question = Question { users: parameters.all("user"), sessions: parameters.flag("sessions")? };
    ask(&app, question).await
}

pub(super) async fn post(State(app): State<App>, body: Bytes) -> Result<Json<Answer>, ApiError> {
    let RawQuestion { users, sessions } = query::json_body(&body)?;
    ask(&app, Question { users, sessions }).await
}

async fn ask(app: &App, question: Question) -> Result<Json<Answer>, ApiError> {
    check_count(&question.users)?;
    if question.users.is_empty() {
        return Err(ApiError::bad_request("no_users", "name at least one user, such as ?user=alice"));
    }
    let readings = read(&*app.store, &app.topology, &question).await;
    Ok(Json(question.answer(&app.topology, &readings, now_ms())))
}

pub(super) fn check_count(users: &[String]) -> Result<(), ApiError> {
    match users.len() {
        0..=USERS_MAX => Ok(()),
        count => {
            let message = format!("at most {USERS_MAX} users at a time, these are {count}; ask in parts");
            Err(ApiError::bad_request("too_many_users", message))
        }
    }
}

/// Reads what the question needs. `as_of` is read before the rows, which are then at least as new as it says.
pub async fn read(store: &dyn StoreClient, topology: &Topology, question: &Question) -> Readings {
    let plan = question.plan(topology);
    let mut readings = Readings::default();
    let mut progress = stream::iter(plan.progress)
        .map(|(partition, query)| async move { (partition, store.read(query).await) })
        .buffer_unordered(READS_AT_ONCE);
    while let Some((partition, result)) = progress.next().await {
        readings.as_of(partition, result.map(|rows| as_of(&rows)).map_err(|error| error.message));
    }
    let mut presence = stream::iter(plan.presence)
        .map(|planned| async move { (planned.users, store.read(planned.query).await) })
        .buffer_unordered(READS_AT_ONCE);
    while let Some((users, result)) = presence.next().await {
        match result {
            Ok(rows) => readings.rows(rows),
            Err(error) => readings.unreadable(users, &error.message),
        }
    }
    readings
}
