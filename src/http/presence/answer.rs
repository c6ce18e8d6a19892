//! From a list of users to queries, and from rows to the answer: no I/O.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    id::{bucket_of, check_id},
    limits::SESSIONS_PER_USER_MAX,
    log::PartitionId,
    store::{Query, Row, Select},
    table::{
        Table, Value,
        presence::PRESENCE,
        progress::{PROGRESS, PROGRESS_ENTRY},
    },
    topology::{ProcessorKind, Topic, Topology},
};

/// Milliseconds after which what was read counts as stale.
pub const STALE_AFTER_MS: i64 = 10_000;
/// The clustering value of a user's own row.
const USER_ROW: &str = "";

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// In the order of the answer; duplicates are answered as often.
    pub users: Vec<String>,
    pub sessions: bool,
}

/// What has to be read to answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub presence: Vec<PlannedQuery>,
    pub progress: Vec<(PartitionId, Query)>,
}

/// A query and the users whose rows it brings.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedQuery {
    pub users: Vec<String>,
    pub query: Query,
}

/// What was read so far.
#[derive(Debug, Default)]
pub struct Readings {
    rows: BTreeMap<String, Vec<Row>>,
    unreadable: BTreeMap<String, String>,
    as_of: BTreeMap<PartitionId, Result<Option<i64>, String>>,
}

#[derive(Debug, Serialize)]
pub struct Answer {
    pub users: Vec<UserAnswer>,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct UserAnswer {
    pub user: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_text: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activity: Option<Box<str>>,
    /// Record time of the last beacon whose effects are in the store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<i64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions: Option<Vec<SessionAnswer>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ElementError>,
}

#[derive(Debug, Clone, Serialize)]
pub struct SessionAnswer {
    pub session: Box<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Box<RawValue>>,
}

#[derive(Debug, Clone, Serialize)]
pub struct ElementError {
    pub code: &'static str,
    pub message: String,
}

/// The partition of `heartbeats` that decides about a user.
#[must_use]
pub fn partition_of_user(topology: &Topology, user: &str) -> PartitionId {
    topology.place(Topic::Heartbeats, user.as_bytes())
}

/// Reads what is known of a partition.
#[must_use]
pub fn progress_query(partition: PartitionId) -> Query {
    let topic = Value::text(Topic::Heartbeats.name());
    Query {
        table: &PROGRESS,
        partition: Arc::new([topic, Value::Int(partition as i32)]),
        select: Select::Keys(vec![Box::new([Value::text(PROGRESS_ENTRY)])]),
    }
}

/// `as_of` of a partition, from the rows of [`progress_query`].
#[must_use]
pub fn as_of(rows: &[Row]) -> Option<i64> {
    cell(&PROGRESS, rows.first()?, "as_of_ms").as_big_int()
}

impl Question {
    /// Every user is read once. Without sessions, all users of a bucket are one query.
    #[must_use]
    pub fn plan(&self, topology: &Topology) -> Plan {
        let buckets = topology.buckets(ProcessorKind::Presence);
        let mut by_bucket: BTreeMap<u32, BTreeSet<&str>> = BTreeMap::new();
        let mut partitions = BTreeSet::new();
        for user in self.users.iter().filter(|user| check_id(user).is_ok()) {
            by_bucket.entry(bucket_of(user.as_bytes(), buckets)).or_default().insert(user);
            partitions.insert(partition_of_user(topology, user));
        }
        let query = |bucket: u32, select| Query {
            table: &PRESENCE,
            partition: Arc::new([Value::Int(bucket as i32)]),
            select,
        };
        let mut presence = Vec::new();
        for (bucket, users) in by_bucket {
            if self.sessions {
                presence.extend(users.iter().map(|user| PlannedQuery {
                    users: vec![(*user).to_owned()],
                    query: query(bucket, user_slice(user)),
                }));
            } else {
                let key =
                    |user: &&str| -> Box<[Value]> { Box::new([Value::text(user), Value::text(USER_ROW)]) };
                presence.push(PlannedQuery {
                    query: query(bucket, Select::Keys(users.iter().map(key).collect())),
                    users: users.into_iter().map(str::to_owned).collect(),
                });
            }
        }
        let progress =
            partitions.into_iter().map(|partition| (partition, progress_query(partition))).collect();
        Plan { presence, progress }
    }

