//! Requests and answers of the timeline.

use axum::{
    Json, Router,
    extract::{Path, RawQuery, State, rejection::PathRejection},
    routing::get,
};

use super::{
    ReadError, Timeline,
    cursors::CursorsPage,
    history::{HistoryPage, Range, conversation_name},
    members::MembersPage,
    outcome::Outcome,
    sync::SyncPage,
};
use crate::{
    http::{App, error::ApiError, query::Parameters},
    id::{check_id, parse_conversation},
};

type Answer<T> = Result<Json<T>, ApiError>;
type Ids<T> = Result<Path<T>, PathRejection>;

pub fn routes() -> Router<App> {
    Router::new()
        .route("/v1/sync/{member}", get(sync))
        .route("/v1/history/group/{id}", get(group_history))
        .route("/v1/history/direct/{a}/{b}", get(direct_history))
        .route("/v1/sends/{sender}/{client_id}", get(outcome))
        .route("/v1/members/group/{id}", get(members))
        .route("/v1/cursors/{user}", get(cursors))
}

async fn sync(State(app): State<App>, member: Ids<String>, RawQuery(query): RawQuery) -> Answer<SyncPage> {
    let mut parameters = Parameters::parse(query.as_deref(), &["after", "count"])?;
    let Path(member) = member?;
    check(&member)?;
    let (after, count) = (parameters.number("after")?.unwrap_or(0), parameters.count()?);
    Ok(Json(app.timeline().sync(&member, after, count).await?))
}

async fn group_history(
    State(app): State<App>,
    id: Ids<String>,
    RawQuery(query): RawQuery,
) -> Answer<HistoryPage> {
    let Path(id) = id?;
    history(&app, &format!("group/{id}"), query.as_deref()).await
}

async fn direct_history(
    State(app): State<App>,
    users: Ids<(String, String)>,
    RawQuery(query): RawQuery,
) -> Answer<HistoryPage> {
    let Path((a, b)) = users?;
    history(&app, &format!("direct/{a}/{b}"), query.as_deref()).await
}

async fn history(app: &App, conversation: &str, query: Option<&str>) -> Answer<HistoryPage> {
    let mut parameters = Parameters::parse(query, &["after", "before", "count"])?;
    let conversation = conversation_name(conversation)
        .map_err(|error| ApiError::bad_request("invalid_id", format!("'{conversation}': {error}")))?;
    let range = match (parameters.number("after")?, parameters.number("before")?) {
        (Some(_), Some(_)) => {
            let message = "after and before exclude each other; give one, or none for the last messages";
            return Err(ApiError::bad_request("bad_query", message));
        }
        (Some(after), None) => Range::After(after),
        (None, Some(before)) => Range::Before(before),
        (None, None) => Range::Newest,
    };
    let count = parameters.count()?;
    Ok(Json(app.timeline().history(&conversation, range, count).await?))
}

async fn outcome(
    State(app): State<App>,
    ids: Ids<(String, String)>,
    RawQuery(query): RawQuery,
) -> Answer<Outcome> {
    let mut parameters = Parameters::parse(query.as_deref(), &["conversation"])?;
    let Path((sender, client_id)) = ids?;
    check(&sender)?;
    check(&client_id)?;
    let conversation = parameters.last("conversation").ok_or_else(|| {
        let message = "name the conversation it was sent to, such as ?conversation=group/team";
        ApiError::bad_request("bad_query", message)
    })?;
    check_conversation(&conversation)?;
    Ok(Json(app.timeline().outcome(&conversation, &sender, &client_id).await?))
}

async fn members(State(app): State<App>, id: Ids<String>, RawQuery(query): RawQuery) -> Answer<MembersPage> {
    let mut parameters = Parameters::parse(query.as_deref(), &["after", "count"])?;
    let Path(id) = id?;
    check(&id)?;
    let after = parameters.last("after").unwrap_or_default();
    if !after.is_empty() {
        check(&after)?;
    }
    let count = parameters.count()?;
    Ok(Json(app.timeline().members(&format!("group/{id}"), &after, count).await?))
}

async fn cursors(
    State(app): State<App>,
    user: Ids<String>,
    RawQuery(query): RawQuery,
) -> Answer<CursorsPage> {
    let mut parameters = Parameters::parse(query.as_deref(), &["after"])?;
    let Path(user) = user?;
    check(&user)?;
    let after = parameters.last("after").unwrap_or_default();
    if !after.is_empty() {
        check_conversation(&after)?;
    }
    Ok(Json(app.timeline().cursors(&user, &after).await?))
}

fn check(id: &str) -> Result<(), ApiError> {
    check_id(id).map_err(|error| ApiError::bad_request("invalid_id", format!("'{id}': {error}")))
}

fn check_conversation(text: &str) -> Result<(), ApiError> {
    let checked = parse_conversation(text);
    checked.map_err(|error| ApiError::bad_request("invalid_id", format!("'{text}': {error}")))?;
    Ok(())
}

impl App {
    fn timeline(&self) -> Timeline<'_> {
        Timeline::new(&*self.store, &self.topology)
    }
}

impl From<ReadError> for ApiError {
    /// What may pass is 503.
    fn from(error: ReadError) -> Self {
        let message = error.to_string();
        match error {
            ReadError::Store(_) | ReadError::Late => Self::unavailable("unreadable", message),
            ReadError::Hole { .. } => Self::unavailable("incomplete", message),
            ReadError::Damaged(_) => {
                Self::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, "damaged", message)
            }
        }
    }
}

impl From<PathRejection> for ApiError {
    fn from(rejection: PathRejection) -> Self {
        Self::bad_request("bad_path", format!("the path cannot be read: {}", rejection.body_text()))
    }
}
