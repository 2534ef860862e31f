//! Recovery from a panic of the contender's task.
//!
//! The session outlives the panic, and so does the contender's znode. It has to be found and removed, because the
//! contenders behind it would wait for as long as the session lives.
//!
//! The state of the machine is discarded. A new machine starts in the state "there may be a znode", looks for it among
//! the orphans (the znodes of this session that no contender has claimed), and removes it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use futures_util::future::FutureExt;

use super::Driver;
use crate::backoff::Backoff;
use crate::error::{Error, Lost, panic_message};
use crate::machine::Event;
use crate::runtime;
use crate::session::Prefetched;
use crate::telemetry;

/// The pause after a panic.
const PAUSE: Backoff = Backoff { first: Duration::from_millis(50), longest: Duration::from_secs(1) };

impl Driver {
    /// Runs until the contender is done. Recovers from panics.
    pub(super) async fn run(mut self) {
        let mut panics = 0;
        let mut began = runtime::now();
        let mut outcome = AssertUnwindSafe(self.serve()).catch_unwind().await;
        while let Err(panic) = outcome {
            if runtime::now().since(began) > 10 * PAUSE.longest {
                panics = 0;
            }
            let reason = panic_message(&*panic).to_owned();
            // May panic again, but only after all else in it is done: see `fail`.
            let _ = catch_unwind(AssertUnwindSafe(|| self.fail(reason)));
            runtime::sleep(PAUSE.pause(panics, fastrand::f64())).await;
            panics += 1;
            began = runtime::now();
            let again = async {
                self.recover();
                self.serve().await;
            };
            outcome = AssertUnwindSafe(again).catch_unwind().await;
        }
    }

    /// Ends the leadership and the campaign.
    fn fail(&mut self, reason: String) {
        let leading = self.leading.take();
        let led = leading.is_some();
        if let Some(leading) = leading {
            self.ended = Some(leading.end(Lost::ContenderFailed));
        }
        self.deferred = false;
        if let Some(reply) = self.campaign.take() {
            let _ = reply.send(Err(Error::ContenderFailed { reason: reason.clone() }));
        }
        // Last, because the application's `tracing` subscriber may panic.
        telemetry::contender_failed(&reason, led);
    }

    /// Starts the new machine, which finds and removes the znode.
    fn recover(&mut self) {
        let Self { requests, before_panic, claimed, .. } = self;
        before_panic.requests.extend(std::mem::take(requests));
        before_panic.claimed.append(claimed);
        self.machine = self.machine.recovering(fastrand::u64(..));
        (self.own_watch, self.ahead_watch, self.proofs) = (None, None, None);
        self.prefetched = Prefetched::default();
        (self.follow_up, self.reported) = (None, None);
        self.connected = false;
        self.refused = false;
        self.removed.set(false);
        // Reports the new machine's standing, so that the contender does not pass for idle.
        self.feed(Event::Tick);
    }
}
