//! What a leader does while it leads, as far as it must have ended before the next one may begin.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;

/// How many works, and leaderships, there are on a session.
#[derive(Clone, Debug, Default)]
pub(crate) struct Works(Arc<AtomicUsize>);

/// The works of one leadership.
#[derive(Debug)]
pub(crate) struct Work {
    /// How many are going on.
    count: watch::Sender<usize>,
    session: Works,
}

/// A work that is going on, until this is dropped.
pub(crate) struct Working<'a>(&'a Work);

/// Something that keeps the works of a session from having ended, until this is dropped.
pub(crate) struct Going(Works);

impl Works {
    /// A leadership begins: its lease may be acted upon without a work that is known.
    pub(crate) fn begin(&self) -> Going {
        self.0.fetch_add(1, Ordering::AcqRel);
        Going(self.clone())
    }

    /// Whether none is going on.
    pub(crate) fn have_ended(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }
}

impl Work {
    pub(crate) fn new(session: &Works) -> Arc<Self> {
        Arc::new(Self { count: watch::Sender::new(0), session: session.clone() })
    }

    /// A work begins.
    pub(crate) fn begin(&self) -> Working<'_> {
        self.session.0.fetch_add(1, Ordering::AcqRel);
        self.count.send_modify(|count| *count += 1);
        Working(self)
    }

    /// Waits until no work is going on.
    pub(crate) async fn ended(&self) {
        // The sender is here.
        let _ = self.count.subscribe().wait_for(|count| *count == 0).await;
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.count.send_modify(|count| *count -= 1);
        self.0.session.0.fetch_sub(1, Ordering::AcqRel);
    }
}
