//! A contender whose process can stand still, as by SIGSTOP, while the test goes on.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::runtime::{self, Handle};
use tokio::sync::oneshot;
use zookeeper_election::{Session, SessionBuilder};

/// A runtime with one thread, on which all tasks of a session run. It ends when this is dropped.
pub(crate) struct Apart {
    runtime: Handle,
    _end: oneshot::Sender<()>,
}

/// While this lives, no task of the runtime goes on.
pub(crate) struct Still {
    _go_on: mpsc::Sender<()>,
}

impl Apart {
    pub(crate) fn start() -> Self {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel();
        // The thread is in the same network namespace as this one.
        thread::spawn(move || runtime.block_on(ended));
        Self { runtime: handle, _end: end }
    }

    /// Opens a session here.
    pub(crate) async fn session(&self, servers: String, timeout: Duration) -> Session {
        self.open(crate::builder(timeout), servers).await
    }

    /// Opens a session with these options here.
    pub(crate) async fn open(&self, builder: SessionBuilder, servers: String) -> Session {
        let opening = self.runtime.spawn(async move { builder.connect(&servers).await });
        opening.await.expect("no panic").expect("a session")
    }

    /// Stops everything here, and returns when it stands still.
    pub(crate) async fn stand_still(&self) -> Still {
        let (go_on, gone_on) = mpsc::channel::<()>();
        let (stands, stood) = oneshot::channel();
        self.runtime.spawn(async move {
            let _ = stands.send(());
            let _ = gone_on.recv();
        });
        stood.await.expect("the runtime runs");
        Still { _go_on: go_on }
    }
}
