//! Commands and events as a transcript has them: short, with a digest where there is content.

use std::fmt::{self, Display, Formatter};

use super::PodEvent;
use crate::{
    log::{Chunk, Committed, LogCommand, LogEvent, OutRecord, Transaction, TransactionStep},
    store::{StoreCommand, StoreEvent, WriteBatch},
};

pub(super) struct Described<'a, T>(pub(super) &'a T);

impl Display for Described<'_, LogCommand> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            LogCommand::Transact(Transaction { id, assignment, steps }) => {
                write!(f, "Transact {id} under {assignment}:")?;
                steps.iter().try_for_each(|step| write!(f, " {}", Described(step)))
            }
            LogCommand::Beacon { partition, value } => {
                write!(f, "Beacon {partition} #{:08x}", crc32fast::hash(value))
            }
            // There are many of these.
            LogCommand::Poll { records_max, bytes_max, wait_ms } => {
                write!(f, "Poll {records_max} {bytes_max} {wait_ms}")
            }
            other => write!(f, "{other:?}"),
        }
    }
}

impl Display for Described<'_, TransactionStep> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            TransactionStep::Offsets(offsets) => {
                f.write_str("offsets")?;
                offsets.iter().try_for_each(|(partition, Committed { offset, metadata })| {
                    write!(f, " {partition}@{offset} #{:08x}", crc32fast::hash(metadata.as_bytes()))
                })
            }
            TransactionStep::Records(records) => {
                let mut digest = crc32fast::Hasher::new();
                let mut content = |record: &OutRecord| {
                    digest.update(record.key.as_deref().unwrap_or_default());
                    digest.update(record.value.as_deref().unwrap_or_default());
                };
                records.iter().for_each(&mut content);
                write!(f, "{} records #{:08x}", records.len(), digest.finalize())
            }
        }
    }
}

impl Display for Described<'_, PodEvent> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            PodEvent::Log(LogEvent::Polled { chunks }) => {
                f.write_str("Polled")?;
                chunks.iter().try_for_each(|chunk| write!(f, " {}", Described(chunk)))
            }
            PodEvent::Log(event) => write!(f, "{event:?}"),
            PodEvent::Store(StoreEvent::Rows { request, rows }) => {
                write!(f, "Rows {request}: {}", rows.len())
            }
            PodEvent::Store(StoreEvent::Written { request }) => write!(f, "Written {request}"),
            PodEvent::Store(event) => write!(f, "{event:?}"),
            PodEvent::Timer => f.write_str("Timer"),
        }
    }
}

impl Display for Described<'_, Chunk> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Chunk { partition, fetch, .. } = self.0;
        let first = if self.0.is_empty() { -1 } else { self.0.get(0).offset };
        let (count, last) = (self.0.len(), self.0.last_offset().unwrap_or(-1));
        write!(f, "{partition}({fetch}): {count} from {first} to {last}")
    }
}

impl Display for Described<'_, StoreCommand> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            StoreCommand::Write { request, batch } => {
                let WriteBatch { table, partition, statements, .. } = &**batch;
                let newest_us = statements.iter().map(|statement| statement.timestamp_us).max().unwrap_or(0);
                let (count, bytes) = (statements.len(), batch.size_bytes());
                write!(f, "Write {request} {} {partition:?}: {count}, {bytes} bytes, {newest_us}", table.name)
            }
            StoreCommand::Read { request, query } => {
                write!(f, "Read {request} {} {:?} {:?}", query.table.name, query.partition, query.select)
            }
        }
    }
}
