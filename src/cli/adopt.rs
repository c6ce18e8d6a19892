//! `heartline adopt`: an operator's decision about halted partitions, written where their owners look for it.
//!
//! The decision is the row `(topic, partition; 'adopt')` of `progress`, its timestamp the wall clock:
//! * `generation`, `base_us`, `partitions`: of the life of the partition that is to begin;
//! * `topic_id`, `stored`: as the owner last wrote them: a decision about a row that has gone on since does
//!   not apply;
//! * `resume`: `{"reason": …}`; `as_of_ms`: when it was decided.
//!
//! What adopting means is the same for every reason: [`crate::task::opening::decide`].

use std::{
    collections::BTreeMap,
    io::{self, BufRead, IsTerminal, Write},
};

use clap::{Args, ValueEnum};
use serde_json::json;

use super::{CliError, Global, connect, output};
use crate::{
    http::now_ms,
    log::PartitionId,
    store::{Change, Row, Statement, WriteBatch},
    table::{
        Value,
        progress::{ADOPT_ENTRY, PROGRESS, PROGRESS_ENTRY, progress_key, progress_query},
    },
    topology::Topic,
};

#[derive(Debug, Args)]
pub struct Adopt {
    /// Input topic of the halted partitions
    #[arg(value_parser = input_topic)]
    topic: Topic,
    /// The halted partition [default: all of the topic]
    partition: Option<PartitionId>,
    /// What you know
    #[arg(long, value_enum)]
    reason: Reason,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

/// What the operator knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Reason {
    /// Somebody moved the group's offsets, on purpose
    Offsets,
    /// The topic was deleted and created anew
    Recreated,
    /// The database was restored from an older backup
    Backup,
}

impl Reason {
    /// What the row says.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Offsets => "offsets",
            Self::Recreated => "recreated",
            Self::Backup => "backup",
        }
    }

    /// What this reason adds to [`MEANING`].
    const fn meaning(self) -> &'static str {
        match self {
            Self::Offsets => {
                "Records between the former and the present offset are never folded, or once more."
            }
            Self::Recreated => "Records of the former topic that were not folded are lost.",
            Self::Backup => {
                "Rows stay as old as the backup until new records change them, and versions that were published \
                 since the backup are given out again. A newer backup is better, if there is one."
            }
        }
    }
}

/// What adopting does, whatever the reason.
const MEANING: &str = "\
The partition begins its next generation: at the group's offset if the topic has it, else at its first.
- Live sessions are forgotten and come back with their next heartbeats. Versions go on from the users' rows.
- A user that was online and never says anything again stays shown as it was; its sessions go within a day.
- Changes that were published and are not in the database yet stay out of it until records change the rows.
- A partition that is not halted takes no notice, unless it is opened anew before it has stored anything more.
- The owner looks every 5 s, then opens all of its partitions anew: for a moment they lag.";

impl Adopt {
    pub async fn execute(self, global: &Global) -> Result<(), CliError> {
        let config = global.config(&[])?;
        let topology = global.topology()?;
        let count = topology.partitions(self.topic);
        let partitions: Vec<PartitionId> = match self.partition {
            Some(partition) if partition >= count => {
                let message = format!("topic {} has partitions 0 to {}", self.topic, count - 1);
                return Err(CliError::usage(message));
            }
            Some(partition) => vec![partition],
            None => (0..count).collect(),
        };
        let store = connect::store(&config).await?;
        let mut known = BTreeMap::new();
        for partition in 0..count {
            let rows = store.read(progress_query(self.topic, partition, &[PROGRESS_ENTRY])).await?;
            known.extend(Progress::of(rows.first()).map(|row| (partition, row)));
        }
        let next = Next::after(known.values(), count, now_ms() * 1_000);
        let mut decisions = Vec::new();
        eprintln!("Keyspace {}, topic {}:", config.store.keyspace, self.topic);
        for partition in partitions {
            let known = known.get(&partition);
            eprintln!("  partition {partition}: {}", known.map_or_else(nothing_known, Progress::said));
            decisions.push(decision(self.topic, partition, known, self.reason, &next));
        }
        eprintln!("\n{MEANING}\nReason {}: {}\n", self.reason.name(), self.reason.meaning());
        if !self.yes && !confirmed()? {
            return Err(CliError::usage("nothing was written"));
        }
        let count = decisions.len();
        for decision in decisions {
            store.write(decision).await?;
        }
        output::line(&format!(
            "decided for {count} partition(s); a halted owner reads it within 5 s, see /v1/partitions"
        ))
    }
}

/// What the partition's owner last wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Progress {
    topic_id: Option<String>,
    generation: i32,
    base_us: Option<i64>,
    stored: Option<i64>,
    as_of_ms: Option<i64>,
}

impl Progress {
    fn of(row: Option<&Row>) -> Option<Self> {
        let row = row?;
        let cell = |name: &str| {
            let index = PROGRESS.cells.iter().position(|column| column.name == name);
            index.and_then(|index| row.cells.get(index)).unwrap_or(&Value::Null)
        };
        Some(Self {
            topic_id: cell("topic_id").as_text().map(str::to_owned),
            generation: cell("generation").as_int().unwrap_or_default(),
            base_us: cell("base_us").as_big_int(),
            stored: cell("stored").as_big_int(),
            as_of_ms: cell("as_of_ms").as_big_int(),
        })
    }

