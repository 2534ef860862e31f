//! Watches that are left on znodes, and how many a session can have.

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

/// A watch that has been left on a znode. Resolves at its first event; dropped, it removes the watch.
pub(crate) struct Watch {
    event: BoxFuture<'static, zk::WatchedEvent>,
    ended: watch::Receiver<bool>,
    end: BoxFuture<'static, ()>,
    budget: Budget,
}

/// A look at a znode that has left a watch.
pub(crate) type Peek = (Origin, Watch);

/// What became of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fired {
    Deleted,
    Changed,
    /// The client is of no use any more. The state of the session tells why.
    Ended,
}

/// A share of the path names that a session may watch.
struct Budget {
    client: Arc<Client>,
    bytes: usize,
}

impl Client {
    /// Looks at a znode without reading it, and leaves a watch on it. If there is none, the watch waits for its
    /// creation.
    pub(crate) async fn watch(self: &Arc<Self>, path: &str) -> Result<(Option<Origin>, Watch), Failure> {
        let budget = self.reserve(path)?;
        let request = self.run("read", path, async |client| client.check_and_watch_stat(path).await);
        let (stat, watcher) = request.await?;
        Ok((stat.as_ref().map(Origin::from), self.watch_of(watcher, budget)))
    }

    /// Reads a znode and leaves a watch on it, `None` if there is none.
    ///
    /// Servers with the fix of CVE-2024-23944 tell nobody of a znode whom its ACL does not let read it, and some of
    /// them let a watch be left all the same. Reading is refused to whoever would wait in vain.
    pub(crate) async fn read_and_watch(self: &Arc<Self>, path: &str) -> Result<Option<Peek>, Failure> {
        let budget = self.reserve(path)?;
        match self.run("read", path, async |client| client.get_and_watch_data(path).await).await {
            Ok((_, stat, watcher)) => Ok(Some((Origin::from(&stat), self.watch_of(watcher, budget)))),
            Err(Failure::NoNode) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Lists a directory and leaves a watch on its list of children; `Failure::NoNode` leaves none.
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
        // The client's watchers panic when its task was dropped. Whoever aborts it writes `ended` first, and
        // cannot while this guard is held. A runtime that is shut down asks nobody: hence the catching.
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
