//! Leadership: what a campaign ends with, for as long as it lasts.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;

use tokio::sync::{oneshot, watch};

use crate::clock;
use crate::driver::{self, Command, Commands};
use crate::error::{Error, Lost};
use crate::machine::Lease;
use crate::types::{FencingToken, Node, Timestamp};

/// The right to act as the leader, for as long as it is valid.
///
/// It ends when the application resigns or drops it, and by itself at the first sign that it cannot be proven
/// any longer: the connection to the ensemble breaks, the session is lost, somebody deletes the znode.
/// Whoever acts on it either asks [`is_valid`](Self::is_valid) right before each act, or lets
/// [`hold`](Self::hold) run the work and drop it in time.
///
/// What no client can promise: work that ignores being dropped (a blocking call, a spawned task), or a write
/// that is on the wire already, may take effect after the end. For that, send [`token`](Self::token) along
/// and let the receiver refuse old ones.
///
/// Dropping a leadership resigns in the background. A program that ends right afterwards should
/// [`resign`](Self::resign) instead, or its successor waits for the session timeout.
#[must_use = "dropping a leadership resigns"]
pub struct Leadership {
    number: u64,
    node: Node,
    lease: Arc<LeaseCell>,
    lost: watch::Receiver<Option<Lost>>,
    removed: Arc<AtomicBool>,
    commands: Commands,
}

/// Where the driver writes the end of the lease, and everybody reads it.
pub(crate) struct LeaseCell(AtomicU64);

impl LeaseCell {
    pub(crate) fn new(lease: Lease) -> Self {
        Self(AtomicU64::new(lease.end().as_nanos()))
    }

    pub(crate) fn set(&self, lease: Lease) {
        self.0.store(lease.end().as_nanos(), Ordering::Release);
    }

    fn end(&self) -> Timestamp {
        Timestamp::from_nanos(self.0.load(Ordering::Acquire))
    }
}

impl Leadership {
    pub(crate) fn new(
        number: u64,
        node: Node,
        lease: Arc<LeaseCell>,
        lost: watch::Receiver<Option<Lost>>,
        removed: Arc<AtomicBool>,
        commands: Commands,
    ) -> Self {
        Self { number, node, lease, lost, removed, commands }
    }

    /// The fencing token of this leadership: greater than that of every leadership of this election before.
    pub fn token(&self) -> FencingToken {
        self.node.token
    }

    /// The path of the leading znode, below the session's chroot.
    pub fn node(&self) -> &str {
        &self.node.path
    }

    /// Whether this leadership is valid at this moment, as far as this process has heard: one reading of the
    /// clock and one comparison with the leadership's end, no lock, no I/O. Ask right before acting, not ahead
    /// of time.
    ///
    /// In this version the end is not known in advance but set by what is heard of. A process that was paused
    /// hears late, and so does one whose server was cut off from the others; see the crate's documentation for
    /// what follows, and for the fencing token, which protects all the same.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        clock::now() < self.lease.end()
    }

    /// Waits until the leadership has ended, and tells why.
    ///
    /// # Cancel safety
    /// Can be dropped and called again.
    pub async fn lost(&self) -> Lost {
        let mut lost = self.lost.clone();
        let ended = lost.wait_for(Option::is_some).await;
        // The driver sets a reason before it drops the sender.
        ended.ok().and_then(|reason| *reason).unwrap_or(Lost::SessionClosed)
    }

    /// Runs `work` as long as the leadership is valid: returns what it returns, or drops it and returns why
    /// the leadership was lost. Validity is checked before each time that `work` is polled.
    ///
    /// Only what happens inside of the future is dropped with it: tasks that `work` has spawned, and blocking
    /// code, go on unless it takes care of them.
    ///
    /// # Cancel safety
    /// Dropping the future drops `work`; the leadership stays.
    pub async fn hold<F: Future>(&self, work: F) -> Result<F::Output, Lost> {
        let done = {
            let mut lost = pin!(self.lost());
            let mut work = pin!(work);
            std::future::poll_fn(|cx| {
                if lost.as_mut().poll(cx).is_ready() || !self.is_valid() {
                    return Poll::Ready(None);
                }
                work.as_mut().poll(cx).map(Some)
            })
            .await
        };
        // The work is dropped by now. The reason may come a moment after the end.
        match done {
            Some(output) => Ok(output),
            None => Err(self.lost().await),
        }
    }

    /// Gives the leadership back and waits until the ensemble knows, so that the next contender leads at
    /// once. The leadership is invalid from the call on. After it was lost, waits until its znode is gone.
    ///
    /// # Errors
    /// [`Error::RemovalUnconfirmed`] if the session has ended, or was closed, before the ensemble could confirm
    /// it: the znode goes with the session.
    /// [`Error::NotAuthorized`] if the ACL of the directory does not permit to delete: the removal is tried
    /// again and again in the background, and the znode goes with the session at the latest.
    ///
    /// # Cancel safety
    /// The resignation goes on when the future is dropped.
    ///
    /// # Connection loss
    /// Waits until there is a connection again, or until the session is over, however long that takes:
    /// [`Session::close`](crate::Session::close) has a limit.
    pub async fn resign(self) -> Result<(), Error> {
        let (reply, removed) = oneshot::channel();
        self.leave(Some(reply));
        removed.await.unwrap_or_else(|_| driver::removed(&self.removed))
    }

    fn leave(&self, reply: Option<oneshot::Sender<Result<(), Error>>>) {
        self.lease.set(Lease::OVER);
        let _ = self.commands.send(Command::Resign { number: self.number, reply });
    }
}

impl Drop for Leadership {
    fn drop(&mut self) {
        self.leave(None);
    }
}

impl fmt::Debug for Leadership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leadership")
            .field("node", &self.node.path)
            .field("token", &self.node.token)
            .field("is_valid", &self.is_valid())
            .finish_non_exhaustive()
    }
}
