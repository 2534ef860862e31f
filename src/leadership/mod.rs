//! A leadership: what a campaign returns. Its holder checks validity here, and runs work under it.

mod lease_cell;

use std::fmt;
use std::future::Future;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::Poll;

use tokio::sync::{oneshot, watch};

pub(crate) use self::lease_cell::LeaseCell;
use crate::error::{Error, Lost};
use crate::in_flight::InFlight;
use crate::runtime;
use crate::session::PinnedSession;
use crate::types::FencingToken;
use crate::znode::Node;

/// The right to act as the leader, for as long as it is valid.
///
/// It is a lease, which is renewed as long as the ensemble confirms that it keeps the session. It ends when the
/// application resigns or drops it, when the lease has not been renewed in time, when the session is lost, or when
/// the znode is deleted. A lost connection alone does not end it: reconnected in time, the same leadership
/// goes on with the same token.
/// To act on it, either call [`is_valid`](Self::is_valid) right before each act, or let [`hold`](Self::hold) run the work
/// and drop it in time.
///
/// What no client can promise: work that ignores being dropped (a blocking call, a spawned task), or a write
/// that is on the wire already, may take effect after the end. For that, send [`token`](Self::token) along
/// and let the receiver refuse old ones. What is written to the same ensemble goes through
/// [`guarded`](Self::guarded).
///
/// Dropping a leadership resigns in the background. A program that ends right afterwards should
/// [`resign`](Self::resign) instead, or its successor waits for the session timeout.
#[must_use = "dropping a leadership resigns"]
pub struct Leadership {
    node: Node,
    lease: Arc<LeaseCell>,
    work: Arc<InFlight>,
    lost: watch::Receiver<Option<Lost>>,
    contender: Box<dyn GiveBack>,
    pinned_session: PinnedSession,
    /// This leadership's breadcrumb, once it is written.
    written_breadcrumb: OnceLock<WrittenBreadcrumb>,
}

/// The breadcrumb of a leadership, as it was written.
pub(crate) struct WrittenBreadcrumb {
    pub(crate) path: String,
    pub(crate) version: i32,
}

/// Where a removal's result is sent.
pub(crate) type RemovalReply = oneshot::Sender<Result<(), Error>>;

/// The contender's task, as the leadership that it has handed out sees it. A trait, because the task has to know
/// [`Leadership`] as well. The bounds keep the auto traits of `Leadership`.
pub(crate) trait GiveBack: Send + Sync + UnwindSafe + RefUnwindSafe {
    /// Ends the leadership, if it has not ended. The reply comes when its znode is removed.
    fn give_back(&self, reply: Option<RemovalReply>);

    /// Whether the znode was removed. Asked when the task has ended without a reply.
    fn removal(&self) -> Result<(), Error>;
}

impl Leadership {
    pub(crate) fn new(
        node: Node,
        lease: Arc<LeaseCell>,
        work: Arc<InFlight>,
        lost: watch::Receiver<Option<Lost>>,
        contender: Box<dyn GiveBack>,
        pinned_session: PinnedSession,
    ) -> Self {
        Self { node, lease, work, lost, contender, pinned_session, written_breadcrumb: OnceLock::new() }
    }

    #[cfg(test)]
    pub(crate) fn lease_cell(&self) -> &Arc<LeaseCell> {
        &self.lease
    }

    pub(crate) fn pinned_session(&self) -> &PinnedSession {
        &self.pinned_session
    }

    /// Master mode: the version of the path's counter that identifies this leadership's znode.
    pub(crate) fn incarnation(&self) -> Option<i32> {
        self.node.incarnation
    }

    pub(crate) fn written_breadcrumb(&self) -> Option<&WrittenBreadcrumb> {
        self.written_breadcrumb.get()
    }

    pub(crate) fn set_written_breadcrumb(&self, written_breadcrumb: WrittenBreadcrumb) {
        let _ = self.written_breadcrumb.set(written_breadcrumb);
    }

    /// The fencing token of this leadership: greater than that of every leadership of this election before.
    pub fn token(&self) -> FencingToken {
        self.node.token
    }

    /// The path of the leading znode, below the session's chroot.
    pub fn node(&self) -> &str {
        &self.node.path
    }

    /// Whether this leadership is valid at this moment: one reading of the clock and one comparison with the end of
    /// the lease, no lock, no I/O. Once `false`, it stays `false`. Ask right before acting, not ahead of time.
    ///
    /// The clock counts the time that the machine was suspended, so that a process which was paused for any length
    /// of time gets the right answer to its first question, before it has heard of anything. What the
    /// answer rests on: [`guarantees`](crate::guarantees).
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.lease.is_valid()
    }

    /// Waits until the leadership has ended, and tells why.
    ///
    /// # Cancel safety
    /// Can be dropped and called again.
    pub async fn lost(&self) -> Lost {
        let mut lost = self.lost.clone();
        let ended = lost.wait_for(Option::is_some).await;
        // The contender's task sets a reason before it drops the sender.
        ended.ok().and_then(|reason| *reason).unwrap_or(Lost::SessionClosed)
    }

    /// Runs `work` as long as the leadership is valid: returns what it returns, or drops it and returns why
    /// the leadership was lost. It is dropped when the lease ends at the latest, by a timer. Timers stand still with a
    /// machine that is suspended, and with a runtime that is starved; but validity is checked before each time that
    /// `work` is polled, so that it does not take another step after the end.
    ///
    /// The znode of the leadership is removed only after `work` has been dropped, however the leadership has ended, so
    /// that the next leader does not begin before. If `work` cannot be dropped, because it blocks its thread, the
    /// znode is removed after the [`grace`](crate::ElectionBuilder::grace) period, and the caller who waits for the
    /// removal gets [`Error::WorkContinues`].
    ///
    /// Only what happens inside of the future is dropped with it: tasks that `work` has spawned, and blocking
    /// code, go on unless it takes care of them.
    ///
    /// # Cancel safety
    /// Dropping the future drops `work`; the leadership stays.
    pub async fn hold<F: Future>(&self, work: F) -> Result<F::Output, Lost> {
        let done = {
            // Declared first, so dropped after the work: the znode is kept until then.
            let _in_flight = self.work.begin();
            let mut lost = pin!(self.lost());
            let mut end = pin!(self.lease_ends());
            let mut work = pin!(work);
            std::future::poll_fn(|cx| {
                let over = lost.as_mut().poll(cx).is_ready() || end.as_mut().poll(cx).is_ready();
                if over || !self.is_valid() {
                    return Poll::Ready(None);
                }
                work.as_mut().poll(cx).map(Some)
            })
            .await
        };
        // The work is dropped by now. The reason may arrive a moment after the lease has ended.
        match done {
            Some(output) => Ok(output),
            None => Err(self.lost().await),
        }
    }

    /// Waits until the lease has ended without renewal. Uses its own timer, so that it does not depend on the
    /// contender's task.
    async fn lease_ends(&self) {
        while self.is_valid() {
            runtime::sleep(self.lease.read().end().since(runtime::now())).await;
        }
    }

    /// Ends the lease, and tells the contender's task.
    pub(crate) fn give_back(&self, reply: Option<RemovalReply>) {
        self.lease.end_now();
        self.contender.give_back(reply);
    }

    /// Whether the znode was removed, after the contender's task has ended.
    pub(crate) fn removal(&self) -> Result<(), Error> {
        self.contender.removal()
    }
}

impl Drop for Leadership {
    fn drop(&mut self) {
        self.give_back(None);
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
