//! The leadership that the application holds, and the one before it, whose work may still be running.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::watch;

use crate::error::{Error, Lost};
use crate::in_flight::{InFlight, SessionInFlightGuard};
use crate::leadership::LeaseCell;
use crate::runtime;
use crate::telemetry;
use crate::timestamp::Timestamp;

/// The leadership that the application holds.
pub(super) struct ActiveLeadership {
    pub(super) number: u64,
    pub(super) lease: Arc<LeaseCell>,
    pub(super) work: Arc<InFlight>,
    /// How long the work may continue after the end before the znode is removed anyway.
    pub(super) grace: Duration,
    pub(super) lost: watch::Sender<Option<Lost>>,
    /// Keeps the session open until the lease has ended.
    pub(super) _on_session: SessionInFlightGuard,
}

/// A leadership that has ended. Its work may still be running.
pub(super) struct EndedLeadership {
    work: Arc<InFlight>,
    since: Timestamp,
    grace: Duration,
    /// The work was still running after the grace period.
    overran: AtomicBool,
}

impl ActiveLeadership {
    /// Ends the lease, and tells the application why.
    pub(super) fn end(self, reason: Lost) -> Arc<EndedLeadership> {
        self.lease.end_now();
        self.lost.send_replace(Some(reason));
        let Self { work, grace, .. } = self;
        Arc::new(EndedLeadership { work, since: runtime::now(), grace, overran: AtomicBool::new(false) })
    }
}

impl EndedLeadership {
    /// Waits until the work has ended, or the grace period has. Returns whether there was anything to wait for.
    pub(super) async fn work_ends(&self) -> bool {
        if self.work.ended().now_or_never().is_some() {
            return false;
        }
        if runtime::timeout(self.grace.saturating_sub(runtime::now().since(self.since)), self.work.ended())
            .await
            .is_err()
            && !self.overran.swap(true, Ordering::AcqRel)
        {
            telemetry::work_goes_on(self.grace);
        }
        true
    }

    /// Whether the work ended in time.
    pub(super) fn outcome(&self) -> Result<(), Error> {
        if self.overran.load(Ordering::Acquire) {
            return Err(Error::WorkContinues { waited: self.grace });
        }
        Ok(())
    }
}
