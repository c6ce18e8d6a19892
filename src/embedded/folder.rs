//! The data folder: one process at a time, and either whole or not there.
//!
//! `lock` is held for as long as the database is open. A new database is made in `store.new` and becomes
//! `store` by a rename, so that a crash while it is being made leaves nothing half-done behind.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
};

use super::OpenError;

/// The lock of a data folder; dropping it frees the folder.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Creates the folder where it is missing, and locks it.
    pub fn lock(path: &Path) -> Result<Self, OpenError> {
        let failed = |error: io::Error| OpenError::storage(path, &error);
        fs::create_dir_all(path).map_err(failed)?;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path.join("lock"))
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: file }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse { folder: path.to_owned() }),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the database is once it is whole.
    pub fn store(&self) -> PathBuf {
        self.path.join("store")
    }

    /// Where a new database is made; what a crash left there is removed.
    pub fn clean_draft(&self) -> io::Result<PathBuf> {
        let draft = self.path.join("store.new");
        match fs::remove_dir_all(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(draft),
        }
    }

    /// Makes the draft the database.
    pub fn publish(&self, draft: &Path) -> io::Result<()> {
        fs::rename(draft, self.store())?;
        File::open(&self.path)?.sync_all()
    }
}
