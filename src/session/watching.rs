//! Watches on znodes, and the limit of how many a session can have.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use tokio::sync::watch;

use super::client::Client;
use super::connection::{Fired, WatchEvent};
use crate::error::{Error, Failure};
use crate::znode::Origin;

/// The most bytes of path names that one session watches. Reconnecting fails above about 128 KiB.
const MAX_WATCHED_BYTES: usize = 100 * 1024;

/// A watch on a znode. Resolves at its first event. Dropping it removes the watch.
pub(crate) struct Watch {
    event: WatchEvent,
    ended: watch::Receiver<bool>,
    end: BoxFuture<'static, ()>,
    _budget: Budget,
}

/// The stat of a znode, and a watch that was set with the same request.
pub(crate) type Peek = (Origin, Watch);

/// The bytes of one path, reserved from the limit of the session.
struct Budget {
    client: Arc<Client>,
    bytes: usize,
}

impl Client {
    /// The stat of a znode, and a watch on it. If the znode does not exist, the watch waits for its creation.
    pub(crate) async fn watch(self: &Arc<Self>, path: &str) -> Result<(Option<Origin>, Watch), Failure> {
        let budget = self.reserve(path)?;
        let request = self.run("read", path, self.connection.stat_and_watch(path));
        let (stat, event) = request.await?;
        Ok((stat.as_ref().map(Origin::from), self.watch_of(event, budget)))
    }

    /// Reads a znode and sets a watch on it. `None`, and no watch, if the znode does not exist.
    ///
    /// Since the fix of CVE-2024-23944, servers send no events to a client without READ permission, yet some still accept
    /// the watch. Reading fails without that permission, so the client does not wait for events that never come.
    pub(crate) async fn read_and_watch(self: &Arc<Self>, path: &str) -> Result<Option<Peek>, Failure> {
        let budget = self.reserve(path)?;
        match self.run("read", path, self.connection.read_and_watch(path)).await {
            Ok((_, stat, event)) => Ok(Some((Origin::from(&stat), self.watch_of(event, budget)))),
            Err(Failure::NoNode) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Lists a directory and sets a watch on its children. No watch is set after `Failure::NoNode`.
    pub(crate) async fn list_and_watch(self: &Arc<Self>, dir: &str) -> Result<(Vec<String>, Watch), Failure> {
        let budget = self.reserve(dir)?;
        let request = self.run("list", dir, self.connection.list_and_watch(dir));
        let (children, event) = request.await?;
        Ok((children, self.watch_of(event, budget)))
    }

    fn watch_of(&self, event: WatchEvent, budget: Budget) -> Watch {
        let mut end = self.ended.subscribe();
        Watch {
            event,
            ended: self.ended.subscribe(),
            end: Box::pin(async move {
                let _ = end.wait_for(|ended| *ended).await;
            }),
            _budget: budget,
        }
    }

    fn reserve(self: &Arc<Self>, path: &str) -> Result<Budget, Failure> {
        let bytes = path.len() + self.chroot_bytes();
        let total = self.watched_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let budget = Budget { client: self.clone(), bytes };
        if total > MAX_WATCHED_BYTES {
            return Err(Failure::Refused(Error::TooManyWatches { bytes: total }));
        }
        Ok(budget)
    }
}

impl Future for Watch {
    type Output = Fired;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Fired> {
        let this = &mut *self;
        if this.end.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Fired::Ended);
        }
        // The client's watchers panic when its task was dropped. `Client::end` runs before this crate aborts that task, and
        // waits while this borrow is held.
        let ended = this.ended.borrow();
        if *ended {
            return Poll::Ready(Fired::Ended);
        }
        this.event.as_mut().poll(cx)
    }
}

impl Drop for Budget {
    fn drop(&mut self) {
        self.client.watched_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
