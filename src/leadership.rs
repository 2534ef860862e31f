//! Leadership: what a campaign ends with, for as long as it lasts.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;

use tokio::sync::{oneshot, watch};

use crate::breadcrumb;
use crate::clock;
use crate::driver::{self, Command, Commands};
use crate::error::{Error, Lost};
use crate::guarded::WrittenBreadcrumb;
use crate::in_flight::InFlight;
use crate::lease::Lease;
use crate::session::PinnedSession;
use crate::types::{FencingToken, Node, Timestamp};

/// The right to act as the leader, for as long as it is valid.
///
/// It is a lease, which is renewed as long as the ensemble confirms that it keeps the session. It ends when the
/// application resigns or drops it, when the lease has not been renewed in time, when the session is lost, or when
/// somebody deletes the znode. A lost connection alone does not end it: reconnected in time, the same leadership
/// goes on with the same token.
/// Whoever acts on it either asks [`is_valid`](Self::is_valid) right before each act, or lets
/// [`hold`](Self::hold) run the work and drop it in time.
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
    exit: Exit,
    pinned_session: PinnedSession,
    /// Our breadcrumb, once it is written.
    written_breadcrumb: OnceLock<WrittenBreadcrumb>,
}

/// How a leadership is given back to the driver.
pub(crate) struct Exit {
    pub(crate) number: u64,
    /// Whether the znode is gone, for those who ask when the driver has ended.
    pub(crate) removed: Arc<AtomicBool>,
    pub(crate) commands: Commands,
}

/// Where the driver writes the end of the lease, and everybody reads it.
pub(crate) struct LeaseCell(AtomicU64);

impl LeaseCell {
    pub(crate) fn new(lease: Lease) -> Self {
        Self(AtomicU64::new(lease.end().as_nanos()))
    }

    /// Whether the lease is valid. Once somebody has seen that it is not, it never is again.
    fn is_valid(&self) -> bool {
        let mut lease = self.read();
        let now = clock::now();
        while !lease.is_valid(now) {
            let over = Lease::OVER.end().as_nanos();
            let ended = lease.end().as_nanos();
            if self.0.compare_exchange(ended, over, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                return false;
            }
            // It was moved at this very moment.
            lease = self.read();
        }
        true
    }

    /// Moves the end forward, if it lies behind this.
    pub(crate) fn shorten(&self, lease: Lease) {
        self.0.fetch_min(lease.end().as_nanos(), Ordering::AcqRel);
    }

    /// Moves the end; `false` if somebody has seen it already.
    pub(crate) fn extend(&self, lease: Lease) -> bool {
        let later = |end| (end != Lease::OVER.end().as_nanos()).then_some(lease.end().as_nanos());
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, later).is_ok()
    }

    /// Ends the lease.
    pub(crate) fn end_now(&self) {
        self.0.store(Lease::OVER.end().as_nanos(), Ordering::Release);
    }

    fn read(&self) -> Lease {
        Lease::until(Timestamp::from_nanos(self.0.load(Ordering::Acquire)))
    }
}

impl Leadership {
    pub(crate) fn new(
        node: Node,
        lease: Arc<LeaseCell>,
        work: Arc<InFlight>,
        lost: watch::Receiver<Option<Lost>>,
        exit: Exit,
        pinned_session: PinnedSession,
    ) -> Self {
        Self { node, lease, work, lost, exit, pinned_session, written_breadcrumb: OnceLock::new() }
    }

    pub(crate) fn pinned_session(&self) -> &PinnedSession {
        &self.pinned_session
    }

    /// In master mode, the version of the path's counter that stands for this leadership's znode.
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
        // The driver sets a reason before it drops the sender.
        ended.ok().and_then(|reason| *reason).unwrap_or(Lost::SessionClosed)
    }

    /// Runs `work` as long as the leadership is valid: returns what it returns, or drops it and returns why
    /// the leadership was lost. It is dropped when the lease ends at the latest, by a timer. Timers stand still with a
    /// machine that is suspended, and with a runtime that is starved; but validity is checked before each time that
    /// `work` is polled, so that it does not take another step after the end.
    ///
    /// The znode of the leadership is removed only after `work` has been dropped, whoever has ended the leadership, so
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
            // Dropped after the work: the znode stays until then.
            let _working = self.work.begin();
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
        // The work is dropped by now. The reason may come a moment after the end.
        match done {
            Some(output) => Ok(output),
            None => Err(self.lost().await),
        }
    }

    /// Waits until the lease has ended without being renewed, by a timer of its own.
    async fn lease_ends(&self) {
        while self.is_valid() {
            tokio::time::sleep(self.lease.read().end().since(clock::now())).await;
        }
    }

    /// Gives the leadership back and waits until the ensemble knows, so that the next contender leads at
    /// once. After it was lost, waits until its znode is gone.
    ///
    /// A [breadcrumb](crate::ElectionBuilder::breadcrumb) is emptied before, as long as the leadership is valid. Call this
    /// when the work has ended, not while it may still act.
    ///
    /// # Errors
    /// [`Error::RemovalUnconfirmed`] if the session was closed, or ended with no other to follow, before the ensemble could
    /// confirm it, or the runtime of the session's tasks has been shut down: the znode goes with the session.
    /// [`Error::NotAuthorized`] if the ACL of the directory does not permit to delete: the removal is tried
    /// again and again in the background, and the znode goes with the session at the latest.
    ///
    /// # Cancel safety
    /// The resignation goes on when the future is dropped. The breadcrumb may stay then, as after a crash.
    ///
    /// # Connection loss
    /// Waits until there is a connection again, however long that takes: [`Session::close`](crate::Session::close) has a
    /// limit. If the session is over by then, the next one makes sure that the znode is gone: a server that says so may
    /// have been deposed.
    pub async fn resign(self) -> Result<(), Error> {
        breadcrumb::erase(&self).await;
        let (reply, removed) = oneshot::channel();
        self.leave(Some(reply));
        removed.await.unwrap_or_else(|_| driver::removed(&self.exit.removed))
    }

    fn leave(&self, reply: Option<oneshot::Sender<Result<(), Error>>>) {
        self.lease.end_now();
        let _ = self.exit.commands.send(Command::Resign { number: self.exit.number, reply });
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
