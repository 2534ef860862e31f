//! After a panic of the contender's task. The session lives on, and with it the znode: it has to be found and removed, or
//! the contenders behind it wait for as long as the session lives.
//!
//! What the machine knew is given up with it. Its successor begins in the state in which there may be a znode, looks
//! for it among those that nobody answers for, and removes it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::FutureExt;
use futures_util::stream::StreamExt;
use tokio::time::Instant;

use super::requests::Outcome;
use super::{Driver, PendingRequests};
use crate::backoff::Backoff;
use crate::error::{Error, Lost, panic_message};
use crate::machine::{Event, Reply, Seen};
use crate::session::{Client, Prefetched};
use crate::telemetry;
use crate::types::Node;

/// Between two panics.
const PAUSE: Backoff = Backoff { first: Duration::from_millis(50), longest: Duration::from_secs(1) };

/// What the machine before has left.
#[derive(Default)]
pub(super) struct BeforePanic {
    /// Its requests may still create a znode, or find one.
    requests: PendingRequests,
    /// The znodes that it answered for.
    claimed: Vec<Node>,
}

impl Driver {
    /// Runs until it is done, also through panics.
    pub(super) async fn run(mut self) {
        let mut panics = 0;
        let mut began = Instant::now();
        let mut outcome = AssertUnwindSafe(self.serve()).catch_unwind().await;
        while let Err(panic) = outcome {
            if began.elapsed() > 10 * PAUSE.longest {
                panics = 0;
            }
            let reason = panic_message(&*panic).to_owned();
            // What can panic in there comes last.
            let _ = catch_unwind(AssertUnwindSafe(|| self.fail(reason)));
            tokio::time::sleep(PAUSE.pause(panics, fastrand::f64())).await;
            panics += 1;
            began = Instant::now();
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
            self.leaving = Some(leading.end(Lost::ContenderFailed));
        }
        self.deferred = false;
        if let Some(reply) = self.campaign.take() {
            let _ = reply.send(Err(Error::ContenderFailed { reason: reason.clone() }));
        }
        telemetry::contender_failed(&reason, led);
    }

    /// Has the znode looked for and removed.
    fn recover(&mut self) {
        let Self { requests, before_panic, claimed, .. } = self;
        before_panic.requests.extend(std::mem::take(requests));
        before_panic.claimed.append(claimed);
        self.machine = self.machine.recovering(fastrand::u64(..));
        (self.own, self.ahead, self.proving) = (None, None, None);
        self.prefetched = Prefetched::default();
        self.connected = false;
        self.refused = false;
        self.removed.store(false, Ordering::Release);
        // Says where the contender stands, before it can be taken for idle.
        self.feed(Event::Tick);
    }

    /// Takes note of a znode that this contender answers for from now on.
    pub(super) fn note_claims(&mut self, outcome: &Outcome) {
        self.claimed.extend(claims(outcome).cloned());
    }
}

impl BeforePanic {
    /// Waits for the requests that are under way, and answers for their znodes no longer.
    pub(super) async fn clear(self, client: &Client) {
        let Self { mut requests, mut claimed } = self;
        loop {
            match AssertUnwindSafe(requests.next()).catch_unwind().await {
                Ok(Some((_, outcome))) => claimed.extend(claims(&outcome).cloned()),
                Ok(None) => break,
                Err(_) => {}
            }
        }
        claimed.iter().for_each(|node| client.release(node));
    }
}

/// The znodes that have been claimed with this answer.
fn claims(outcome: &Outcome) -> impl Iterator<Item = &Node> {
    let (one, found) = match outcome {
        Outcome::Reply(Reply::Created(Ok((node, _)))) | Outcome::Tried(Ok((node, _)), _) => {
            (Some(node), None)
        }
        Outcome::Ahead(Ok((Seen::Orphan(node), _))) => (Some(node), None),
        Outcome::Reply(Reply::Found(Ok(nodes))) => (None, Some(nodes)),
        _ => (None, None),
    };
    one.into_iter().chain(found.into_iter().flatten())
}
