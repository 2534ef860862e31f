//! Resigning: the end of a leadership whose work is done.

use tokio::sync::oneshot;

use crate::breadcrumb;
use crate::error::Error;
use crate::leadership::Leadership;

impl Leadership {
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
        self.give_back(Some(reply));
        removed.await.unwrap_or_else(|_| self.removal())
    }
}
