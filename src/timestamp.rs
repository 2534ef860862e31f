//! Instants on the clock that measures leases.

use std::time::Duration;

/// A reading of the clock that measures leases, see [`now`](crate::runtime::now).
///
/// Nanoseconds since an arbitrary instant before the program started. Only differences are meaningful.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Timestamp(u64);

impl Timestamp {
    /// The earliest timestamp.
    pub(crate) const MIN: Self = Self(0);

    /// The timestamp with this count of nanoseconds.
    pub(crate) const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The count of nanoseconds.
    pub(crate) const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The timestamp `span` before this one.
    pub(crate) fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// The time from `earlier` to this timestamp; zero if `earlier` is later.
    pub(crate) const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX)))
    }
}
