//! What a send costs at the least: two hops of the bare transactional loop, and one insert.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use heartline::topology::{Topic, Topology};
use scylla::{
    client::session::Session, client::session_builder::SessionBuilder, statement::prepared::PreparedStatement,
};
use tokio::runtime::Runtime;

use super::{
    echo::{Echo, Route, Watch},
    load::{Outgoing, Sender, paced},
};

const FIRST: Route = Route {
    name: "bench-hop-1",
    input: "bench-hop-in",
    outputs: &["bench-hop-mid"],
    copies: |_| 1,
    whole: true,
};
const SECOND: Route = Route {
    name: "bench-hop-2",
    input: "bench-hop-mid",
    outputs: &["bench-hop-out"],
    copies: |_| 1,
    whole: true,
};
/// Bytes of a send.
const BYTES: usize = 250;
const SETTLE: Duration = Duration::from_secs(5);

pub struct Hops {
    hops: [Echo; 2],
    kafka: String,
    partitions: u32,
    runtime: Runtime,
    session: Arc<Session>,
    insert: PreparedStatement,
}

impl Hops {
    pub fn start(kafka: &str, cql: &str, keyspace: &str) -> Result<Self> {
        let partitions = Topology::shipped().partitions(Topic::Sends);
        // The second one makes its input before the first one writes to it.
        let second = Echo::start_on(kafka, partitions, SECOND)?;
        let first = Echo::start_on(kafka, partitions, FIRST)?;
        let runtime = Runtime::new()?;
        let (session, insert) = runtime.block_on(async {
            let session = SessionBuilder::new().known_node(cql).build().await?;
            let table = format!("{keyspace}.bench_hops");
            session
                .query_unpaged(format!("CREATE TABLE {table} (id bigint PRIMARY KEY, body text)"), ())
                .await?;
            session.await_schema_agreement().await?;
            let insert = session.prepare(format!("INSERT INTO {table} (id, body) VALUES (?, ?)")).await?;
            anyhow::Ok((Arc::new(session), insert))
        })?;
        Ok(Self { hops: [first, second], kafka: kafka.to_owned(), partitions, runtime, session, insert })
    }

    /// Sends at a pace; the milliseconds until each was inserted that was sent after `from`.
    pub fn measure(&self, sender: &Sender, per_second: f64, count: u64, from: Duration) -> Result<Vec<f64>> {
        let watch = Watch::start(&self.kafka, SECOND.outputs[0], self.partitions)?;
        let (stop, inserted) =
            (Arc::new(AtomicBool::new(false)), Arc::<Mutex<HashMap<i64, Instant>>>::default());
        let watching = {
            let (stop, inserted) = (Arc::clone(&stop), Arc::clone(&inserted));
            let (session, insert) = (Arc::clone(&self.session), self.insert.clone());
            let runtime = self.runtime.handle().clone();
            thread::spawn(move || -> Result<()> {
                while !stop.load(Ordering::Acquire) {
                    let Some(seen) = watch.next(Duration::from_millis(50))? else { continue };
                    let text = String::from_utf8(seen.value)?;
                    let id: i64 = text.split(' ').next().context("a number")?.parse()?;
                    let (session, insert, inserted) =
                        (Arc::clone(&session), insert.clone(), Arc::clone(&inserted));
                    runtime.spawn(async move {
                        // One that failed is missed in the end.
                        if session.execute_unpaged(&insert, (id, text)).await.is_ok() {
                            lock(&inserted).insert(id, Instant::now());
                        }
                    });
                }
                Ok(())
            })
        };
        let mut sent = Vec::new();
        let begun = Instant::now();
        paced(per_second, count, |at| {
            let value = format!("{at} {:width$}", "", width = BYTES);
            if begun.elapsed() >= from {
                sent.push((at as i64, Instant::now()));
            }
            sender.send(Outgoing::new(FIRST.input, (at % u64::from(self.partitions)) as i32, "hop", &value))
        })?;
        sender.flush()?;
        let settle = Instant::now();
        while lock(&inserted).len() < count as usize && settle.elapsed() < SETTLE {
            thread::sleep(Duration::from_millis(10));
        }
        stop.store(true, Ordering::Release);
        watching.join().map_err(|_| anyhow!("the watching thread panicked"))??;
        let inserted = lock(&inserted);
        let times: Vec<f64> = sent
            .iter()
            .filter_map(|(id, at)| Some(inserted.get(id)?.saturating_duration_since(*at).as_secs_f64() * 1e3))
            .collect();
        ensure!(times.len() == sent.len(), "{} of {} came through both hops", times.len(), sent.len());
        Ok(times)
    }

    pub fn stop(self) -> Result<()> {
        self.hops.into_iter().try_for_each(Echo::stop)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
