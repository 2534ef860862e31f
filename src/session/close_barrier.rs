//! The barrier that a closing session waits at until all contenders have left.

use tokio::sync::mpsc;

/// Held by each contender on a session. Closing the session waits until all are dropped.
#[derive(Clone)]
pub(crate) struct CloseBarrier(mpsc::Sender<Unconfirmed>);

/// A contender has left without confirmation that its znode is removed.
pub(super) struct Unconfirmed;

impl CloseBarrier {
    /// The first handle of a session, which all others are clones of. The receiver ends when all are dropped.
    pub(super) fn new() -> (Self, mpsc::Receiver<Unconfirmed>) {
        let (sender, receiver) = mpsc::channel(1);
        (Self(sender), receiver)
    }

    /// To be called before the drop, unless it is certain that no znode is left.
    pub(crate) fn removal_unconfirmed(&self) {
        // If the channel is full, the message in it says the same.
        let _ = self.0.try_send(Unconfirmed);
    }
}
