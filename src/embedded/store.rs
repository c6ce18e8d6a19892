//! [`EmbeddedStore`]: the engine's view of the tables.

use std::{
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};

use super::{Database, Waker, queue::Lane, rows, shared::Shared, writer::Work};
use crate::{
    log::RequestId,
    store::{Query, Store, StoreCommand, StoreError, StoreErrorClass, StoreEvent},
};

/// Writes go to the database's writer; a thread of its own serves the reads, so neither call blocks.
pub struct EmbeddedStore {
    outbox: Outbox,
    events: mpsc::Receiver<StoreEvent>,
    reads: Option<mpsc::Sender<(RequestId, Query)>>,
    thread: Option<JoinHandle<()>>,
    database: Arc<Database>,
}

impl EmbeddedStore {
    /// A store whose `waker` is called after each event that was queued.
    ///
    /// # Errors
    /// When the system gives no further thread.
    pub fn start(database: &Arc<Database>, waker: Waker) -> Result<Self, std::io::Error> {
        let (sender, events) = mpsc::channel();
        let outbox = Outbox { events: sender, waker };
        let (reads, queries) = mpsc::channel();
        let (shared, answers) = (Arc::clone(&database.shared), outbox.clone());
        let thread = thread::Builder::new()
            .name("embedded-store".to_owned())
            .spawn(move || serve_reads(&shared, &queries, &answers))?;
        let database = Arc::clone(database);
        Ok(Self { outbox, events, reads: Some(reads), thread: Some(thread), database })
    }
}

impl Store for EmbeddedStore {
    fn submit(&mut self, command: StoreCommand) {
        match command {
            StoreCommand::Write { request, batch } => {
                let outbox = self.outbox.clone();
                let reply = Box::new(move |result: Result<(), StoreError>| {
                    outbox.send(match result {
                        Ok(()) => StoreEvent::Written { request },
                        Err(error) => StoreEvent::Failed { request, error },
                    });
                });
                if let Err(refused) = self.database.shared.submit(Lane::Engine, Work::Write { batch, reply })
                {
                    let (class, message) = (StoreErrorClass::Retriable, refused.sentence().to_owned());
                    self.outbox.send(StoreEvent::Failed { request, error: StoreError { class, message } });
                }
            }
            StoreCommand::Read { request, query } => {
                if let Some(reads) = &self.reads {
                    // The thread lives as long as this store.
                    let _ = reads.send((request, query));
                }
            }
        }
    }

    fn poll(&mut self) -> Option<StoreEvent> {
        self.events.try_recv().ok()
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        drop(self.reads.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

fn serve_reads(shared: &Shared, queries: &mpsc::Receiver<(RequestId, Query)>, outbox: &Outbox) {
    for (request, query) in queries {
        let snapshot = shared.spaces.database.snapshot();
        outbox.send(match rows::read(&shared.spaces, &snapshot, &query, shared.now_ms()) {
            Ok(rows) => StoreEvent::Rows { request, rows },
            Err(error) => StoreEvent::Failed { request, error },
        });
    }
}

/// Where events go.
#[derive(Clone)]
struct Outbox {
    events: mpsc::Sender<StoreEvent>,
    waker: Waker,
}

impl Outbox {
    fn send(&self, event: StoreEvent) {
        // Nobody listens any more once the store is dropped.
        if self.events.send(event).is_ok() {
            (self.waker)();
        }
    }
}

#[cfg(test)]
mod tests;
