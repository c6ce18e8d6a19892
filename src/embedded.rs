//! The embedded log and store: durable on disk, in one process, no server.
//!
//! # The way of a write
//! Appends, transactions and row batches are queued, bounded in bytes, those of clients and of engines apart.
//! One writer takes of both, carries it out as one atomic batch of the database below, syncs it once, and
//! answers all. So nothing is acknowledged, or visible, before it is on disk, and a `kill -9` leaves every
//! piece of work whole or absent. Readers use snapshots and wait for nobody.
//!
//! # What it is not
//! Not a broker: a consumer group has one member, and whoever joins last is it. Not for two processes: the
//! folder is locked.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::SystemTime,
};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

pub use self::{
    client::{EmbeddedStoreClient, EmbeddedTopics},
    log::EmbeddedLog,
    store::EmbeddedStore,
};
use self::{
    folder::Folder,
    housekeeping::Housekeeping,
    shared::Shared,
    spaces::{Spaces, StorageError},
    topics::{Catalog, TopicEntry},
};
use crate::{
    table::TABLES,
    topology::{Cleanup, Topic, Topology},
};

mod batch;
mod client;
mod codec;
mod folder;
mod groups;
mod housekeeping;
mod layout;
mod log;
mod pending;
mod queue;
mod rows;
mod shared;
mod spaces;
mod store;
mod topics;
mod writer;

/// The wall clock in milliseconds since 1970: record times and times to live are taken from it.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;
pub use crate::client::Waker;

/// The format of the folder; another one is refused.
const FORMAT: u32 = 2;
const CATALOG_KEY: &str = "catalog";

/// Why the data folder can't be used.
#[derive(Debug, Error)]
pub enum OpenError {
    #[error("another heartline uses the folder {}; stop it, or name another folder", .folder.display())]
    InUse { folder: PathBuf },
    #[error(
        "the folder {} has format {found}, this heartline reads format {FORMAT}; use the version that wrote \
         it, or name another folder",
        .folder.display()
    )]
    Format { folder: PathBuf, found: u32 },
    #[error(
        "topic '{topic}' in the folder {} has {recorded} partitions, the topology says {wanted}; the count \
         is for the life of a topic: set it back, or name another folder",
        .folder.display()
    )]
    Partitions { folder: PathBuf, topic: Topic, recorded: u32, wanted: u32 },
    #[error(
        "topic '{topic}' in the folder {} has cleanup '{recorded}', the topology says '{wanted}'; set it \
         back, or name another folder",
        .folder.display()
    )]
    Cleanup { folder: PathBuf, topic: Topic, recorded: String, wanted: String },
    #[error("the folder {} can't be used: {detail}", .folder.display())]
    Storage { folder: PathBuf, detail: String },
}

impl OpenError {
    fn storage(folder: &Path, detail: &impl ToString) -> Self {
        Self::Storage { folder: folder.to_owned(), detail: detail.to_string() }
    }
}

/// An open data folder. Logs, topics and stores on it are made with [`EmbeddedLog::start`],
/// [`EmbeddedTopics::new`], [`EmbeddedStore::start`] and [`EmbeddedStoreClient::new`]; it is closed when the
/// last of them is dropped.
pub struct Database {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// Dropped to end the housekeeping.
    alive: Option<mpsc::Sender<()>>,
}

impl Database {
    /// Opens the folder, or makes it, and holds it to the topology. Topics that the folder lacks are created.
    pub fn open(folder: &Path, topology: &Topology) -> Result<Arc<Self>, OpenError> {
        Self::open_with_clock(folder, topology, Arc::new(wall_clock_ms))
    }

    /// As [`Database::open`], with another wall clock.
    pub fn open_with_clock(folder: &Path, topology: &Topology, clock: Clock) -> Result<Arc<Self>, OpenError> {
        let folder = Folder::lock(folder)?;
        let path = folder.path().to_owned();
        let failed = |error: StorageError| OpenError::storage(&path, &error);
        if !folder.store().exists() {
            create(&folder).map_err(|error| OpenError::storage(&path, &error))?;
        }
        let spaces = Spaces::open(&folder.store()).map_err(failed)?;
        let catalog = reconcile(&path, &spaces, topology)?;
        for table in TABLES {
            spaces.table(table).map_err(failed)?;
        }
        let shared = Arc::new(Shared::new(folder, spaces, catalog, clock));
        let (alive, ended) = mpsc::channel();
        let (writing, keeping) = (Arc::clone(&shared), Housekeeping::new(&shared));
        let mut database = Self { shared, threads: Vec::new(), alive: Some(alive) };
        database.spawn("embedded-writer", move || writer::run(&writing))?;
        database.spawn("embedded-keeper", move || keeping.run(&ended))?;
        Ok(Arc::new(database))
    }

