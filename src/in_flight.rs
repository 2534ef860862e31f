//! Tracks the leaders' running work, so that a znode is kept, and a session is not ended, until that work has stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;

/// The number of leaderships on a session, plus the number of futures that [`hold`](crate::Leadership::hold) is running
/// for them.
#[derive(Clone, Debug, Default)]
pub(crate) struct SessionInFlight(Arc<AtomicUsize>);

/// Counts a leadership as in flight on its session, until dropped.
pub(crate) struct SessionInFlightGuard(SessionInFlight);

/// The futures that [`hold`](crate::Leadership::hold) is running for one leadership.
#[derive(Debug)]
pub(crate) struct InFlight {
    count: watch::Sender<usize>,
    session: SessionInFlight,
}

/// Counts a future as in flight, until dropped.
pub(crate) struct InFlightGuard<'a>(&'a InFlight);

impl SessionInFlight {
    /// Counts a leadership: the application may act on its lease without [`hold`](crate::Leadership::hold).
    pub(crate) fn begin(&self) -> SessionInFlightGuard {
        self.0.fetch_add(1, Ordering::AcqRel);
        SessionInFlightGuard(self.clone())
    }

    /// Whether nothing is in flight.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }
}

impl InFlight {
    pub(crate) fn new(session: &SessionInFlight) -> Arc<Self> {
        Arc::new(Self { count: watch::Sender::new(0), session: session.clone() })
    }

    /// Counts a future.
    pub(crate) fn begin(&self) -> InFlightGuard<'_> {
        self.session.0.fetch_add(1, Ordering::AcqRel);
        self.count.send_modify(|count| *count += 1);
        InFlightGuard(self)
    }

    /// Waits until no future is running.
    pub(crate) async fn ended(&self) {
        // Cannot fail: `self` holds the sender.
        let _ = self.count.subscribe().wait_for(|count| *count == 0).await;
    }
}

impl Drop for SessionInFlightGuard {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for InFlightGuard<'_> {
    fn drop(&mut self) {
        self.0.count.send_modify(|count| *count -= 1);
        self.0.session.0.fetch_sub(1, Ordering::AcqRel);
    }
}
