//! The leadership that the application holds: its beginning, its extension, its end, and what is left of it then: work that
//! has not ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::Driver;
use crate::clock;
use crate::error::{Error, Lost};
use crate::in_flight::{InFlight, SessionInFlightGuard};
use crate::leadership::{Exit, Leadership, LeaseCell};
use crate::lease::Lease;
use crate::machine::Event;
use crate::session::PinnedSession;
use crate::telemetry;
use crate::types::Node;

/// The leadership that the application holds.
pub(super) struct Leading {
    pub(super) number: u64,
    pub(super) lease: Arc<LeaseCell>,
    pub(super) work: Arc<InFlight>,
    /// How long the work may go on before the znode is removed all the same.
    pub(super) grace: Duration,
    pub(super) lost: watch::Sender<Option<Lost>>,
    /// Keeps the session from being closed before the lease has ended.
    pub(super) _going: SessionInFlightGuard,
}

/// A leadership that is over, and its work, which may not be.
pub(super) struct Leaving {
    work: Arc<InFlight>,
    since: Instant,
    grace: Duration,
    /// The work went on for longer than the grace period.
    overran: AtomicBool,
}

impl Driver {
    /// Leadership begins, on this znode: hands it to the campaign, if that is still wanted.
    pub(super) fn lead(&mut self, node: Node, lease: Lease) {
        telemetry::leading(&node);
        self.leaderships += 1;
        let lease = Arc::new(LeaseCell::new(lease));
        let lost = watch::Sender::new(None);
        let work = InFlight::new(self.shared.in_flight());
        // A campaign holds a handle, and so does whoever holds the reply's receiver.
        let wanted = match (self.own_commands.upgrade(), self.campaign.take(), &self.client) {
            (Some(commands), Some(reply), Some(client)) => {
                let grace = self.config.grace.unwrap_or_else(|| client.terms().session_timeout());
                let exit = Exit { number: self.leaderships, removed: self.removed.clone(), commands };
                let leadership = Leadership::new(
                    node,
                    lease.clone(),
                    work.clone(),
                    lost.subscribe(),
                    exit,
                    PinnedSession::new(self.shared.clone(), client),
                );
                let _going = self.shared.in_flight().begin();
                self.leading = Some(Leading { number: self.leaderships, lease, work, grace, lost, _going });
                reply.send(Ok(leadership)).is_ok()
            }
            _ => false,
        };
        if !wanted {
            // Nobody waits any more. Now, and not when the dropped leadership's resignation is read: the next campaign
            // may have been asked for before.
            self.machine.handle(clock::now(), Event::Withdraw(Lost::Resigned));
        }
    }

    /// Leadership lasts longer.
    pub(super) fn extend(&mut self, lease: Lease) {
        if self.leading.as_ref().is_some_and(|leading| !leading.lease.extend(lease)) {
            // Somebody has seen the end, and acts no more.
            self.machine.handle(clock::now(), Event::Withdraw(Lost::LeaseExpired));
        }
    }

    /// Leadership lasts no longer than this.
    pub(super) fn shorten(&mut self, lease: Lease) {
        if let Some(leading) = &self.leading {
            leading.lease.shorten(lease);
        }
    }

    /// Leadership ends, for this reason.
    pub(super) fn step_down(&mut self, reason: Lost) {
        if let Some(leading) = self.leading.take() {
            self.leaving = Some(leading.end(reason));
            telemetry::stepped_down(reason);
        }
    }
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
        if timeout(self.grace.saturating_sub(self.since.elapsed()), self.work.ended()).await.is_err()
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
