//! What may be on its way to the database at a time.

use tokio::sync::{Semaphore, SemaphorePermit};

use super::{config::CqlConfig, error::closed};
use crate::store::StoreError;

/// Bytes are counted in this unit, rounded up, so that a permit count fits.
const UNIT_BYTES: usize = 1024;

/// Bytes of late writes: enough to keep a database busy, and few enough that what overtakes them has its turn
/// soon.
const LATE_BYTES: u32 = 512 * 1024;
/// What a late write counts for at least, so that small ones leave room for other requests.
const LATE_WRITE_BYTES_MIN: usize = 8 * 1024;

/// A request larger than a whole bound flies alone.
pub(super) struct Flight {
    requests: Semaphore,
    bytes: Bound,
    background: Bound,
    late: Bound,
}

struct Bound {
    units: Semaphore,
    max: u32,
}

/// What a request takes of the bounds.
#[derive(Clone, Copy)]
pub(super) enum Load {
    Read,
    /// Bytes of a write that somebody waits for.
    Write(usize),
    /// Bytes of a write that others overtake.
    Late(usize),
    /// Bytes of a write that nobody waits for.
    Background(usize),
}

impl Flight {
    pub(super) fn new(config: &CqlConfig) -> Self {
        Self {
            requests: Semaphore::new(config.in_flight_requests_max as usize),
            bytes: Bound::new(config.in_flight_bytes_max),
            background: Bound::new(config.background_bytes_max),
            late: Bound::new(LATE_BYTES.min(config.in_flight_bytes_max / 4)),
        }
    }

    /// Waits for a share.
    pub(super) async fn take_off(&self, load: Load) -> Result<[SemaphorePermit<'_>; 3], StoreError> {
        // In this order, always: two orders could wait for each other. What nobody waits for, or is late, has
        // its turn before it takes anything that somebody else could use.
        let (of_its_kind, bytes) = match load {
            Load::Read => (self.late.acquire(0).await?, 0),
            Load::Write(bytes) => (self.late.acquire(0).await?, bytes),
            Load::Late(bytes) => (self.late.acquire(bytes.max(LATE_WRITE_BYTES_MIN)).await?, bytes),
            Load::Background(bytes) => (self.background.acquire(bytes).await?, bytes),
        };
        let bytes = self.bytes.acquire(bytes).await?;
        let request = self.requests.acquire().await.map_err(|_| closed())?;
        Ok([of_its_kind, bytes, request])
    }
}

impl Bound {
    fn new(bytes: u32) -> Self {
        let max = units(bytes as usize);
        Self { units: Semaphore::new(max as usize), max }
    }

    async fn acquire(&self, bytes: usize) -> Result<SemaphorePermit<'_>, StoreError> {
        self.units.acquire_many(units(bytes).min(self.max)).await.map_err(|_| closed())
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