    /// The id that a topic got when it was created.
    #[must_use]
    pub fn topic_id(&self, topic: Topic) -> Option<&str> {
        self.shared.catalog.get(&topic).map(|entry| &*entry.id)
    }

    fn spawn(&mut self, name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), OpenError> {
        let spawned = thread::Builder::new().name(name.to_owned()).spawn(body);
        let failed = |error: io::Error| OpenError::storage(self.shared.folder.path(), &error);
        self.threads.push(spawned.map_err(failed)?);
        Ok(())
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        drop(self.alive.take());
        self.shared.close();
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so; closing goes on.
            let _ = thread.join();
        }
    }
}

fn wall_clock_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.ok().and_then(|since| i64::try_from(since.as_millis()).ok()).unwrap_or(0)
}

/// The catalog on disk: format and topics.
#[derive(Serialize, Deserialize)]
struct StoredCatalog {
    format: u32,
    topics: BTreeMap<String, StoredTopic>,
}

#[derive(Serialize, Deserialize)]
struct StoredTopic {
    id: String,
    partitions: u32,
    /// `delete` or `compact`.
    cleanup: String,
}

fn create(folder: &Folder) -> Result<(), StorageError> {
    let failed = |error: io::Error| StorageError(error.to_string());
    let draft = folder.clean_draft().map_err(failed)?;
    let spaces = Spaces::open(&draft)?;
    store_catalog(&spaces, &StoredCatalog { format: FORMAT, topics: BTreeMap::new() })?;
    drop(spaces);
    folder.publish(&draft).map_err(failed)
}

/// Holds the folder to the topology and records the topics that are new.
fn reconcile(folder: &Path, spaces: &Spaces, topology: &Topology) -> Result<Catalog, OpenError> {
    let failed = |error: StorageError| OpenError::storage(folder, &error);
    let recorded = spaces.meta.get(CATALOG_KEY).map_err(|error| failed(error.into()))?;
    let recorded = recorded.ok_or_else(|| failed(StorageError("its catalog is missing".to_owned())))?;
    let mut stored: StoredCatalog = serde_json::from_slice(&recorded)
        .map_err(|error| failed(StorageError(format!("its catalog is damaged: {error}"))))?;
    if stored.format != FORMAT {
        return Err(OpenError::Format { folder: folder.to_owned(), found: stored.format });
    }
    let mut catalog = Catalog::new();
    let known = stored.topics.len();
    for (topic, spec) in topology.topics() {
        let cleanup = if spec.cleanup == Cleanup::Compact { "compact" } else { "delete" };
        let entry = stored.topics.entry(topic.name().to_owned()).or_insert_with(|| StoredTopic {
            id: Uuid::now_v7().to_string(),
            partitions: spec.partitions,
            cleanup: cleanup.to_owned(),
        });
        let folder = folder.to_owned();
        if entry.partitions != spec.partitions {
            let (recorded, wanted) = (entry.partitions, spec.partitions);
            return Err(OpenError::Partitions { folder, topic, recorded, wanted });
        }
        if entry.cleanup != cleanup {
            let (recorded, wanted) = (entry.cleanup.clone(), cleanup.to_owned());
            return Err(OpenError::Cleanup { folder, topic, recorded, wanted });
        }
        let (id, partitions, cleanup) = (entry.id.clone(), spec.partitions, spec.cleanup);
        catalog.insert(topic, TopicEntry { id, partitions, cleanup });
    }
    if stored.topics.len() > known {
        store_catalog(spaces, &stored).map_err(failed)?;
    }
    Ok(catalog)
}

fn store_catalog(spaces: &Spaces, catalog: &StoredCatalog) -> Result<(), StorageError> {
    let bytes = serde_json::to_vec(catalog).map_err(|error| StorageError(error.to_string()))?;
    let mut batch = spaces.database.batch().durability(Some(fjall::PersistMode::SyncAll));
    batch.insert(&spaces.meta, CATALOG_KEY, bytes);
    Ok(batch.commit()?)
}

#[cfg(test)]
mod tests;
