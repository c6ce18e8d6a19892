//! The one place that looks at clocks for an engine.

use std::time::SystemTime;

use rustix::time::{ClockId, clock_gettime};

use crate::engine::Now;

/// Boot-time clock, which counts while the machine is suspended, and wall clock.
#[must_use]
pub fn now() -> Now {
    let boot = clock_gettime(ClockId::Boottime);
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Now { boot_ms: boot.tv_sec * 1_000 + boot.tv_nsec / 1_000_000, wall_us: wall.as_micros() as i64 }
}
