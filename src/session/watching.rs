//! Watches on znodes, and the limit of how many a session can have.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use zookeeper_client as zk;

use super::client::Client;
use crate::error::{Error, Failure};
use crate::znode::Origin;

/// The most bytes of path names that one session watches. Reconnecting fails above about 128 KiB.
const MAX_WATCHED_BYTES: usize = 100 * 1024;

/// A watch on a znode. Resolves at its first event. Dropping it removes the watch.
pub(crate) struct Watch {
    event: BoxFuture<'static, zk::WatchedEvent>,
    ended: watch::Receiver<bool>,
    end: BoxFuture<'static, ()>,
    budget: Budget,
}

/// The stat of a znode, and a watch that was set with the same request.
pub(crate) type Peek = (Origin, Watch);

/// Why a watch has resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fired {
    Deleted,
    Changed,
    /// The client was replaced or closed, or has lost its session. The state of the connection says which.
    Ended,
}

/// The bytes of one path, reserved from the limit of the session.
struct Budget {
    client: Arc<Client>,
    bytes: usize,
}

impl Client {
    /// The stat of a znode, and a watch on it. If the znode does not exist, the watch waits for its creation.
    pub(crate) async fn watch(self: &Arc<Self>, path: &str) -> Result<(Option<Origin>, Watch), Failure> {
        let budget = self.reserve(path)?;
        let request = self.run("read", path, async |client| client.check_and_watch_stat(path).await);
        let (stat, watcher) = request.await?;
        Ok((stat.as_ref().map(Origin::from), self.watch_of(watcher, budget)))
    }

    /// Reads a znode and sets a watch on it. `None`, and no watch, if the znode does not exist.
    ///
    /// Since the fix of CVE-2024-23944, servers send no events to a client without READ permission, yet some still accept
    /// the watch. Reading fails without that permission, so the client does not wait for events that never come.
    pub(crate) async fn read_and_watch(self: &Arc<Self>, path: &str) -> Result<Option<Peek>, Failure> {
        let budget = self.reserve(path)?;
        match self.run("read", path, async |client| client.get_and_watch_data(path).await).await {
            Ok((_, stat, watcher)) => Ok(Some((Origin::from(&stat), self.watch_of(watcher, budget)))),
            Err(Failure::NoNode) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Lists a directory and sets a watch on its children. No watch is set after `Failure::NoNode`.
    pub(crate) async fn list_and_watch(self: &Arc<Self>, dir: &str) -> Result<(Vec<String>, Watch), Failure> {
        let budget = self.reserve(dir)?;
        let request = self.run("list", dir, async |client| client.list_and_watch_children(dir).await);
        let (children, watcher) = request.await?;
        Ok((children, self.watch_of(watcher, budget)))
    }

    fn watch_of(&self, watcher: zk::OneshotWatcher, budget: Budget) -> Watch {
        let mut end = self.ended.subscribe();
        Watch {
            event: Box::pin(watcher.changed()),
            ended: self.ended.subscribe(),
            end: Box::pin(async move {
                let _ = end.wait_for(|ended| *ended).await;
            }),
            budget,
        }
    }

    fn reserve(self: &Arc<Self>, path: &str) -> Result<Budget, Failure> {
        let bytes = path.len() + self.chroot.len();
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
        // waits while this borrow is held. A runtime that is shut down does not wait, so the panic is caught as well.
        let ended = this.ended.borrow();
        if *ended {
            return Poll::Ready(Fired::Ended);
        }
        let event = &mut this.event;
        match catch_unwind(AssertUnwindSafe(|| event.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(event)) => Poll::Ready(match event.event_type {
                zk::EventType::NodeDeleted => Fired::Deleted,
                zk::EventType::Session => Fired::Ended,
                _ => Fired::Changed,
            }),
            Err(_) => {
                this.budget.client.suspect.notify_one();
                Poll::Ready(Fired::Ended)
            }
        }
    }
}

impl Drop for Budget {
    fn drop(&mut self) {
        self.client.watched_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