    fn said(&self) -> String {
        let number =
            |number: Option<i64>| number.map_or_else(|| "unknown".to_owned(), |number| number.to_string());
        let as_of = self.as_of_ms.map_or_else(|| "unknown".to_owned(), output::local_time);
        format!("generation {}, stored below {}, as of {as_of}", self.generation, number(self.stored))
    }
}

fn nothing_known() -> String {
    "the store has no row of it; its owner will begin as the reason says".to_owned()
}

/// What is to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Next {
    /// Above that of any partition: a bucket that has moved to another one must not find its rows to be of
    /// the same.
    generation: i32,
    base_us: i64,
    partitions: u32,
    decided_ms: i64,
}

impl Next {
    fn after<'a>(known: impl Iterator<Item = &'a Progress>, partitions: u32, now_us: i64) -> Self {
        let mut next = Self { generation: 1, base_us: now_us, partitions, decided_ms: now_us / 1_000 };
        for row in known {
            next.generation = next.generation.max(row.generation.saturating_add(1));
            // Row timestamps are base + position: they must rise even if this clock is behind the last one's.
            let written_us = row.base_us.unwrap_or(0).saturating_add(row.stored.unwrap_or(0));
            next.base_us = next.base_us.max(written_us.saturating_add(1));
        }
        next
    }
}

fn decision(
    topic: Topic,
    partition: PartitionId,
    known: Option<&Progress>,
    reason: Reason,
    next: &Next,
) -> WriteBatch {
    let cell = |name: &str| match name {
        "topic_id" => Value::text(known.and_then(|known| known.topic_id.as_deref()).unwrap_or_default()),
        "generation" => Value::Int(next.generation),
        "partitions" => Value::Int(next.partitions as i32),
        "base_us" => Value::BigInt(next.base_us),
        "stored" => Value::BigInt(known.and_then(|known| known.stored).unwrap_or_default()),
        "resume" => Value::text(&json!({"reason": reason.name()}).to_string()),
        "as_of_ms" => Value::BigInt(next.decided_ms),
        _ => Value::Null,
    };
    let statement = Statement {
        clustering: Box::new([Value::text(ADOPT_ENTRY)]),
        change: Change::Upsert(PROGRESS.cells.iter().map(|column| cell(column.name)).collect()),
        timestamp_us: next.decided_ms * 1_000,
        ttl_s: None,
    };
    WriteBatch::new(&PROGRESS, progress_key(topic, partition), vec![statement])
}

fn confirmed() -> Result<bool, CliError> {
    if !io::stdin().is_terminal() {
        return Err(CliError::usage("there is nobody to ask; add --yes"));
    }
    eprint!("Go on? [y/N] ");
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn input_topic(name: &str) -> Result<Topic, String> {
    let inputs = || Topic::ALL.into_iter().filter(|topic| topic.is_input());
    inputs().find(|topic| topic.name() == name).ok_or_else(|| {
        let names: Vec<&str> = inputs().map(Topic::name).collect();
        format!("the input topics are {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::{Next, Progress, Reason, decision};
    use crate::{
        store::{Change, Row, WriteBatch},
        table::{
            Value,
            progress::{ADOPT_ENTRY, ProgressRow},
        },
        topology::Topic,
    };

    const KNOWN: Progress =
        Progress { topic_id: None, generation: 3, base_us: Some(77), stored: Some(9), as_of_ms: Some(5) };

    fn decided(reason: Reason, known: Option<&Progress>) -> (WriteBatch, ProgressRow) {
        let next = Next::after(known.into_iter(), 8, 1_000_000);
        let batch = decision(Topic::Heartbeats, 2, known, reason, &next);
        let statement = batch.statements[0].clone();
        let Change::Upsert(cells) = statement.change else { panic!("all cells are written") };
        let row = Row { clustering: statement.clustering, cells };
        let read = ProgressRow::find(&[row], ADOPT_ENTRY).expect("as owners read it");
        (batch, read)
    }

    #[test]
    fn a_decision_is_written_beside_the_owners_row_as_owners_read_it() {
        let (batch, row) = decided(Reason::Offsets, Some(&KNOWN));
        assert_eq!(batch.partition[..], [Value::text("heartbeats"), Value::Int(2)]);
        assert_eq!(batch.statements[0].timestamp_us, 1_000_000);
        let expected = ProgressRow {
            topic_id: String::new(),
            generation: 4,
            partitions: 8,
            base_us: 1_000_000,
            stored: 9,
            resume: Some("{\"reason\":\"offsets\"}".to_owned()),
            as_of_ms: Some(1_000),
        };
        assert_eq!(row, expected);
    }

    #[test]
    fn every_reason_begins_the_next_generation() {
        for reason in [Reason::Offsets, Reason::Recreated, Reason::Backup] {
            let (_, row) = decided(reason, Some(&KNOWN));
            assert_eq!((row.generation, row.base_us), (4, 1_000_000), "{}", reason.name());
        }
    }

    #[test]
    fn a_partition_without_a_row_begins_its_first_generation() {
        let (_, row) = decided(Reason::Backup, None);
        assert_eq!((row.generation, row.base_us, row.stored), (1, 1_000_000, 0));
    }

    #[test]
    fn generation_and_base_are_above_those_of_every_partition() {
        let ahead = Progress { generation: 1, base_us: Some(2_000_000), ..KNOWN };
        let next = Next::after([KNOWN, ahead].iter(), 8, 1_000_000);
        assert_eq!((next.generation, next.base_us, next.decided_ms), (4, 2_000_010, 1_000));
    }
}
