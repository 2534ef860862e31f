//! The seam between this crate and the ZooKeeper client. [`zookeeper`](super::zookeeper) implements it, and the simulation
//! does. Everything above it is written once.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use zookeeper_client as zk;

use super::connect::ConnectError;
use super::write::Write;
use crate::timestamp::Timestamp;
use crate::types::SessionId;

/// Opens connections.
#[async_trait]
pub(crate) trait Connector: Send + Sync {
    /// Opens a session, or resumes one. One attempt.
    ///
    /// # Cancel safety
    /// When the future is dropped, a session may have been opened or resumed on the ensemble.
    async fn attach(&self, resume: Option<ResumeRequest>) -> Result<Attached, ConnectError>;
}

/// The session to resume, and the session timeout to ask for.
#[derive(Clone, Debug)]
pub(crate) struct ResumeRequest {
    pub(crate) credentials: Credentials,
    pub(crate) timeout: Duration,
}

/// What resuming a session takes.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    pub(crate) session: SessionId,
    /// The id and the password. `None` for simulated servers, which ask for no password.
    pub(crate) info: Option<zk::SessionInfo>,
}

/// A new connection.
pub(crate) struct Attached {
    pub(crate) connection: Arc<dyn Connection>,
    /// When the session was created or resumed, if that is known.
    pub(crate) times: Option<AttachTimes>,
}

/// The time span in which a connect created or resumed a session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttachTimes {
    pub(crate) began: Timestamp,
    pub(crate) answered: Timestamp,
}

impl Attached {
    /// The same connection, but the connect may have begun as early as `began`.
    pub(super) fn since(mut self, began: Timestamp) -> Self {
        if let Some(times) = &mut self.times {
            times.began = times.began.min(began);
        }
        self
    }
}

/// A client with a session. It reconnects by itself, until it gives up: its state tells.
///
/// Requests fail with [`zk::Error`], of which [`classify`](super::classify) says what each means. They are sent in the order
/// in which their futures were polled first, and answered in the same order.
///
/// # Cancel safety
/// Dropping the future of a request does not recall the request.
#[async_trait]
pub(crate) trait Connection: Send + Sync {
    /// What resuming its session takes.
    fn credentials(&self) -> Credentials;

    /// The session timeout that was negotiated when it was opened.
    fn session_timeout(&self) -> Duration;

    /// The path that the client puts before each path; `/` for none.
    fn chroot(&self) -> &str;

    /// Whether it began on a read-only server: then its session is none of the ensemble's.
    fn is_read_only(&self) -> bool;

    /// A watcher of its state.
    fn states(&self) -> Box<dyn States>;

    /// Waits until it has ended without a change of its state, as it does when its runtime is shut down.
    async fn vanished(&self);

    /// Creates a znode without data.
    async fn create(&self, path: &str, mode: zk::CreateMode, acl: &[zk::Acl]) -> Result<(), zk::Error>;

    async fn delete(&self, path: &str) -> Result<(), zk::Error>;

    async fn stat(&self, path: &str) -> Result<Option<zk::Stat>, zk::Error>;

    async fn stat_and_watch(&self, path: &str) -> Result<(Option<zk::Stat>, WatchEvent), zk::Error>;

    async fn read(&self, path: &str) -> Result<(Vec<u8>, zk::Stat), zk::Error>;

    async fn read_and_watch(&self, path: &str) -> Result<(Vec<u8>, zk::Stat, WatchEvent), zk::Error>;

    async fn list(&self, dir: &str) -> Result<Vec<String>, zk::Error>;

    async fn list_and_watch(&self, dir: &str) -> Result<(Vec<String>, WatchEvent), zk::Error>;

    /// Carries out all writes or none. Returns one result for each.
    async fn transact(&self, writes: &[Write]) -> Result<Vec<zk::MultiWriteResult>, zk::MultiWriteError>;

    /// Lets go of the client, which closes its session behind all requests so far, unless the client is the application's and
    /// the application holds it. The state becomes [`Closed`](zk::SessionState::Closed) when the ensemble has closed the
    /// session.
    fn close(&self);

    /// Ends the client without closing its session. The returned future ends when the client can send nothing more. Until
    /// then the future must not be dropped, or the client may leak.
    fn abandon(&self) -> BoxFuture<'static, ()>;
}

/// The first event of a watch. Dropping it removes the watch.
pub(crate) type WatchEvent = BoxFuture<'static, Fired>;

/// Why a watch has resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fired {
    Deleted,
    Changed,
    /// The client was replaced or closed, or has lost its session. The state of the connection says which.
    Ended,
}

/// Watches the state of a [`Connection`].
#[async_trait]
pub(crate) trait States: Send {
    /// The state at present.
    fn current(&self) -> zk::SessionState;

    /// Waits for a change, and returns the new state. Waits for ever after the last one.
    ///
    /// # Cancel safety
    /// Can be dropped and called again.
    async fn changed(&mut self) -> zk::SessionState;

    /// Whether the state has changed since this was asked last.
    fn has_changed(&mut self) -> bool;
}
