//! `heartline adopt`: an operator's decision about halted partitions, written where their owners look for it.
//!
//! The decision is the row `(topic, partition; 'adopt')` of `progress`, its timestamp the wall clock:
//! * `topic_id`, `stored`: as the owner last wrote them, so that it sees which situation was decided about;
//! * `generation`, `partitions`, `base_us`: as they are to be from now on;
//! * `resume`: `{"reason": …}`; `as_of_ms`: when it was decided.

use std::io::{self, BufRead, IsTerminal, Write};

use clap::{Args, ValueEnum};
use serde_json::json;

use super::{CliError, Global, connect, output};
use crate::{
    http::now_ms,
    log::PartitionId,
    store::{Change, Query, Row, Select, Statement, WriteBatch},
    table::{
        Value,
        progress::{ADOPT_ENTRY, PROGRESS, PROGRESS_ENTRY},
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
/// What the operator knows, by the names that a halted partition's sentence says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Reason {
    /// Somebody moved the group's offsets on purpose, or retention took what was below
    Offsets,
    /// The topic was deleted and created anew
    Recreated,
    /// The database was restored from an older backup
    Backup,
    /// The processor's parameters change
    Parameters,
}

impl Reason {
    /// What the row says.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Offsets => "offsets",
            Self::Recreated => "recreated",
            Self::Backup => "backup",
            Self::Parameters => "parameters",
        }
    }

    /// What will happen, and what that means.
    const fn meaning(self) -> &'static str {
        match self {
            Self::Offsets => {
                "the owner goes on from the group's offset as it is now. Records that are skipped are \
                 never folded; records that are read again below a row's origin change nothing."
            }
            Self::Recreated => {
                "the owner begins the next generation at the topic's first offset. Rows of the old topic \
                 stay until new records change them; versions go on from them; row timestamps are above \
                 all older ones."
            }
            Self::Backup => {
                "the owner folds again from the position that the restored rows state, without publishing \
                 what is out already. Records that the topic no longer holds are lost to the rows: if it \
                 does not reach back that far, use `heartline rebuild` instead."
            }
            Self::Parameters => "the configured parameters hold from the partition's next position on.",
        }
    }
}

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
        let now_us = now_ms() * 1_000;
        let mut decisions = Vec::new();
        eprintln!("Keyspace {}, topic {}:", config.store.keyspace, self.topic);
        for partition in partitions {
            let rows = store.read(progress_query(self.topic, partition)).await?;
            let known = Progress::of(rows.first());
            eprintln!(
                "  partition {partition}: {}",
                known.as_ref().map_or_else(nothing_known, Progress::said)
            );
            decisions.push(decision(self.topic, partition, known.as_ref(), self.reason, count, now_us));
        }
        eprintln!("\nReason {}: {}\n", self.reason.name(), self.reason.meaning());
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

fn progress_query(topic: Topic, partition: PartitionId) -> Query {
    Query {
        table: &PROGRESS,
        partition: row_partition(topic, partition),
        select: Select::Keys(vec![Box::new([Value::text(PROGRESS_ENTRY)])]),
    }
}

fn row_partition(topic: Topic, partition: PartitionId) -> Box<[Value]> {
    Box::new([Value::text(topic.name()), Value::Int(partition as i32)])
}

fn decision(
    topic: Topic,
    partition: PartitionId,
    known: Option<&Progress>,
    reason: Reason,
    partitions: u32,
    now_us: i64,
) -> WriteBatch {
    let anew = reason == Reason::Recreated;
    let generation = known.map_or(0, |known| known.generation) + i32::from(anew);
    let base_us = if anew { Some(now_us) } else { known.and_then(|known| known.base_us) };
    let cell = |name: &str| match name {
        "topic_id" => Value::optional_text(known.and_then(|known| known.topic_id.as_deref())),
        "generation" => Value::Int(generation),
        "partitions" => Value::Int(partitions as i32),
        "base_us" => Value::optional_big_int(base_us),
        "stored" => Value::optional_big_int(known.and_then(|known| known.stored)),
        "resume" => Value::text(&json!({"reason": reason.name()}).to_string()),
        "as_of_ms" => Value::BigInt(now_us / 1_000),
        _ => Value::Null,
    };
    let statement = Statement {
        clustering: Box::new([Value::text(ADOPT_ENTRY)]),
        change: Change::Upsert(PROGRESS.cells.iter().map(|column| cell(column.name)).collect()),
        timestamp_us: now_us,
        ttl_s: None,
    };
    WriteBatch { table: &PROGRESS, partition: row_partition(topic, partition), statements: vec![statement] }
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
    use super::{Progress, Reason, decision};
    use crate::{
        store::{Change, Row, WriteBatch},
        table::{Value, progress::PROGRESS},
        topology::Topic,
    };

    const KNOWN: Progress =
        Progress { topic_id: None, generation: 3, base_us: Some(77), stored: Some(9), as_of_ms: Some(5) };

    fn decided(reason: Reason, known: Option<&Progress>) -> (WriteBatch, Progress) {
        let batch = decision(Topic::Heartbeats, 2, known, reason, 8, 1_000_000);
        let statement = batch.statements[0].clone();
        let Change::Upsert(cells) = statement.change else { panic!("all cells are written") };
        let row = Row { clustering: statement.clustering, cells };
        let progress = Progress::of(Some(&row)).expect("a row");
        (batch, progress)
    }

    #[test]
    fn a_decision_is_written_beside_the_owners_row() {
        let (batch, progress) = decided(Reason::Offsets, Some(&KNOWN));
        assert_eq!(batch.partition[..], [Value::text("heartbeats"), Value::Int(2)]);
        assert_eq!(batch.statements[0].clustering[..], [Value::text("adopt")]);
        assert_eq!(batch.statements[0].timestamp_us, 1_000_000);
        assert_eq!(progress, Progress { as_of_ms: Some(1_000), ..KNOWN });
        let Change::Upsert(cells) = &batch.statements[0].change else { panic!("all cells are written") };
        assert_eq!(cells.len(), PROGRESS.cells.len());
        assert!(cells.contains(&Value::text("{\"reason\":\"offsets\"}")));
    }

    #[test]
    fn a_recreated_topic_begins_a_generation_with_a_base_of_its_own() {
        let (_, progress) = decided(Reason::Recreated, Some(&KNOWN));
        assert_eq!((progress.generation, progress.base_us), (4, Some(1_000_000)));
    }

    #[test]
    fn nothing_is_made_up_about_a_partition_without_a_row() {
        let (_, progress) = decided(Reason::Backup, None);
        assert_eq!((progress.generation, progress.base_us, progress.stored), (0, None, None));
    }
}
