//! The end of a lease, shared between the contender's task and the leadership's holder.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::lease::Lease;
use crate::runtime;
use crate::timestamp::Timestamp;

/// The end of a leadership's lease. The contender's task writes it, any thread reads it.
pub(crate) struct LeaseCell(AtomicU64);

impl LeaseCell {
    pub(crate) fn new(lease: Lease) -> Self {
        Self(AtomicU64::new(lease.end().as_nanos()))
    }

    /// Whether the lease is valid now. Once this has returned `false`, it always does.
    pub(super) fn is_valid(&self) -> bool {
        let mut lease = self.read();
        let now = runtime::now();
        while !lease.is_valid(now) {
            let over = Lease::OVER.end().as_nanos();
            let ended = lease.end().as_nanos();
            if self.0.compare_exchange(ended, over, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                return false;
            }
            // The lease was extended or shortened concurrently: check the new end.
            lease = self.read();
        }
        true
    }

    /// Moves the end forward to that of `lease`, if it is earlier.
    pub(crate) fn shorten(&self, lease: Lease) {
        self.0.fetch_min(lease.end().as_nanos(), Ordering::AcqRel);
    }

    /// Sets the end to that of `lease`. Returns `false`, and changes nothing, if the lease was already seen to be over.
    pub(crate) fn extend(&self, lease: Lease) -> bool {
        let later = |end| (end != Lease::OVER.end().as_nanos()).then_some(lease.end().as_nanos());
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, later).is_ok()
    }

    /// Ends the lease for good.
    pub(crate) fn end_now(&self) {
        self.0.store(Lease::OVER.end().as_nanos(), Ordering::Release);
    }

    pub(crate) fn read(&self) -> Lease {
        Lease::until(Timestamp::from_nanos(self.0.load(Ordering::Acquire)))
    }
}
