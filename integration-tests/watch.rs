//! A `read_committed` consumer of `presence` that notes when each transition became visible, and the checks
//! of what it saw.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow, bail, ensure};
use heartline::{
    record::transition::{Status, TransitionView},
    topology::{Topic, Topology},
};
use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
};

use super::deployment::lasting_client;

/// A transition and when it became visible.
#[derive(Debug, Clone)]
pub struct Seen {
    pub at: Instant,
    pub transition: TransitionView,
}

pub struct Watch {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
    thread: JoinHandle<Result<Vec<Seen>>>,
}

impl Watch {
    pub fn start(kafka: &str) -> Result<Self> {
        Self::start_for(kafka, |_| true)
    }

    /// Keeps only the transitions that are wanted.
    pub fn start_for(kafka: &str, wanted: fn(&TransitionView) -> bool) -> Result<Self> {
        let consumer: BaseConsumer = lasting_client(kafka)
            .set("group.id", "heartline.watch")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "earliest")
            .set("fetch.wait.max.ms", "20")
            .create()?;
        let mut partitions = TopicPartitionList::new();
        for partition in 0..Topology::shipped().partitions(Topic::Presence) {
            partitions.add_partition_offset(Topic::Presence.name(), partition as i32, Offset::Beginning)?;
        }
        consumer.assign(&partitions)?;
        let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&count));
        let thread = thread::spawn(move || {
            let mut seen = Vec::new();
            while !stopped.load(Ordering::Acquire) {
                // While the broker is away there are errors, and records again after.
                if let Some(Ok(message)) = consumer.poll(Duration::from_millis(50)) {
                    let transition = TransitionView::decode(message.payload().unwrap_or_default());
                    let transition = transition.map_err(|refusal| anyhow!(refusal.message))?;
                    if wanted(&transition) {
                        seen.push(Seen { at: Instant::now(), transition });
                        counted.store(seen.len(), Ordering::Release);
                    }
                }
            }
            Ok(seen)
        });
        Ok(Self { stop, count, thread })
    }

    /// Stops once `due` transitions were seen and a moment has passed for more, or after `limit`: whoever
    /// compares tells then what is lacking.
    pub fn stop_after(self, due: usize, limit: Duration) -> Result<Vec<Seen>> {
        let begun = Instant::now();
        while self.count.load(Ordering::Acquire) < due && begun.elapsed() < limit {
            thread::sleep(Duration::from_millis(50));
        }
        thread::sleep(Duration::from_secs(1));
        self.stop.store(true, Ordering::Release);
        self.thread.join().map_err(|_| anyhow!("the watch panicked"))?
    }
}

/// Every user's transitions, in the order of versions: 1..n without gap or repeat, each from where the last
/// one led.
pub fn chains(
    transitions: impl IntoIterator<Item = TransitionView>,
) -> Result<BTreeMap<String, Vec<TransitionView>>> {
    let mut chains: BTreeMap<String, Vec<TransitionView>> = BTreeMap::new();
    for transition in transitions {
        let chain = chains.entry(transition.user.clone()).or_default();
        let (version, from) = chain.last().map_or((1, Status::Offline), |last| (last.version + 1, last.to));
        if (transition.version, transition.from) != (version, from) {
            bail!("{}: expected version {version} from {from:?}, found {transition:?}", transition.user);
        }
        chain.push(transition);
    }
    Ok(chains)
}

/// Nobody of these was ever announced offline, and everybody was announced.
pub fn always_online(chains: &BTreeMap<String, Vec<TransitionView>>, users: &[String]) -> Result<()> {
    for user in users {
        let chain = chains.get(user).map(Vec::as_slice).unwrap_or_default();
        ensure!(!chain.is_empty(), "{user} beat all the time and was never announced");
        if let Some(offline) = chain.iter().find(|transition| transition.to == Status::Offline) {
            bail!("{user} beat all the time and was announced offline: {offline:?}");
        }
    }
    Ok(())
}
