//! A log, a store and a fold between them, in one thread.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value as Json;

use crate::{
    effect::{Output, Refresh, RowWrite},
    log::{Header, Offset, OutRecord, RecordRef},
    processor::{
        Checkpoint, Fold, Refreshed, Retention, Setup, Step,
        presence::{Presence, clock::LeaseClock},
    },
    record::beacon::Parameters,
    store::{Change, Query, Row, Select, Statement},
    table::Value,
    topology::{Topic, Topology},
};

pub const BASE_US: i64 = 1_000_000;
/// Record time of the first record, unless a test says otherwise.
pub const START_MS: i64 = 1_760_000_000_000;
pub const GROUP: &str = "heartline.presence";

pub fn setup(partitions: u32, buckets: u32) -> Setup {
    let topology = Arc::new(Topology::uniform(partitions, buckets));
    let retention = Retention::default();
    let (partition, generation, state_bytes_max) = (0, 1, 0);
    Setup {
        topology,
        group: GROUP.into(),
        partition,
        generation,
        retention,
        state_bytes_max,
        large_group: usize::MAX,
    }
}

/// A record of the input.
#[derive(Debug, Clone)]
pub struct Logged {
    pub offset: Offset,
    pub time_ms: i64,
    pub value: Vec<u8>,
    pub headers: Vec<Header>,
}

impl Logged {
    pub fn as_ref(&self) -> RecordRef<'_> {
        RecordRef {
            offset: self.offset,
            time_ms: self.time_ms,
            key: None,
            value: Some(&self.value),
            headers: Some(&self.headers),
        }
    }
}

/// What a store keeps of a row: the timestamp of its last change and its cells, `None` when deleted.
type Cells = (i64, Option<Box<[Value]>>);

/// A last-write-wins store of `presence`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows(pub BTreeMap<(Value, Box<[Value]>), Cells>);

impl Rows {
    pub fn write(&mut self, partition: &[Value], statement: &Statement) {
        let new = match &statement.change {
            Change::Upsert(cells) => Some(cells.clone()),
            Change::Delete => None,
            Change::Statics(_) => panic!("presence has no statics"),
        };
        let place = self.0.entry((partition[0].clone(), statement.clustering.clone()));
        let old = place.or_insert((i64::MIN, None));
        if statement.timestamp_us > old.0 || statement.timestamp_us == old.0 && new.is_none() {
            *old = (statement.timestamp_us, new);
        }
    }

    pub fn read(&self, query: &Query) -> Vec<Row> {
        let Select::Keys(keys) = &query.select else { panic!("the fold reads by key") };
        assert!(keys.len() <= 64);
        keys.iter().filter_map(|key| self.get(&query.partition[0], key)).collect()
    }

    fn get(&self, partition: &Value, key: &[Value]) -> Option<Row> {
        let (_, cells) = self.0.get(&(partition.clone(), key.into()))?;
        Some(Row { clustering: key.into(), cells: cells.clone()? })
    }

    pub fn apply(&mut self, rows: &[RowWrite], refreshes: &[Refresh]) {
        for row in rows {
            self.write(&row.partition, &row.statement);
        }
        for refresh in refreshes {
            let row = self.get(&refresh.partition[0], &refresh.clustering);
            match Presence::refreshed(refresh, row.as_ref()) {
                Refreshed::Write(statement) => self.write(&refresh.partition, &statement),
                Refreshed::Skip => {}
                Refreshed::Restore => panic!("the row is not what the fold believes: {refresh:?}, {row:?}"),
            }
        }
    }

    /// A row's cells by column, of whatever bucket.
    pub fn cells(&self, user: &str, session: &str) -> Option<BTreeMap<&'static str, Value>> {
        let key: Box<[Value]> = [Value::text(user), Value::text(session)].into();
        let (_, (_, cells)) = self.0.iter().find(|((_, other), _)| *other == key)?;
        let columns = crate::table::presence::PRESENCE.cells.iter().map(|column| column.name);
        Some(columns.zip(cells.clone()?).collect())
    }
}

