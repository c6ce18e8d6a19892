//! What all users of an open database share.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use tokio::sync::watch;

use super::{
    Clock,
    folder::Folder,
    queue::{Lane, Queue, Refused},
    spaces::Spaces,
    topics::Catalog,
    writer::Work,
};
use crate::topology::Topic;

pub(super) struct Shared {
    pub catalog: Catalog,
    pub queue: Queue<Work>,
    clock: Clock,
    appended: BTreeMap<Topic, watch::Sender<()>>,
    numbers: AtomicU64,
    pub spaces: Spaces,
    /// Last, so that the folder is free only when the database is closed.
    pub folder: Folder,
}

impl Shared {
    pub fn new(folder: Folder, spaces: Spaces, catalog: Catalog, clock: Clock) -> Self {
        let appended = catalog.keys().map(|topic| (*topic, watch::Sender::new(()))).collect();
        let (queue, numbers) = (Queue::default(), AtomicU64::new(1));
        Self { catalog, queue, clock, appended, numbers, spaces, folder }
    }

    /// Milliseconds of the wall clock.
    pub fn now_ms(&self) -> i64 {
        (self.clock)()
    }

    /// A number that this process has not had before: assignments, epochs.
    pub fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    pub fn submit(&self, lane: Lane, work: Work) -> Result<(), Refused> {
        let bytes = match &work {
            Work::Append { records, .. } => records.iter().map(|record| record.size_bytes() + 64).sum(),
            Work::Transact { transaction, .. } => transaction_bytes(transaction),
            Work::Write { batch, .. } => batch.size_bytes(),
            _ => 0,
        };
        self.queue.push(lane, work, bytes)
    }

    /// Tells readers of the topic that there is more, or that the database is closing.
    pub fn announce(&self, topic: Topic) {
        if let Some(appended) = self.appended.get(&topic) {
            appended.send_replace(());
        }
    }

    /// Changes whenever something was appended to the topic; `None` for a topic that is not there.
    pub fn subscribe(&self, topic: Topic) -> Option<watch::Receiver<()>> {
        self.appended.get(&topic).map(watch::Sender::subscribe)
    }

    /// Lets the writer finish what is queued, and every reader end.
    pub fn close(&self) {
        self.queue.close();
        for topic in self.appended.keys() {
            self.announce(*topic);
        }
    }
}

fn transaction_bytes(transaction: &crate::log::Transaction) -> usize {
    use crate::log::TransactionStep;
    let step_bytes = |step: &TransactionStep| match step {
        TransactionStep::Offsets(offsets) => {
            offsets.iter().map(|(_, offset)| offset.metadata.len() + 32).sum()
        }
        TransactionStep::Records(records) => {
            records.iter().map(|record| record.size_bytes() + 64).sum::<usize>()
        }
    };
    transaction.steps.iter().map(step_bytes).sum()
}
