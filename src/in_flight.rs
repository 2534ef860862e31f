//! What a leader does while it leads, as far as it must have ended before the next one may begin.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;

/// How many works, and leaderships, there are on a session.
#[derive(Clone, Debug, Default)]
pub(crate) struct SessionInFlight(Arc<AtomicUsize>);

/// The works of one leadership.
#[derive(Debug)]
pub(crate) struct InFlight {
    /// How many are going on.
    count: watch::Sender<usize>,
    session: SessionInFlight,
}

/// A work that is going on, until this is dropped.
pub(crate) struct InFlightGuard<'a>(&'a InFlight);

/// Something that keeps the works of a session from having ended, until this is dropped.
pub(crate) struct SessionInFlightGuard(SessionInFlight);

impl SessionInFlight {
    /// A leadership begins: its lease may be acted upon without a work that is known.
    pub(crate) fn begin(&self) -> SessionInFlightGuard {
        self.0.fetch_add(1, Ordering::AcqRel);
        SessionInFlightGuard(self.clone())
    }

    /// Whether none is going on.
    pub(crate) fn have_ended(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }
}

impl InFlight {
    pub(crate) fn new(session: &SessionInFlight) -> Arc<Self> {
        Arc::new(Self { count: watch::Sender::new(0), session: session.clone() })
    }

    /// A work begins.
    pub(crate) fn begin(&self) -> InFlightGuard<'_> {
        self.session.0.fetch_add(1, Ordering::AcqRel);
        self.count.send_modify(|count| *count += 1);
        InFlightGuard(self)
    }

    /// Waits until no work is going on.
    pub(crate) async fn ended(&self) {
        // The sender is here.
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
