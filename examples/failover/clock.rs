//! The clock that all processes share.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The time since some instant, the same for all processes of this machine. Nobody sets this clock.
pub(crate) fn now() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec as u32)
}
