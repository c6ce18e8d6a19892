//! `GET /v1/topics/{topic}/records?from=start|end&user=`: any topic's records as Server-Sent Events, for
//! people and tools that have no access to the log itself. An addition to the interface; every reader has a
//! tail of its own.

use std::convert::Infallible;

use axum::{
    body::Bytes,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use futures_util::stream;
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::{Instant, Interval, interval_at},
};

use super::{
    App,
    error::ApiError,
    events::{resume_point, too_many_tails},
    positions::Positions,
    query, sse,
};
use crate::{
    client::{Tail, TailFrom},
    topology::Topic,
};

pub mod line;

use line::{Line, mentions};

pub(super) async fn get(
    State(app): State<App>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let mut parameters = query::Parameters::parse(query.as_deref(), &["from", "user"])?;
    let topic = Topic::from_name(&name).filter(|topic| app.topology.topic(*topic).is_some());
    let topic = topic.ok_or_else(|| {
        let names: Vec<&str> = app.topology.topics().map(|(topic, _)| topic.name()).collect();
        let message = format!("there is no topic '{name}'; there are: {}", names.join(", "));
        ApiError::new(StatusCode::NOT_FOUND, "no_topic", message)
    })?;
    let from = match (resume_point(&headers)?, parameters.all("from").last().map(String::as_str)) {
        (Some(positions), _) => TailFrom::Positions(positions.iter().collect()),
        (None, None | Some("end")) => TailFrom::End,
        (None, Some("start")) => TailFrom::Start,
        (None, Some(other)) => {
            let message = format!("from must be start or end, not '{other}'");
            return Err(ApiError::bad_request("bad_query", message));
        }
    };
    let permit = app.own_tails.0.clone().try_acquire_owned().map_err(|_| too_many_tails())?;
    let tail = app.topics.tail(topic, from).await?;
    let positions = tail.positions.iter().copied().collect();
    let first = Instant::now() + sse::KEEP_ALIVE_EVERY;
    let reader = Reader {
        topic,
        tail,
        positions,
        user: parameters.all("user").pop(),
        shutdown: app.shutdown.clone(),
        keep_alive: interval_at(first, sse::KEEP_ALIVE_EVERY),
        began: false,
        ended: false,
        _permit: permit,
    };
    Ok(sse::response(stream::unfold(reader, |mut reader| async move {
        let frame = reader.next().await?;
        Some((Ok::<_, Infallible>(frame), reader))
    })))
}

struct Reader {
    topic: Topic,
    tail: Tail,
    positions: Positions,
    user: Option<String>,
    shutdown: watch::Receiver<bool>,
    keep_alive: Interval,
    began: bool,
    ended: bool,
    _permit: OwnedSemaphorePermit,
}

impl Reader {
    async fn next(&mut self) -> Option<Bytes> {
        if !std::mem::replace(&mut self.began, true) {
            return Some(sse::comment("reading", Some(&self.positions.to_string())));
        }
        while !self.ended {
            tokio::select! {
                _ = self.shutdown.wait_for(|down| *down) => return None,
                _ = self.keep_alive.tick() => {
                    return Some(sse::comment("keep-alive", Some(&self.positions.to_string())));
                }
                record = self.tail.next() => match record {
                    Some(Ok(record)) => {
                        self.positions.pass(record.partition, record.offset);
                        if self.user.as_ref().is_none_or(|user| mentions(self.topic, &record, user)) {
                            let data = Line::of(&record).to_json();
                            let id = Some(self.positions.to_string());
                            return Some(sse::Event { id, event: "record".to_owned(), data }.encode());
                        }
                    }
                    Some(Err(error)) => {
                        self.ended = true;
                        return Some(sse::failure(&error.message));
                    }
                    None => self.ended = true,
                },
            }
        }
        None
    }
}
