//! `GET` and `POST /v1/events`: transitions as they are published, as Server-Sent Events.
//!
//! All listeners share one tail of `presence` ([`hub`]); who resumes with `Last-Event-ID` has one of its own
//! until it has caught up ([`handover`]). With `snapshot`, what is in the store is told first:
//!
//! 1. begin to listen, so that nothing that is published from here on is missed;
//! 2. wait until the store holds all that was published before and is not remembered by the hub;
//! 3. read the store, tell it, then what the hub remembers, then what comes: of each user only newer
//!    versions.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    body::Bytes,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use futures_util::stream;
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::{
    App,
    error::ApiError,
    now_ms,
    positions::Positions,
    presence::{
        self,
        answer::{Question, as_of, partition_of_user, progress_query},
    },
    query, sse,
};
use crate::{
    client::TailFrom,
    id::check_id,
    log::{Bounds, Offset},
    topology::Topic,
};

pub mod feed;
pub mod handover;
pub mod hub;

use feed::{Feed, OwnTail};
use handover::Handover;
use hub::Subscription;

/// Tails of their own that listeners may have at a time.
const OWN_TAILS_MAX: usize = 256;
/// How long a snapshot waits for the store to hold what was published before.
const CURRENT_WITHIN: Duration = Duration::from_secs(10);
const CURRENT_EVERY: Duration = Duration::from_millis(100);

/// Bounds the tails that single listeners have.
#[derive(Debug, Clone)]
pub(super) struct OwnTails(pub Arc<Semaphore>);

impl Default for OwnTails {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(OWN_TAILS_MAX)))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawListen {
    #[serde(default)]
    users: Vec<String>,
    #[serde(default)]
    snapshot: bool,
}

pub(super) async fn get(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let mut parameters = query::Parameters::parse(query.as_deref(), &["user"])?;
    let listen = RawListen { users: parameters.all("user"), snapshot: false };
    open(&app, listen, &headers).await
}

pub(super) async fn post(
    State(app): State<App>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    let listen = if body.trim_ascii().is_empty() { RawListen::default() } else { query::json_body(&body)? };
    open(&app, listen, &headers).await
}

async fn open(app: &App, listen: RawListen, headers: &HeaderMap) -> Result<Response, ApiError> {
    presence::check_count(&listen.users)?;
    for user in &listen.users {
        check_id(user).map_err(|error| ApiError::bad_request("invalid_id", format!("'{user}': {error}")))?;
    }
    let resume = resume_point(headers)?;
    if listen.snapshot && listen.users.is_empty() {
        let message = "a snapshot needs users, since there is no list of all of them that it could be made \
                       from: name those whose state is wanted first, or leave `snapshot` out and follow \
                       everybody from now on";
        return Err(ApiError::bad_request("no_users", message));
    }
    let subscription = app.hub.subscribe().await?;
    let partitions: BTreeSet<u32> =
        listen.users.iter().map(|user| app.topology.place(Topic::Presence, user.as_bytes())).collect();
    let concerned = |partition| listen.users.is_empty() || partitions.contains(&partition);
    let shared = subscription.positions.clone().only(concerned);
    let from = match resume {
        Some(asked) => resumed(app, asked.only(concerned), &shared, listen.snapshot).await?,
        None => None,
    };
    let is_resumed = from.is_some();
    let mut feed = match from {
        Some(from) => {
            let positions = from.or(&shared);
            let own = own_tail(app, &positions, &shared).await?;
            let mut feed = Feed::new(subscription, positions, app.shutdown.clone());
            feed.own = own;
            feed
        }
        None => Feed::new(subscription, shared, app.shutdown.clone()),
    };
    if !listen.users.is_empty() {
        feed.users = Some(listen.users.iter().cloned().collect());
    }
    if listen.snapshot && !is_resumed {
        tell_snapshot(app, &mut feed, listen.users).await?;
    } else {
        feed.frames.push_back(sse::comment("listening", Some(&feed.positions.to_string())));
    }
    Ok(sse::response(stream::unfold(feed, |mut feed| async move {
        let frame = feed.next().await?;
        Some((Ok::<_, Infallible>(frame), feed))
    })))
}

/// `Last-Event-ID`, if there is one.
pub(super) fn resume_point(headers: &HeaderMap) -> Result<Option<Positions>, ApiError> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let positions = value.to_str().ok().filter(|text| !text.is_empty()).map(str::parse::<Positions>);
    match positions {
        None => Ok(None),
        Some(Ok(positions)) => Ok(Some(positions)),
        Some(Err(_)) => Err(ApiError::bad_request(
            "bad_event_id",
            "Last-Event-ID is none of ours; send the last id: as it came, or leave it out to begin now",
        )),
    }
}

