//! The clock that measures leases. It counts the time for which the machine is suspended.

use crate::timestamp::Timestamp;

/// Reads the clock.
///
/// Linux: `CLOCK_BOOTTIME`, which counts suspended time. macOS and iOS: `CLOCK_MONOTONIC`, which counts it there. Elsewhere:
/// [`std::time::Instant`], which may not count it.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
pub(super) fn now() -> Timestamp {
    use rustix::time::{ClockId, clock_gettime};
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const CLOCK: ClockId = ClockId::Boottime;
    #[cfg(target_vendor = "apple")]
    const CLOCK: ClockId = ClockId::Monotonic;
    let time = clock_gettime(CLOCK);
    Timestamp::from_nanos(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
pub(super) fn now() -> Timestamp {
    use std::sync::LazyLock;
    use std::time::Instant;
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    Timestamp::from_nanos(u64::try_from(START.elapsed().as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    #[test]
    fn time_goes_forward() {
        let earlier = super::now();
        std::thread::sleep(std::time::Duration::from_millis(2));
        assert!(super::now() > earlier);
    }
}
