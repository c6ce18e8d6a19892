//! What the timeline writes, against bare loops that write the same rows.

use std::{
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use heartline::{
    processor::{conversation::Conversation, inbox::Inbox},
    store::WriteBatch,
};

use crate::{
    chat::{Chat, SENDS},
    disk,
    inside::{Inside, Processor, Transactions},
    load::Sender,
    proc,
    product::Processes,
    real::servers::Servers,
    rows::Rows,
    suite::Suite,
    table::median,
    warmth::{Round, Rounds},
};

/// Members of a group, groups, and entries of a round.
const SIZES: [(&str, &str, u64, u64, u64); 3] = [
    ("rows_vs_batches_2", "two", 2, 10_000, 120_000),
    ("rows_vs_batches_20", "twenty", 20, 1_000, 300_000),
    ("rows_vs_batches_500", "many", 500, 40, 400_000),
];
/// The bare loops' requests in flight: as many as the worker has.
const IN_FLIGHT: usize = 256;
/// Until a gate that was closed holds.
const CLOSED: Duration = Duration::from_secs(1);
const SINGLES_IN_FLIGHT: [usize; 5] = [64, 128, 256, 512, 1_024];
/// Rows that a bare loop of single inserts writes per round, and while its best setting is looked for.
const SINGLES: u64 = 100_000;
const TRIED: u64 = 30_000;
/// How long the database may flush and compact what was written before.
const IDLE_WITHIN: Duration = Duration::from_secs(60);

pub fn run(suite: &Suite) -> Result<()> {
    let mut left = Vec::new();
    for (name, chat, size, groups, entries) in SIZES {
        let singles = size == 20 && suite.wants("rows_vs_single");
        if suite.wants(name) || singles {
            left.push(measure(suite, name, Chat::new(chat, groups, size), entries, singles)?);
        }
    }
    // A database that is stopped in an orderly way has all on disk.
    let cql = &suite.servers()?.cql;
    cql.stop()?;
    cql.start()?;
    for Left { size, keyspace, messages, log_bytes } in left {
        let pid = cql.pid().context("the database's process")?;
        let bytes = disk::keyspace_bytes(pid, &keyspace)? as f64 / messages as f64;
        let log = log_bytes as f64 / messages as f64;
        suite.note(format!(
            "disk bytes per message in groups of {size}: {bytes:.0} in the database, {log:.0} in the log"
        ));
    }
    Ok(())
}

/// What a size left on disk.
struct Left {
    size: u64,
    keyspace: String,
    messages: u64,
    log_bytes: u64,
}

/// Both processors of the timeline, in this process.
pub struct Timeline {
    pub conversation: Processor,
    pub inbox: Processor,
}

impl Timeline {
    pub fn start(inside: &Inside, prefix: &str, keyspace: &str) -> Result<Self> {
        let cql = inside.connect(keyspace)?;
        let conversation = inside.start::<Conversation>(prefix, &cql, Transactions::On)?;
        let inbox = inside.start::<Inbox>(prefix, &cql, Transactions::On)?;
        Ok(Self { conversation, inbox })
    }

    fn each(&self) -> [&Processor; 2] {
        [&self.conversation, &self.inbox]
    }

    fn commits(&self) -> [u64; 2] {
        self.each().map(|processor| processor.seen.commits.load(Ordering::Relaxed))
    }

    pub fn stop(self) -> Result<()> {
        self.conversation.stop()?;
        self.inbox.stop()
    }
}

/// What one round of the worker took.
struct Written {
    batches: Vec<Arc<WriteBatch>>,
    rows: usize,
    entries: usize,
    seconds: f64,
    /// Of this process, the broker and the database.
    cpu_s: [f64; 3],
    commits: [u64; 2],
}

fn measure(suite: &Suite, name: &str, chat: Chat, entries: u64, with_singles: bool) -> Result<Left> {
    let servers = suite.servers()?;
    let deployment = suite.deployment("rows", "")?;
    let inside = Inside::new(servers)?;
    let (broker, cql) = Processes::servers(servers)?;
    let timeline = Timeline::start(&inside, &deployment.keyspace, &deployment.keyspace)?;
    let sender = Sender::new(&deployment.kafka, 20)?;
    chat.join(&sender)?;
    let [mut batched, mut single] = bare(&inside, servers, &deployment.keyspace)?;
    timeline.each().iter().for_each(|processor| processor.seen.keep());

    let sends = suite.scaled(entries, 10 * chat.size) / chat.size;
    let (mut number, mut in_flight) = (0, None);
    let (mut cpu, mut speed, mut shapes) = (Vec::new(), Vec::new(), Vec::new());
    for round in Rounds::new(suite)? {
        let Round { number: round, counted } = round?;
        let written = write(&timeline, &chat, &sender, &mut number, sends, [broker, cql])?;
        proc::wait_idle(cql, IDLE_WITHIN)?;
        let before = cpu_s([broker, cql])?;
        batched.batches(&written.batches, IN_FLIGHT)?;
        let us = |seconds: f64| seconds * 1e6 / written.entries as f64;
        let worker = written.cpu_s.map(us);
        let bare = since(before, cpu_s([broker, cql])?).map(us);
        // The loop has nothing to do with the broker, which is shown for what it takes by itself.
        let [worker_us, bare_us] = [worker.iter().sum::<f64>(), bare[0] + bare[2]];
        eprintln!(
            "  {name} round {round}: worker {worker_us:.1} core-us an entry (itself, broker, database: \
             {worker:.1?}), bare batches {bare_us:.1} ({bare:.1?}); {} rows in {} batches, \
             {} + {} commits, {:.2} s",
            written.rows,
            written.batches.len(),
            written.commits[0],
            written.commits[1],
            written.seconds
        );
        let Some(counted) = counted else { continue };
        cpu.push((bare_us, worker_us));
        shapes.push(written.rows as f64 / written.batches.len() as f64);
        if with_singles {
            let some = |rows| first_rows(&written.batches, suite.scaled(rows, rows / 10) as usize);
            let in_flight = match in_flight {
                Some(in_flight) => in_flight,
                None => *in_flight.insert(best(&mut single, some(TRIED))?),
            };
            let (rows, seconds) = single.singles(some(SINGLES), in_flight)?;
            speed.push((written.rows as f64 / written.seconds, rows as f64 / seconds));
        }
        suite.note_if_last(counted, || {
            format!(
                "{name}: {:.0} rows/s, {:.1} rows a batch, {:.0} + {:.0} commits/s of conversations and inboxes, \
                 {:.0} entries a commit",
                written.rows as f64 / written.seconds,
                median(shapes.clone()),
                written.commits[0] as f64 / written.seconds,
                written.commits[1] as f64 / written.seconds,
                written.entries as f64 / written.commits[1].max(1) as f64
            )
        });
    }
    timeline.stop()?;
    if let Some(in_flight) = in_flight {
        suite.note(format!("rows_vs_single: {in_flight} single inserts in flight were best"));
        suite.record("rows_vs_single", speed)?;
    }
    suite.record(name, cpu)?;
    let log_bytes = disk::topics_bytes(broker, &[SENDS, "deliveries", "inbox"])?;
    Ok(Left { size: chat.size, keyspace: deployment.keyspace.clone(), messages: number, log_bytes })
}

/// The bare loops, each with tables of its own: ready-made batches, and single inserts.
fn bare(inside: &Inside, servers: &Servers, keyspace: &str) -> Result<[Rows; 2]> {
    let rows = |what: &str| {
        let keyspace = format!("{keyspace}_{what}");
        inside.connect(&keyspace)?;
        Rows::connect(servers.cql.address(), &keyspace)
    };
    Ok([rows("batches")?, rows("singles")?])
}

/// Lets the worker take so many sends that were written while it stood still.
fn write(
    timeline: &Timeline,
    chat: &Chat,
    sender: &Sender,
    number: &mut u64,
    sends: u64,
    [broker, cql]: [u32; 2],
) -> Result<Written> {
    timeline.conversation.gate.close();
    // A poll that is under way would still bring some of it.
    thread::sleep(CLOSED);
    for _ in 0..sends {
        chat.send(sender, SENDS, *number % chat.groups, *number)?;
        *number += 1;
    }
    sender.flush()?;
    proc::wait_idle(cql, IDLE_WITHIN)?;
    timeline.each().iter().for_each(|processor| drop(processor.seen.take()));
    let (before, commits, begun) = (cpu_s([broker, cql])?, timeline.commits(), Instant::now());
    timeline.conversation.gate.open();
    let entries = (sends * chat.size) as usize;
    // A message and the row of its id.
    timeline.conversation.wait_written("messages", 2 * sends as usize)?;
    timeline.inbox.wait_written("inbox", entries)?;
    let cpu_s = since(before, cpu_s([broker, cql])?);
    let now = timeline.commits();
    let (mut batches, mut rows, mut last) = (Vec::new(), 0, begun);
    for processor in timeline.each() {
        let kept = processor.seen.take();
        rows += kept.written.iter().map(|(.., rows)| rows).sum::<usize>();
        last = kept.written.iter().map(|(at, ..)| *at).fold(last, Instant::max);
        batches.extend(kept.batches);
    }
    let commits = [now[0] - commits[0], now[1] - commits[1]];
    Ok(Written { batches, rows, entries, seconds: (last - begun).as_secs_f64(), cpu_s, commits })
}

/// Core-seconds of this process, the broker and the database so far.
fn cpu_s([broker, cql]: [u32; 2]) -> Result<[f64; 3]> {
    Ok([proc::own_cpu_s()?, proc::cpu_s(broker)?, proc::cpu_s(cql)?])
}

fn since(before: [f64; 3], now: [f64; 3]) -> [f64; 3] {
    std::array::from_fn(|at| now[at] - before[at])
}

/// As many whole batches as have so many rows.
fn first_rows(batches: &[Arc<WriteBatch>], rows: usize) -> &[Arc<WriteBatch>] {
    let mut seen = 0;
    let within = batches.iter().take_while(|batch| {
        seen += batch.statements.len();
        seen <= rows
    });
    &batches[..within.count().max(1)]
}

/// The number of single inserts in flight that gets most rows in.
fn best(single: &mut Rows, some: &[Arc<WriteBatch>]) -> Result<usize> {
    // The first one warms up.
    single.singles(some, SINGLES_IN_FLIGHT[0])?;
    let mut tried = Vec::new();
    for in_flight in SINGLES_IN_FLIGHT {
        let (rows, seconds) = single.singles(some, in_flight)?;
        tried.push((rows as f64 / seconds, in_flight));
    }
    let (_, in_flight) = tried.into_iter().max_by(|a, b| a.0.total_cmp(&b.0)).context("a setting")?;
    Ok(in_flight)
}