    /// The answer, given what was read.
    #[must_use]
    pub fn answer(&self, topology: &Topology, readings: &Readings, now_ms: i64) -> Answer {
        let answer = |user: &String| self.user_answer(topology, readings, now_ms, user);
        Answer { users: self.users.iter().map(answer).collect() }
    }

    fn user_answer(&self, topology: &Topology, readings: &Readings, now_ms: i64, user: &str) -> UserAnswer {
        let failed = |code, message: String| UserAnswer {
            user: user.to_owned(),
            error: Some(ElementError { code, message }),
            ..UserAnswer::default()
        };
        if let Err(error) = check_id(user) {
            return failed("invalid_id", error.to_string());
        }
        let as_of = match readings.as_of.get(&partition_of_user(topology, user)) {
            Some(Ok(as_of)) => *as_of,
            Some(Err(message)) => return failed("unreadable", message.clone()),
            None => None,
        };
        if let Some(message) = readings.unreadable.get(user) {
            return failed("unreadable", message.clone());
        }
        let rows = readings.rows.get(user).map_or(&[][..], Vec::as_slice);
        let (own, sessions): (Vec<&Row>, Vec<&Row>) =
            rows.iter().partition(|row| row.clustering.get(1).and_then(Value::as_text) == Some(USER_ROW));
        let mut answer = own.first().map_or_else(UserAnswer::default, |row| user_fields(row));
        answer.user = user.to_owned();
        answer.status.get_or_insert_with(|| "unknown".into());
        answer.as_of = as_of;
        answer.stale = as_of.is_none_or(|as_of| now_ms.saturating_sub(as_of) > STALE_AFTER_MS);
        answer.sessions = self.sessions.then(|| sessions.into_iter().filter_map(session_fields).collect());
        answer
    }
}

impl Readings {
    /// Takes the rows of a planned query.
    pub fn rows(&mut self, rows: Vec<Row>) {
        for row in rows {
            if let Some(user) = row.clustering.first().and_then(Value::as_text) {
                self.rows.entry(user.to_owned()).or_default().push(row);
            }
        }
    }

    /// A planned query failed.
    pub fn unreadable(&mut self, users: Vec<String>, message: &str) {
        self.unreadable.extend(users.into_iter().map(|user| (user, message.to_owned())));
    }

    pub fn as_of(&mut self, partition: PartitionId, as_of: Result<Option<i64>, String>) {
        self.as_of.insert(partition, as_of);
    }
}

fn user_slice(user: &str) -> Select {
    let limit = SESSIONS_PER_USER_MAX as u32 + 1;
    Select::Slice { prefix: Box::new([Value::text(user)]), after: None, descending: false, limit }
}

fn user_fields(row: &Row) -> UserAnswer {
    let text = |name| cell(&PRESENCE, row, name).as_text().map(Box::from);
    let status: Option<Box<str>> = text("status");
    // What belongs to a status that is not public is not public either.
    let public = status.as_deref().is_some_and(|status| status != "offline");
    UserAnswer {
        version: cell(&PRESENCE, row, "version").as_big_int(),
        // 0 is the row's word for a user who has chosen a status and was never seen.
        last_seen: cell(&PRESENCE, row, "last_seen_ms").as_big_int().filter(|seen_ms| *seen_ms > 0),
        status_text: text("status_text").filter(|_| public),
        activity: text("activity").filter(|_| public),
        status,
        ..UserAnswer::default()
    }
}

fn session_fields(row: &Row) -> Option<SessionAnswer> {
    let text = |name| cell(&PRESENCE, row, name).as_text().map(Box::from);
    let metadata = cell(&PRESENCE, row, "metadata").as_text();
    Some(SessionAnswer {
        session: row.clustering.get(1)?.as_text()?.into(),
        device: text("device"),
        gateway: text("gateway"),
        status: text("status"),
        metadata: metadata.and_then(|text| RawValue::from_string(text.to_owned()).ok()),
    })
}

/// The cell of a column by name; null if the row is shorter than its table.
fn cell<'r>(table: &Table, row: &'r Row, name: &str) -> &'r Value {
    let index = table.cells.iter().position(|column| column.name == name);
    index.and_then(|index| row.cells.get(index)).unwrap_or(&Value::Null)
}

#[cfg(test)]
mod tests;
