//! One suite for the seams: the same scripts against the simulated, the embedded and the real log and store.
//!
//! Whoever has a log or a store implements [`Bench`] and hands [`run`] a way to open one per script. A script
//! needs a consumer group that nobody used before and that nobody else appends to its topics; it does not
//! need empty topics or tables, since it works from the end it finds and under numbers that the bench never
//! gave before.
//!
//! A script that a bench cannot run is reported with what the bench lacks. It never counts as passed.

use std::fmt;

use bytes::Bytes;

use crate::{
    log::{Committed, Header, Log, Offset, OutRecord, PartitionId},
    store::Store,
    topology::{Topic, Topology},
};

mod log;
mod session;
pub mod simulated;
mod store;

/// The topic that scripts read, and the one that their transactions write to.
pub const INPUT: Topic = Topic::Heartbeats;
pub const OUTPUT: Topic = Topic::Presence;
/// How long a script waits for one thing, in the bench's time.
pub const WAIT_MS_MAX: u64 = 30_000;

/// A log, a store, or both, with the means to look at them from outside.
pub trait Bench {
    /// Whether scripts that need this can run here.
    fn has(&self, capability: Capability) -> bool;

    /// The topology in force; the input has at least two partitions where there are several members.
    fn topology(&self) -> &Topology;

    /// The log of the pod of this name, a member-to-be of the bench's group; made at its first mention.
    fn log(&mut self, pod: &str) -> Result<&mut dyn Log, String>;

    /// The one store.
    fn store(&mut self) -> Result<&mut dyn Store, String>;

    /// Appends records outside of any transaction, durable when this returns.
    fn append(&mut self, records: Vec<OutRecord>) -> Result<(), String>;

    /// What a `read_committed` consumer finds in a partition from `from` on, to its end.
    fn committed(
        &mut self,
        topic: Topic,
        partition: PartitionId,
        from: Offset,
    ) -> Result<Vec<BenchRecord>, String>;

    /// Opens a transaction under this producer name, adds an offset of the bench's group and leaves it open,
    /// as a pod does that dies. Only where [`Capability::HoldTransaction`] is.
    fn hold_transaction(
        &mut self,
        name: &str,
        partition: PartitionId,
        offset: Committed,
    ) -> Result<(), String>;

    /// Lets a few milliseconds pass.
    fn wait(&mut self);

    /// Milliseconds of the bench's time.
    fn elapsed_ms(&self) -> u64;

    /// A positive number that was never given before in this keyspace and cluster, for keys.
    fn fresh_number(&mut self) -> i32;
}

/// What not every bench can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capability {
    Log,
    Store,
    /// Several members share the group's partitions, and each has a producer.
    SeveralMembers,
    /// A transaction can be left open.
    HoldTransaction,
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Log => "a log",
            Self::Store => "a store",
            Self::SeveralMembers => "several members",
            Self::HoldTransaction => "a transaction that is left open",
        })
    }
}

/// A record as the bench read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BenchRecord {
    pub offset: Offset,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<Header>,
}

/// One behaviour that every implementation must show.
#[derive(Debug, Clone, Copy)]
pub struct Script {
    /// A sentence, its words joined by underscores.
    pub name: &'static str,
    pub needs: &'static [Capability],
    /// The error says which step failed, what it expected and what it got.
    pub run: fn(&mut dyn Bench) -> Result<(), String>,
}

/// What became of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Passed,
    /// The bench lacks this.
    NotApplicable(Capability),
    Failed(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub script: &'static str,
    pub verdict: Verdict,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.verdict {
            Verdict::Passed => write!(f, "{}: passed", self.script),
            Verdict::NotApplicable(lacking) => write!(f, "{}: not applicable, needs {lacking}", self.script),
            Verdict::Failed(why) => write!(f, "{}: FAILED: {why}", self.script),
        }
    }
}

/// A bench, or why there is none.
pub type Opened = Result<Box<dyn Bench>, String>;

/// Every script, those of the log first.
#[must_use]
pub fn scripts() -> Vec<Script> {
    log::scripts().chain(store::scripts()).collect()
}

/// Runs every script, each on a bench of its own, with a group that was not used before.
pub fn run(open: &mut dyn FnMut(&Script) -> Opened) -> Vec<Report> {
    scripts().iter().map(|script| run_one(script, open)).collect()
}

/// Runs one script, for harnesses that list scripts one by one.
pub fn run_one(script: &Script, open: &mut dyn FnMut(&Script) -> Opened) -> Report {
    let verdict = match open(script) {
        Err(why) => Verdict::Failed(format!("the bench did not open: {why}")),
        Ok(mut bench) => match script.needs.iter().find(|capability| !bench.has(**capability)) {
            Some(lacking) => Verdict::NotApplicable(*lacking),
            None => match (script.run)(bench.as_mut()) {
                Ok(()) => Verdict::Passed,
                Err(why) => Verdict::Failed(why),
            },
        },
    };
    Report { script: script.name, verdict }
}

#[cfg(test)]
mod tests;