/// Where a listener goes on; `None` where there is a hole before, which the snapshot that it asked for fills.
///
/// Who was further than the log is was so in another one, which had the topic's name before: it goes on at
/// the end, or it would hear nothing until this log is as long.
///
/// # Errors
/// 410 for who was where the log no longer is and asked for no snapshot.
async fn resumed(
    app: &App,
    asked: Positions,
    shared: &Positions,
    snapshot: bool,
) -> Result<Option<Positions>, ApiError> {
    if asked.are_within(shared) && !asked.are_behind(shared) {
        return Ok(Some(asked));
    }
    // The shared tail may be a little behind what another pod has told.
    let bounds = app.topics.bounds(Topic::Presence).await?;
    let edges = |edge: fn(&Bounds) -> Offset| -> Positions {
        bounds.iter().map(|(partition, bounds)| (*partition, edge(bounds))).collect()
    };
    let from = asked.clone().cut_to(&edges(|bounds| bounds.end));
    let is_gone = from.are_behind(&edges(|bounds| bounds.first));
    if snapshot {
        return Ok((!is_gone && !from.are_behind(&asked)).then_some(from));
    }
    if is_gone {
        let message = "the topic no longer has all that followed Last-Event-ID: its retention has let it go; \
                       ask for a snapshot of the users that you follow, or leave Last-Event-ID out to hear \
                       what comes from now on";
        return Err(ApiError::new(StatusCode::GONE, "position_gone", message.to_owned()));
    }
    Ok(Some(from))
}

/// A tail from where the listener was, if that is behind the shared one.
async fn own_tail(app: &App, from: &Positions, shared: &Positions) -> Result<Option<OwnTail>, ApiError> {
    let handover = Handover::new(from, shared);
    if handover.is_finished() {
        return Ok(None);
    }
    let permit = app.own_tails.0.clone().try_acquire_owned().map_err(|_| too_many_tails())?;
    let tail = app.topics.tail(Topic::Presence, TailFrom::Positions(from.iter().collect())).await?;
    Ok(Some(OwnTail { tail, handover, permit }))
}

pub(super) fn too_many_tails() -> ApiError {
    let message = format!("{OWN_TAILS_MAX} readers are catching up already; try again in a second");
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message)
}

/// Puts the present state before everything else. These frames carry no id: who is cut off in their midst has
/// to begin anew.
async fn tell_snapshot(app: &App, feed: &mut Feed, users: Vec<String>) -> Result<(), ApiError> {
    store_is_current(app, &feed.subscription, &users).await?;
    let question = Question { users, sessions: false };
    let readings = presence::read(&*app.store, &app.topology, &question).await;
    let answer = question.answer(&app.topology, &readings, now_ms());
    for user in answer.users {
        let told = user.version.and_then(|version| u64::try_from(version).ok()).unwrap_or_default();
        if let Some(error) = user.error {
            return Err(ApiError::unavailable("store_away", format!("{}: {}", user.user, error.message)));
        }
        let data = serde_json::to_string(&user).map_err(|error| {
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", error.to_string())
        })?;
        feed.frames.push_back(sse::Event { id: None, event: "snapshot".to_owned(), data }.encode());
        feed.told.insert(user.user, told);
    }
    let recent = std::mem::take(&mut feed.subscription.recent);
    let wanted = recent.iter().filter(|transition| feed.wants(transition));
    let frames: Vec<Bytes> = wanted.filter_map(|transition| feed::frame(transition, None)).collect();
    feed.frames.extend(frames);
    feed.frames.push_back(sse::comment("listening", Some(&feed.positions.to_string())));
    Ok(())
}

/// Waits until the store holds every transition of these users that the hub neither remembers nor will bring.
async fn store_is_current(app: &App, subscription: &Subscription, users: &[String]) -> Result<(), ApiError> {
    let began = Instant::now();
    let partitions: BTreeSet<u32> = users.iter().map(|user| partition_of_user(&app.topology, user)).collect();
    for partition in partitions {
        let due_ms = subscription.older_than_recent_ms(partition);
        loop {
            let rows = app.store.read(progress_query(partition)).await;
            let rows = rows.map_err(|error| ApiError::unavailable("store_away", error.message))?;
            if as_of(&rows).is_some_and(|as_of| as_of > due_ms) {
                break;
            }
            if began.elapsed() > CURRENT_WITHIN {
                return Err(ApiError::unavailable(
                    "stale",
                    format!(
                        "the store does not keep up with partition {partition} of heartbeats, so a snapshot \
                         would have a hole; look at /v1/partitions of its owner"
                    ),
                ));
            }
            tokio::time::sleep(CURRENT_EVERY).await;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
