//! The [seam](super::connection) implemented with `zookeeper-client`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{BoxFuture, FutureExt, poll_fn};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use zookeeper_client as zk;

use super::abandoned_client::AbandonedClient;
use super::connect::{Connect, ConnectError, Resume};
use super::connection::{
    AttachTimes, Attached, Connection, Connector, Credentials, Fired, ResumeRequest, States, WatchEvent,
};
use super::write::Write;
use crate::error::panic_message;
use crate::runtime;
use crate::types::SessionId;

/// Opens clients by the means of the application.
pub(super) struct ClientConnector {
    pub(super) connect: Arc<dyn Connect>,
    /// The session timeout that the builder was given.
    pub(super) session_timeout: Duration,
}

#[async_trait]
impl Connector for ClientConnector {
    async fn attach(&self, resume: Option<ResumeRequest>) -> Result<Attached, ConnectError> {
        let limit = resume.as_ref().map_or(self.session_timeout, |resume| resume.timeout);
        let resume = resume.map(|ResumeRequest { credentials, timeout }| Resume {
            session: credentials.info.expect("the credentials of a client"),
            timeout,
        });
        open(&*self.connect, resume, limit).await
    }
}

/// Opens a session, and takes over the tasks that serve the client, because the client offers no way to end them while it
/// reconnects.
async fn open(
    connect: &dyn Connect,
    resume: Option<Resume>,
    session_timeout: Duration,
) -> Result<Attached, ConnectError> {
    let spawner = Spawner::default();
    let mut serving = FuturesUnordered::new();
    let began = runtime::now();
    // The call is inside the future, so that a panic in the call itself is caught as well.
    let mut connecting = pin!(async { connect.connect(resume).await });
    let attempt = poll_fn(|cx| {
        let _scope = spawns_core::enter(&spawner);
        let polled = connecting.as_mut().poll(cx);
        serving.extend(std::mem::take(&mut *spawner.tasks.lock().unwrap()));
        // Not after a failure: the client is dropped then, and its tasks would close a session that was resumed.
        if polled.is_pending() {
            while let Poll::Ready(Some(())) = serving.poll_next_unpin(cx) {}
        }
        polled
    });
    // The client's own limits are much shorter. An application's `Connect` may have none.
    let limit = session_timeout.saturating_mul(10);
    let outcome = match runtime::timeout(limit, AssertUnwindSafe(attempt).catch_unwind()).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(panic)) => {
            let reason = format!("the application's `Connect` panicked: {}", panic_message(&*panic));
            Err(ConnectError::Retry(reason.into()))
        }
        Err(_) => Err(ConnectError::Retry("the attempt takes too long".into())),
    };
    let client = outcome?;
    // This holds even if the client has found a quorum since: it has another session then, but reports the id of the
    // first.
    if client.session().is_readonly() || client.state() == zk::SessionState::ConnectedReadOnly {
        let reason =
            "the client is connected to a read-only server, which has no quorum: it opens no session";
        return Err(ConnectError::Retry(reason.into()));
    }
    let tasks = serving.into_iter().map(tokio::spawn).collect();
    // The client may have lost its connection already.
    let connected = client.state() == zk::SessionState::SyncConnected;
    let times = connected.then(|| AttachTimes { began, answered: runtime::now() });
    Ok(Attached { connection: ClientConnection::new(client, tasks), times })
}

/// Collects the tasks that serve a client, to be polled together with the attempt. They are not polled after a failed
/// attempt, because a running task would close the resumed session when the client is dropped.
#[derive(Default)]
struct Spawner {
    tasks: Mutex<Vec<BoxFuture<'static, ()>>>,
}

impl spawns_core::Spawn for Spawner {
    fn spawn(&self, task: spawns_core::Task) {
        self.tasks.lock().unwrap().push(Box::into_pin(task.future));
    }
}

/// A client, and the tasks that serve it.
pub(super) struct ClientConnection {
    client: Mutex<Option<zk::Client>>,
    /// None for the application's client, whose tasks the application runs.
    tasks: Mutex<Vec<JoinHandle<()>>>,
    session: zk::SessionInfo,
    session_timeout: Duration,
    chroot: String,
    states: Mutex<zk::StateWatcher>,
    /// Notified when something fails as if the client's task had ended.
    suspect: Arc<Notify>,
}

impl ClientConnection {
    pub(super) fn new(client: zk::Client, tasks: Vec<JoinHandle<()>>) -> Arc<Self> {
        Arc::new(Self {
            session: client.session().clone(),
            session_timeout: client.session_timeout(),
            chroot: client.path().to_owned(),
            states: Mutex::new(client.state_watcher()),
            client: Mutex::new(Some(client)),
            tasks: Mutex::new(tasks),
            suspect: Arc::default(),
        })
    }

    fn client(&self) -> Result<zk::Client, zk::Error> {
        self.client.lock().unwrap().clone().ok_or(zk::Error::ClientClosed)
    }

