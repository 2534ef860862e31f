//! The leadership that the application holds, and what is left of it when it is over: work that has not ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::error::{Error, Lost};
use crate::leadership::LeaseCell;
use crate::telemetry;
use crate::work::Work;

/// The leadership that the application holds.
pub(super) struct Leading {
    pub(super) number: u64,
    pub(super) lease: Arc<LeaseCell>,
    pub(super) work: Arc<Work>,
    /// How long the work may go on before the znode is removed all the same.
    pub(super) grace: Duration,
    pub(super) lost: watch::Sender<Option<Lost>>,
}

/// A leadership that is over, and its work, which may not be.
pub(super) struct Leaving {
    work: Arc<Work>,
    since: Instant,
    grace: Duration,
    /// The work went on for longer than the grace period.
    overran: AtomicBool,
}

impl Leading {
    /// Ends it, and tells the application.
    pub(super) fn end(self, reason: Lost) -> Arc<Leaving> {
        self.lease.end_now();
        self.lost.send_replace(Some(reason));
        let Self { work, grace, .. } = self;
        Arc::new(Leaving { work, since: Instant::now(), grace, overran: AtomicBool::new(false) })
    }
}

impl Leaving {
    /// Waits until the work has ended, or the grace period. Returns whether there was something to wait for.
    pub(super) async fn work_ends(&self) -> bool {
        if self.work.ended().now_or_never().is_some() {
            return false;
        }
        if timeout_at(self.since + self.grace, self.work.ended()).await.is_err()
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