/// Folds one record, fetching what it wants.
pub fn fold(
    presence: &mut Presence,
    record: &Logged,
    rows: &Rows,
    output: &mut Output,
    committed: Offset,
) -> Step {
    output.begin(record.offset, record.offset >= committed);
    let mut read = RecordRef { headers: None, ..record.as_ref() };
    loop {
        let before = (output.rows.len(), output.records.len(), output.refreshes.len());
        let step = presence.fold(&read, output);
        if !matches!(step, Step::Wanting | Step::WantingHeaders) {
            return step;
        }
        assert_eq!(before, (output.rows.len(), output.records.len(), output.refreshes.len()));
        if step == Step::WantingHeaders {
            assert!(read.headers.is_none(), "headers that were read are not wanted");
            read = record.as_ref();
            continue;
        }
        let queries = presence.wanted(&mut std::iter::once(record.as_ref()));
        assert!(!queries.is_empty(), "a fold that wants something names it");
        for query in queries {
            let answer = rows.read(&query);
            presence.load(&query, answer).unwrap();
        }
    }
}

/// A fold whose every record is in the store at once: for rules.
pub struct World {
    pub fold: Presence,
    pub rows: Rows,
    pub log: Vec<Logged>,
    pub published: Vec<OutRecord>,
    pub time_ms: i64,
    pub elapsed_ms: i64,
    pub parameters: Parameters,
    pub incarnation: String,
    pub refreshes: Vec<Refresh>,
    pub row_writes: Vec<RowWrite>,
    pub base_us: i64,
}

impl World {
    pub fn new() -> Self {
        Self::of(1, 1)
    }

    pub fn of(partitions: u32, buckets: u32) -> Self {
        let mut world = Self {
            fold: Presence::new(setup(partitions, buckets), 0, None).unwrap(),
            rows: Rows::default(),
            log: Vec::new(),
            published: Vec::new(),
            time_ms: START_MS,
            elapsed_ms: 0,
            parameters: Parameters::VERSION_1,
            incarnation: "one".to_owned(),
            refreshes: Vec::new(),
            row_writes: Vec::new(),
            base_us: BASE_US,
        };
        world.beacon();
        world
    }

    /// Appends a record, folds it and stores its rows; what it published can be taken.
    pub fn append(&mut self, value: impl Into<Vec<u8>>) -> Step {
        self.append_with(value, Vec::new())
    }

    pub fn append_with(&mut self, value: impl Into<Vec<u8>>, headers: Vec<Header>) -> Step {
        let record =
            Logged { offset: self.log.len() as Offset, time_ms: self.time_ms, value: value.into(), headers };
        let mut output = Output::new(self.base_us);
        self.fold.begin_batch(record.offset as u64);
        let step = fold(&mut self.fold, &record, &self.rows, &mut output, 0);
        self.rows.apply(&output.rows, &output.refreshes);
        self.published.append(&mut output.records);
        self.refreshes = output.refreshes;
        self.row_writes = output.rows;
        self.log.push(record);
        step
    }