    fn checked<T>(&self, outcome: Result<T, zk::Error>) -> Result<T, zk::Error> {
        if let Err(zk::Error::UnexpectedError(_)) = outcome {
            self.suspect.notify_one();
        }
        outcome
    }

    fn event(&self, watcher: zk::OneshotWatcher) -> WatchEvent {
        let mut event = Box::pin(watcher.changed());
        let suspect = self.suspect.clone();
        Box::pin(poll_fn(move |cx| {
            // The client's watchers panic when its task was dropped, as it is with a runtime that is shut down.
            match catch_unwind(AssertUnwindSafe(|| event.as_mut().poll(cx))) {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(event)) => Poll::Ready(match event.event_type {
                    zk::EventType::NodeDeleted => Fired::Deleted,
                    zk::EventType::Session => Fired::Ended,
                    _ => Fired::Changed,
                }),
                Err(_) => {
                    suspect.notify_one();
                    Poll::Ready(Fired::Ended)
                }
            }
        }))
    }

    /// Whether the client's task has ended. Then every request fails at once with the same error.
    async fn is_gone(&self) -> bool {
        let Ok(client) = self.client() else {
            return true;
        };
        // Any answer of a server shows that the task is running, so `sync` suffices.
        let answer = runtime::timeout(self.session_timeout, client.sync("/")).await;
        matches!(answer, Ok(Err(zk::Error::UnexpectedError(_))))
    }
}

#[async_trait]
impl Connection for ClientConnection {
    fn credentials(&self) -> Credentials {
        Credentials { session: SessionId::from_raw(self.session.id().0), info: Some(self.session.clone()) }
    }

    fn session_timeout(&self) -> Duration {
        self.session_timeout
    }

    fn chroot(&self) -> &str {
        &self.chroot
    }

    fn is_read_only(&self) -> bool {
        self.session.is_readonly()
    }

    fn states(&self) -> Box<dyn States> {
        // Marks the present state as seen, as `Client::state_watcher` does.
        let mut states = self.states.lock().unwrap().clone();
        states.state();
        Box::new(ClientStates(states))
    }

    async fn vanished(&self) {
        loop {
            self.suspect.notified().await;
            if self.is_gone().await {
                return;
            }
        }
    }

    async fn create(&self, path: &str, mode: zk::CreateMode, acl: &[zk::Acl]) -> Result<(), zk::Error> {
        let options = mode.with_acls(zk::Acls::new(acl));
        self.checked(self.client()?.create(path, b"", &options).await).map(drop)
    }

    async fn delete(&self, path: &str) -> Result<(), zk::Error> {
        self.checked(self.client()?.delete(path, None).await)
    }

    async fn stat(&self, path: &str) -> Result<Option<zk::Stat>, zk::Error> {
        self.checked(self.client()?.check_stat(path).await)
    }

    async fn stat_and_watch(&self, path: &str) -> Result<(Option<zk::Stat>, WatchEvent), zk::Error> {
        let (stat, watcher) = self.checked(self.client()?.check_and_watch_stat(path).await)?;
        Ok((stat, self.event(watcher)))
    }

    async fn read(&self, path: &str) -> Result<(Vec<u8>, zk::Stat), zk::Error> {
        self.checked(self.client()?.get_data(path).await)
    }

    async fn read_and_watch(&self, path: &str) -> Result<(Vec<u8>, zk::Stat, WatchEvent), zk::Error> {
        let (data, stat, watcher) = self.checked(self.client()?.get_and_watch_data(path).await)?;
        Ok((data, stat, self.event(watcher)))
    }

    async fn list(&self, dir: &str) -> Result<Vec<String>, zk::Error> {
        self.checked(self.client()?.list_children(dir).await)
    }

    async fn list_and_watch(&self, dir: &str) -> Result<(Vec<String>, WatchEvent), zk::Error> {
        let (children, watcher) = self.checked(self.client()?.list_and_watch_children(dir).await)?;
        Ok((children, self.event(watcher)))
    }

    async fn transact(&self, writes: &[Write]) -> Result<Vec<zk::MultiWriteResult>, zk::MultiWriteError> {
        let client = self.client()?;
        let mut writer = client.new_multi_writer();
        writes.iter().try_for_each(|write| write.add_to(&mut writer))?;
        let outcome = writer.commit().await;
        if let Err(zk::MultiWriteError::RequestFailed { source: zk::Error::UnexpectedError(_) }) = outcome {
            self.suspect.notify_one();
        }
        outcome
    }

    fn close(&self) {
        drop(self.client.lock().unwrap().take());
    }

    fn abandon(&self) -> BoxFuture<'static, ()> {
        let client = self.client.lock().unwrap().take();
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap());
        AbandonedClient::new(client, tasks).ended().boxed()
    }
}

struct ClientStates(zk::StateWatcher);

#[async_trait]
impl States for ClientStates {
    fn current(&self) -> zk::SessionState {
        self.0.peek_state()
    }

    async fn changed(&mut self) -> zk::SessionState {
        self.0.changed().await
    }

    fn has_changed(&mut self) -> bool {
        self.0.changed().now_or_never().is_some()
    }
}
