//! A page of an inbox over HTTP, against the SELECTs that find the same entries.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Instant,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use futures_util::future::{try_join_all, try_join3};
use heartline::{
    id::partition_of,
    topology::{ProcessorKind, Topic, Topology},
};
use scylla::{
    client::{session::Session, session_builder::SessionBuilder},
    statement::prepared::PreparedStatement,
};
use tokio::runtime::{Builder, Runtime};

use crate::{
    chat::{Chat, SENDS},
    http::Http,
    load::{Outgoing, Sender, paced},
    product,
    suite::Suite,
    table::median,
    warmth::{Round, Rounds},
};

const PAGE: i32 = 100;
/// Recipients of one bucket that fill its windows of 50,000 entries.
const FILLERS: usize = 500;
const MESSAGES: usize = 1_000;
/// So that a page of its entries comes from ten windows.
const SPARSE_EVERY: usize = 10;
const BUCKET: u32 = 7;
const PAGES: usize = 300;
const WRITES_PER_S: f64 = 500.0;

pub fn run(suite: &Suite) -> Result<()> {
    let mut deployment = suite.deployment("sync_page", "")?;
    let (worker, topology) = product::start_timeline(&mut deployment)?;
    let sender = Sender::new(&deployment.kafka, 5)?;
    let bucket: Vec<String> = of_bucket(&topology).take(FILLERS + 1).collect();
    let (sparse, fillers) = bucket.split_first().context("a recipient")?;
    fill(&topology, &sender, sparse, fillers)?;
    let mut http = Http::connect(&deployment.workers[worker].address)?;
    for (member, seq) in [(sparse, MESSAGES / SPARSE_EVERY), (&fillers[0], MESSAGES)] {
        http.wait_for_head(member, seq as u64)?;
    }
    let bare = Bare::connect(suite.servers()?.cql.address(), &deployment.keyspace)?;

    let stop = Arc::new(AtomicBool::new(false));
    let writing = {
        let (stop, kafka) = (Arc::clone(&stop), deployment.kafka.clone());
        thread::spawn(move || write(&kafka, &stop))
    };
    let (mut rounds, mut ratios) = (Vec::new(), [Vec::new(), Vec::new()]);
    for round in Rounds::new(suite)? {
        let Round { number: round, counted } = round?;
        // The first hundred entries of a filler are in one window.
        let pages = [page(&mut http, &bare, &fillers[0])?, page(&mut http, &bare, sparse)?];
        let [one, ten] = pages;
        eprintln!(
            "  round {round}: 1 window {:.2} ms, bare {:.2} ms; {} windows {:.2} ms, bare {:.2} ms",
            one.http_ms, one.bare_ms, ten.windows, ten.http_ms, ten.bare_ms
        );
        ensure!(
            one.windows == 1 && ten.windows >= 10,
            "pages from {} and {} windows",
            one.windows,
            ten.windows
        );
        if counted.is_some() {
            pages.iter().zip(&mut ratios).for_each(|(page, ratios)| ratios.push(page.http_ms / page.bare_ms));
            // The worse of the two counts.
            let worse = if one.http_ms * ten.bare_ms > ten.http_ms * one.bare_ms { one } else { ten };
            rounds.push((worse.http_ms, worse.bare_ms));
        }
    }
    stop.store(true, Ordering::Release);
    writing.join().map_err(|_| anyhow!("the writing thread panicked"))??;
    product::stop(&mut deployment, worker)?;
    let [one, ten] = ratios.map(median);
    suite.note(format!("sync_page_vs_select: {one:.2} from one window, {ten:.2} from ten"));
    suite.record("sync_page_vs_select", rounds)
}

/// Names of recipients of one bucket.
fn of_bucket(topology: &Topology) -> impl Iterator<Item = String> {
    let names = (0..).map(|number: u64| format!("w{number:015}"));
    names.filter(move |name| topology.bucket(ProcessorKind::Inbox, name.as_bytes()) == BUCKET)
}

/// Fills ten windows of the bucket; one recipient has ten entries in each.
fn fill(topology: &Topology, sender: &Sender, sparse: &str, fillers: &[String]) -> Result<()> {
    let conversation = "group/windows";
    let partitions = topology.partitions(Topic::Sends);
    let partition = partition_of(conversation.as_bytes(), partitions) as i32;
    let everybody: Vec<String> = fillers.iter().map(|name| format!("\"{name}\"")).collect();
    let everybody = everybody.join(",");
    for number in 0..MESSAGES {
        let more = if number % SPARSE_EVERY == 0 { format!(",\"{sparse}\"") } else { String::new() };
        let value = format!(
            r#"{{"v":1,"type":"message","conversation":"{conversation}","sender":"{}","client_id":"c-{number}","body":"{}","recipients":[{everybody}{more}]}}"#,
            fillers[0],
            "x".repeat(118)
        );
        sender.send(Outgoing::new(SENDS, partition, conversation, &value))?;
    }
    sender.flush()
}

