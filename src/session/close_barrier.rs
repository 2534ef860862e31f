//! The barrier that a closing session waits at until all contenders have left.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;

/// Held by each contender on a session. Closing the session waits until all are dropped.
#[derive(Clone)]
pub(crate) struct CloseBarrier {
    sender: mpsc::Sender<Unconfirmed>,
    former_znodes: FormerZnodes,
}

/// A contender has left without confirmation that its znode is removed.
pub(super) struct Unconfirmed;

/// The number of contenders that may have a znode of a former ZooKeeper session. Ending the present one does not remove it.
#[derive(Clone, Default)]
pub(super) struct FormerZnodes(Arc<AtomicUsize>);

/// A contender may have a znode of a former session, until this is dropped.
pub(crate) struct FormerZnode(FormerZnodes);

impl CloseBarrier {
    /// The first handle of a session, which all others are clones of. The receiver ends when all are dropped.
    pub(super) fn new() -> (Self, mpsc::Receiver<Unconfirmed>, FormerZnodes) {
        let (sender, receiver) = mpsc::channel(1);
        let former_znodes = FormerZnodes::default();
        (Self { sender, former_znodes: former_znodes.clone() }, receiver, former_znodes)
    }

    /// To be called before the drop, unless it is certain that no znode is left.
    pub(crate) fn removal_unconfirmed(&self) {
        // If the channel is full, the message in it says the same.
        let _ = self.sender.try_send(Unconfirmed);
    }

    /// To be held as long as the contender may have a znode of a former session.
    pub(crate) fn former_znode(&self) -> FormerZnode {
        self.former_znodes.0.fetch_add(1, Ordering::AcqRel);
        FormerZnode(self.former_znodes.clone())
    }
}

impl FormerZnodes {
    pub(super) fn is_any(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }
}

impl Drop for FormerZnode {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}
