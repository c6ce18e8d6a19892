//! An inbox owner's first seconds after a takeover, when no head is in memory.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use heartline::{
    processor::inbox::Inbox,
    topology::{ProcessorKind, Topology},
};
use scylla::client::session_builder::SessionBuilder;

use super::rows::Timeline;
use crate::{
    chat::{Chat, SENDS},
    inside::{Inside, Kept, Transactions},
    load::Sender,
    suite::Suite,
    warmth::{Round, Rounds},
};

/// Of 500 members each: 500,000 recipients.
const GROUPS: u64 = 1_000;
const MEMBERS: u64 = 500;
/// Messages that every group gets while there is no owner: the first one warms up, the others are steady.
const MESSAGES: u64 = 3;
const IN_FLIGHT: usize = 64;
/// The rate is taken over this.
const WINDOW: Duration = Duration::from_millis(500);
const STEADY: f64 = 0.9;

pub fn run(suite: &Suite) -> Result<()> {
    let servers = suite.servers()?;
    let deployment = suite.deployment("warm_up", "")?;
    let keyspace = deployment.keyspace.clone();
    let inside = Inside::new(servers)?;
    let Timeline { conversation, mut inbox } = Timeline::start(&inside, &keyspace, &keyspace)?;
    let sender = Sender::new(&deployment.kafka, 20)?;
    let chat = Chat::new("warm", suite.scaled(GROUPS, 20), MEMBERS);
    chat.join(&sender)?;
    let say = |numbers: std::ops::Range<u64>| -> Result<()> {
        for number in numbers {
            for group in 0..chat.groups {
                chat.send(&sender, SENDS, group, number)?;
            }
        }
        sender.flush()
    };
    let recipients = chat.groups * chat.size;
    say(0..1)?;
    inbox.wait_written("inbox", recipients as usize)?;
    let (mut number, mut rounds, cql) = (1, Vec::new(), inside.connect(&keyspace)?);
    for round in Rounds::new(suite)? {
        let Round { number: round, counted } = round?;
        inbox.stop()?;
        drop(conversation.seen.take());
        say(number..number + MESSAGES)?;
        number += MESSAGES;
        conversation.wait_written("messages", 2 * (MESSAGES * chat.groups) as usize)?;
        inbox = inside.start_at_once::<Inbox>(&keyspace, &cql, Transactions::On)?;
        inbox.wait_written("inbox", (MESSAGES * recipients) as usize)?;
        let kept = inbox.seen.take();
        let (first, warm, rate) = warm_up(&kept)?;
        let (bare, heads) = read_heads(servers.cql.address(), &keyspace)?;
        eprintln!(
            "  round {round}: first entries after {first:.2} s, warm after {warm:.2} s, steady {rate:.0} entries/s; \
             {heads} heads read in {bare:.2} s"
        );
        if counted.is_some() {
            rounds.push((warm, bare));
        }
    }
    inbox.stop()?;
    conversation.stop()?;
    suite.record("inbox_warmup_vs_steady", rounds)
}

/// Seconds from the first fetch until the first entries are written, and until they are at nearly the steady
/// rate, which is that of the second half.
fn warm_up(kept: &Kept) -> Result<(f64, f64, f64)> {
    let begun = kept.fetched.context("a partition that was fetched")?;
    let entries = kept.written.iter().filter(|(_, table, _)| *table == "inbox");
    let at: Vec<(f64, usize)> = entries.map(|(at, _, rows)| (seconds(*at, begun), *rows)).collect();
    let total: usize = at.iter().map(|(_, rows)| rows).sum();
    let (first, last) = at.first().zip(at.last()).context("entries that were written")?;
    let (first, last) = (first.0, last.0);
    let mut seen = 0;
    let half = at.iter().find(|(_, rows)| {
        seen += rows;
        2 * seen >= total
    });
    let steady = (total - seen) as f64 / (last - half.map_or(0.0, |(at, _)| *at));
    let window = WINDOW.as_secs_f64();
    let rate = |from: f64| {
        let within = at.iter().filter(|(at, _)| (from..from + window).contains(at));
        within.map(|(_, rows)| rows).sum::<usize>() as f64 / window
    };
    // Where a window at nearly the steady rate begins.
    let starts = at.iter().map(|(at, _)| *at);
    let warm = starts.into_iter().find(|start| rate(*start) >= STEADY * steady).unwrap_or(last);
    Ok((first, warm, steady))
}

fn seconds(at: Instant, begun: Instant) -> f64 {
    at.saturating_duration_since(begun).as_secs_f64()
}

/// All heads, bucket by bucket, with nothing made of them: seconds and how many.
fn read_heads(cql: &str, keyspace: &str) -> Result<(f64, usize)> {
    let buckets = Topology::shipped().buckets(ProcessorKind::Inbox) as i32;
    tokio::runtime::Runtime::new()?.block_on(async {
        let session = SessionBuilder::new().known_node(cql).build().await?;
        let text = format!(
            "SELECT recipient, latest_seq, foreign_count, latest_window FROM {keyspace}.inbox_heads WHERE bucket = ?"
        );
        let prepared = session.prepare(text).await?;
        let (begun, session, prepared) = (Instant::now(), &session, &prepared);
        let read = |bucket: i32| async move {
            let pager = session.execute_iter(prepared.clone(), (bucket,)).await?;
            let mut rows = pager.rows_stream::<(String, Option<i64>, Option<i64>, Option<i64>)>()?;
            let mut count = 0;
            while rows.try_next().await?.is_some() {
                count += 1;
            }
            anyhow::Ok(count)
        };
        let counts: Vec<usize> =
            stream::iter(0..buckets).map(read).buffer_unordered(IN_FLIGHT).try_collect().await?;
        Ok((begun.elapsed().as_secs_f64(), counts.iter().sum()))
    })
}