/// The standard sends, until told to stop.
fn write(kafka: &str, stop: &AtomicBool) -> Result<()> {
    let (sender, chat) = (Sender::new(kafka, 1)?, Chat::new("beside", 1_000, 20));
    chat.join(&sender)?;
    let mut number = 0;
    while !stop.load(Ordering::Acquire) {
        paced(WRITES_PER_S, WRITES_PER_S as u64, |at| {
            chat.send(&sender, SENDS, (number + at) % chat.groups, number + at)
        })?;
        number += WRITES_PER_S as u64;
    }
    sender.flush()
}

/// A page's medians.
#[derive(Clone, Copy)]
struct Page {
    http_ms: f64,
    bare_ms: f64,
    windows: usize,
}

/// Asks both sides in turn for the first page of an inbox.
fn page(http: &mut Http, bare: &Bare, member: &str) -> Result<Page> {
    let path = format!("/v1/sync/{member}?after=0&count={PAGE}");
    let (mut http_ms, mut bare_ms, mut windows) = (Vec::new(), Vec::new(), 0);
    for _ in 0..PAGES {
        let begun = Instant::now();
        let body = http.get(&path)?;
        http_ms.push(begun.elapsed().as_secs_f64() * 1e3);
        let begun = Instant::now();
        let (entries, from) = bare.page(member)?;
        bare_ms.push(begun.elapsed().as_secs_f64() * 1e3);
        windows = from;
        let shown = String::from_utf8_lossy(&body).matches("\"conversation_seq\"").count();
        ensure!(shown == PAGE as usize && entries == shown, "pages of {shown} and {entries} entries");
    }
    Ok(Page { http_ms: median(http_ms), bare_ms: median(bare_ms), windows })
}

/// The statements of a page, as somebody would write them who knows the tables.
struct Bare {
    runtime: Runtime,
    session: Session,
    head: PreparedStatement,
    cursor: PreparedStatement,
    windows: PreparedStatement,
    entries: PreparedStatement,
}

type Entry = (i64, String, i64, String, String, Option<String>, Option<i64>, i64, Option<String>);

impl Bare {
    fn connect(cql: &str, keyspace: &str) -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let session = runtime.block_on(SessionBuilder::new().known_node(cql).build())?;
        let prepare = |text: &str| {
            let text = text.replace("FROM ", &format!("FROM {keyspace}."));
            runtime.block_on(session.prepare(text))
        };
        let head =
            prepare("SELECT latest_seq, foreign_count FROM inbox_heads WHERE bucket = ? AND recipient = ?")?;
        let cursor =
            prepare("SELECT position FROM cursors WHERE bucket = ? AND user = ? AND conversation = ''")?;
        let windows =
            prepare("SELECT window, first_seq FROM inbox_windows WHERE bucket = ? AND recipient = ?")?;
        let entries = prepare(
            "SELECT seq, conversation, conversation_seq, sender, client_id, session, sent_at_ms, accepted_at_ms, \
             body FROM inbox WHERE bucket = ? AND window = ? AND recipient = ? AND seq > 0 LIMIT ?",
        )?;
        Ok(Self { runtime, session, head, cursor, windows, entries })
    }

    /// Entries of the first page, and the windows that they are from.
    fn page(&self, member: &str) -> Result<(usize, usize)> {
        let (session, bucket) = (&self.session, BUCKET as i32);
        self.runtime.block_on(async {
            let (_, _, windows) = try_join3(
                session.execute_unpaged(&self.head, (bucket, member)),
                session.execute_unpaged(&self.cursor, (bucket, member)),
                session.execute_unpaged(&self.windows, (bucket, member)),
            )
            .await?;
            let windows = windows.into_rows_result()?;
            let windows = windows.rows::<(i64, i64)>()?.collect::<Result<Vec<_>, _>>()?;
            let page: Vec<i64> = windows
                .iter()
                .filter(|(_, first)| *first <= i64::from(PAGE))
                .map(|(window, _)| *window)
                .collect();
            let read = page
                .iter()
                .map(|window| session.execute_unpaged(&self.entries, (bucket, *window, member, PAGE)));
            let mut entries = 0;
            for rows in try_join_all(read).await? {
                let rows = rows.into_rows_result()?;
                for entry in rows.rows::<Entry>()? {
                    entries += usize::from(entry?.0 <= i64::from(PAGE));
                }
            }
            Ok((entries, page.len()))
        })
    }
}
