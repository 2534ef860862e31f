//! What the application asks of a contender's task, and how it learns that no znode is left.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{mpsc, oneshot};

use crate::error::Error;
use crate::leadership::{GiveBack, Leadership, RemovalReply};
use crate::mistakes::mistake;

/// A request of the application to a contender's task.
pub(crate) enum Command {
    Campaign(CampaignReply),
    Withdraw(RemovalReply),
    /// Ends the leadership with this number, if it is the current one.
    Resign {
        number: u64,
        reply: Option<RemovalReply>,
    },
}

/// Sends commands. The task ends some time after the last of these was dropped.
pub(crate) type Commands = mpsc::UnboundedSender<Command>;

/// Where a campaign's result is sent.
pub(super) type CampaignReply = oneshot::Sender<Result<Leadership, Error>>;

/// Whether every znode of a contender is removed for certain. It outlives the contender's task.
#[derive(Clone)]
pub(crate) struct Removed(Arc<AtomicBool>);

impl Removed {
    /// Of a contender that has not campaigned.
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }

    pub(super) fn set(&self, removed: bool) {
        self.0.store(removed, Ordering::Release);
    }

    /// The result of a removal, for callers whose reply was dropped with the task.
    pub(crate) fn outcome(&self) -> Result<(), Error> {
        if self.0.load(Ordering::Acquire) || mistake!(AlwaysRemoved) {
            Ok(())
        } else {
            Err(Error::RemovalUnconfirmed)
        }
    }
}

/// Gives the leadership with this number back to the contender's task.
pub(super) struct LeadershipExit {
    pub(super) number: u64,
    pub(super) removed: Removed,
    pub(super) commands: Commands,
}

impl GiveBack for LeadershipExit {
    fn give_back(&self, reply: Option<RemovalReply>) {
        let _ = self.commands.send(Command::Resign { number: self.number, reply });
    }

    fn removal(&self) -> Result<(), Error> {
        self.removed.outcome()
    }
}