    /// A heartbeat with these further fields, such as `"idle_ms":5`.
    pub fn beat(&mut self, user: &str, session: &str, counter: i64, more: &str) -> Step {
        let comma = if more.is_empty() { "" } else { "," };
        let session = format!(r#""user":"{user}","session":"{session}","counter":{counter}"#);
        self.append(format!(r#"{{"v":1,"type":"heartbeat",{session}{comma}{more}}}"#))
    }

    pub fn goodbye(&mut self, user: &str, session: &str, counter: i64, after_ms: i64) -> Step {
        let session = format!(r#""user":"{user}","session":"{session}","counter":{counter}"#);
        self.append(format!(r#"{{"v":1,"type":"goodbye",{session},"after_ms":{after_ms}}}"#))
    }

    pub fn status(&mut self, user: &str, fields: &str) -> Step {
        self.append(format!(r#"{{"v":1,"type":"status","user":"{user}",{fields}}}"#))
    }

    pub fn beacon(&mut self) -> Step {
        let setup = setup(1, 1);
        self.append(Presence::beacon(&setup, &self.incarnation, self.elapsed_ms, &self.parameters))
    }

    /// The log's and the owner's time go on by `ms`, with a beacon every second.
    pub fn pass(&mut self, ms: i64) {
        let mut left = ms;
        while left > 0 {
            let step = left.min(1_000);
            self.time_ms += step;
            self.elapsed_ms += step;
            self.beacon();
            left -= step;
        }
    }

    pub fn clock_ms(&self) -> i64 {
        self.fold.stats().lease_clock_ms
    }

    /// The transitions published since the last call.
    pub fn transitions(&mut self) -> Vec<Json> {
        self.take(Topic::Presence)
    }

    /// The transitions published since the last call, in short: `user version from>to cause`.
    pub fn moves(&mut self) -> Vec<String> {
        let text = |json: &Json, name: &str| json[name].as_str().unwrap_or_default().to_owned();
        let short = |json: &Json| {
            let (user, from, to) = (text(json, "user"), text(json, "from"), text(json, "to"));
            format!("{user} {} {from}>{to} {}", json["version"], text(json, "cause"))
        };
        self.transitions().iter().map(short).collect()
    }

    /// What was published on `sessions` since the last call, in short: `user/session event sessions` or
    /// `user/session event cause`.
    pub fn routes(&mut self) -> Vec<String> {
        let (taken, left) = self.published.drain(..).partition(|record| record.topic == Topic::Sessions);
        self.published = left;
        let short = |record: &OutRecord| {
            let key = String::from_utf8(record.key.clone().unwrap().to_vec()).unwrap();
            let Some(value) = &record.value else {
                let header = |at: usize| {
                    String::from_utf8(record.headers[at].value.clone().unwrap().to_vec()).unwrap()
                };
                return format!("{key} {} {}", header(0), header(1));
            };
            let json: Json = serde_json::from_slice(value).unwrap();
            format!("{key} {} {}", json["event"].as_str().unwrap(), json["sessions"])
        };
        let taken: Vec<OutRecord> = taken;
        taken.iter().map(short).collect()
    }

    pub fn take(&mut self, topic: Topic) -> Vec<Json> {
        let (taken, left) = self.published.drain(..).partition(|record| record.topic == topic);
        self.published = left;
        let taken: Vec<OutRecord> = taken;
        let read =
            |record: &OutRecord| record.value.as_ref().map(|value| serde_json::from_slice(value).unwrap());
        taken.iter().map(|record| read(record).unwrap_or(Json::Null)).collect()
    }

    /// Dead letters published since the last call, as (reason, message).
    pub fn dead_letters(&mut self) -> Vec<(String, String)> {
        let (taken, left) = self.published.drain(..).partition(|record| record.topic == Topic::DeadLetters);
        self.published = left;
        let taken: Vec<OutRecord> = taken;
        let header = |record: &OutRecord, name: &str| {
            let found = record.headers.iter().find(|header| header.name == name).unwrap();
            String::from_utf8(found.value.clone().unwrap().to_vec()).unwrap()
        };
        let read = |record: &OutRecord| {
            (header(record, "heartline.reason"), header(record, "__connect.errors.exception.message"))
        };
        taken.iter().map(read).collect()
    }

    pub fn checkpoints(&mut self) -> Vec<(u32, Checkpoint)> {
        self.fold
            .buckets()
            .into_iter()
            .filter_map(|bucket| Some((bucket, self.fold.checkpoint(bucket)?)))
            .collect()
    }

    /// Goes on from the fold's own checkpoints, as a successor does.
    pub fn crash(&mut self) {
        let setup = self.fold.setup.clone();
        let checkpoints = self.checkpoints();
        self.fold = restored(setup, &checkpoints);
    }

    /// The partition begins its next generation at the start of an empty log, over the rows of the former
    /// one.
    pub fn adopt(&mut self) {
        let setup = Setup { generation: self.fold.setup.generation + 1, ..self.fold.setup.clone() };
        self.fold = Presence::new(setup, 0, None).unwrap();
        self.base_us += 1_000_000;
        self.log.clear();
        self.beacon();
    }

    /// What is evicted is fetched again: forgets everybody who may leave memory.
    pub fn evict(&mut self) {
        self.fold.acknowledged(u64::MAX);
    }
}

/// A fold that goes on from checkpoints, at the least of their origins.
pub fn restored(setup: Setup, checkpoints: &[(u32, Checkpoint)]) -> Presence {
    let (_, least) = checkpoints.iter().min_by_key(|(_, checkpoint)| checkpoint.origin).unwrap();
    let mut fold = Presence::new(setup, least.origin, Some(&least.resume)).unwrap();
    for (bucket, checkpoint) in checkpoints {
        fold.restore_bucket(*bucket, checkpoint.origin, &checkpoint.bytes).unwrap();
    }
    fold
}

pub fn clock_of(fold: &Presence) -> LeaseClock {
    fold.clock.clone()
}
