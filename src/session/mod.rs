//! ZooKeeper sessions: opened, kept, opened again, closed. The only room that sends requests.
//!
//! ```text
//!   Session (the application's handle) ── SessionBuilder
//!     └─ Shared ── one per session, held by handles, elections, contenders and leaderships
//!          ├─ SessionTask ── opens and replaces clients, and announces each `ConnectionState`; `closing` ends it
//!          ├─ Heartbeat ──── sends a beat at intervals, and publishes proofs of the session
//!          └─ Client ─────── sends requests: `transaction`, `watching`, `znodes`, `orphans` and `counter` say which
//!               └─ Connection (a trait, `connection`) ── `zookeeper` implements it with `zookeeper-client`
//! ```

mod abandoned_client;
mod builder;
mod claims;
mod client;
mod close_barrier;
mod closing;
mod connect;
mod connection;
mod connection_state;
mod counter;
mod heartbeat;
mod orphans;
mod pinned_session;
mod probe;
mod session_task;
mod shared;
mod transaction;
mod watching;
mod write;
mod znodes;
mod zookeeper;

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use zookeeper_client as zk;

pub use self::builder::SessionBuilder;
use self::builder::SessionSettings;
use self::claims::Claims;
pub(crate) use self::client::{Client, classify};
pub(crate) use self::close_barrier::{CloseBarrier, FormerZnode};
pub use self::connect::{Connect, ConnectError, Resume};
pub(crate) use self::connection::Fired;
use self::connection::{Attached, Connection, Connector};
pub(crate) use self::connection_state::ConnectionState;
pub(crate) use self::counter::Counter;
pub(crate) use self::heartbeat::{Heartbeat, Proof, ProofSubscription};
pub(crate) use self::pinned_session::PinnedSession;
use self::session_task::{Abandoned, SessionTask};
pub(crate) use self::shared::Shared;
pub(crate) use self::transaction::TransactionError;
pub(crate) use self::watching::{Peek, Watch};
pub(crate) use self::write::Write;
pub(crate) use self::znodes::{Creation, NotCreated, Prefetched};
use self::zookeeper::ClientConnection;
use crate::error::Error;
use crate::in_flight::SessionInFlight;
use crate::mistakes::mistake;
use crate::runtime::Runtime;
use crate::types::SessionId;

/// The seam, for the simulation.
#[cfg(test)]
pub(crate) mod seam {
    pub(crate) use super::builder::SessionSettings;
    pub(crate) use super::connect::ConnectError;
    pub(crate) use super::connection::{
        AttachTimes, Attached, Connection, Connector, Credentials, Fired, ResumeRequest, States, WatchEvent,
    };
}

/// A ZooKeeper session, shared by any number of elections.
///
/// It survives the loss of a connection, and outages of the whole ensemble: as long as a server does not say
/// that the session is over, it is taken up again, with all its znodes. When a server does say so, another
/// session is opened, and the elections that wait join again at the tail.
///
/// A `Session` is a handle: clones share one ZooKeeper session. When the last handle and the last election
/// have been dropped, the session is closed in the background, which a program that ends at once does not
/// wait for; [`Session::close`] waits.
///
/// The tasks run on the tokio runtime that is current when the session is made. Shutting that runtime down
/// ends all leaderships at once, and leaves the znodes to the session timeout, because the work of a leader may still be
/// running elsewhere. For an application's own client, see [`Session::from_client`].
#[derive(Clone)]
pub struct Session {
    pub(crate) shared: Arc<Shared>,
}

impl Session {
    /// Shares a client that the application has already, and its session.
    ///
    /// When that session is over, no other can be opened. It is over when a server says so, or the client itself (after 1.4
    /// session timeouts without a server). Then campaigns end with [`Error::SessionLost`], leaderships have ended earlier
    /// with their leases, and the application makes a new client.
    /// The first leadership begins three eighths of the session timeout after the call at the earliest, because it is not
    /// known when the ensemble has last heard of the session, see [`guarantees`](crate::guarantees).
    /// [`Session::close`] removes the contenders' znodes and leaves the session open. Use one `Session` for
    /// one client: clone the `Session`, not the client.
    ///
    /// A client that began on a read-only server is refused: campaigns end with [`Error::SessionLost`]. An ephemeral znode
    /// of the client's session that has a contender's name, or is at a master's path, is an orphan if no contender of this
    /// process has created it. A contender that would wait for an orphan removes it.
    ///
    /// When the runtime of the `Session`'s tasks is shut down, nothing removes the znodes any more: they exist as long as the
    /// client's session. The `Session` holds its client until its last handle, the last election and the last leadership
    /// have been dropped. If the application has no clone of the client, the client ends then, and closes its session. An
    /// application that has one should drop it when no leader's work is running any more.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn from_client(client: zk::Client) -> Self {
        Self::from_connection(ClientConnection::new(client, Vec::new()))
    }

    /// Shares a connection of the application.
    pub(crate) fn from_connection(connection: Arc<dyn Connection>) -> Self {
        Self::start(None, Attached { connection, times: None }, SessionSettings::default())
    }

    /// The ZooKeeper session at present; `None` while there is no connection.
    pub fn id(&self) -> Option<SessionId> {
        match &*self.shared.connection.borrow() {
            ConnectionState::Connected(client) => Some(client.session()),
            _ => None,
        }
    }

    /// The session timeout, the least that was negotiated for this session: how long the ensemble keeps the znodes of a process
    /// that it does not hear of. `None` while there is no connection.
    pub fn timeout(&self) -> Option<Duration> {
        match &*self.shared.connection.borrow() {
            ConnectionState::Connected(client) => Some(client.terms().session_timeout()),
            _ => None,
        }
    }

    /// Closes the session and waits until the ensemble knows, for at most the session timeout: contenders
    /// step down ([`Lost::SessionClosed`](crate::Lost::SessionClosed)), campaigns end with
    /// [`Error::SessionClosed`], their znodes are removed, and (unless the client is the application's) the
    /// ZooKeeper session is ended. For all clones of this handle. Closing again does nothing, and returns what closing
    /// has returned.
    ///
    /// `Ok` says that no znode of a contender is left.
    ///
    /// # Errors
    /// [`Error::RemovalUnconfirmed`] if the ensemble could not be reached: a znode that is left goes when the session expires,
    /// or, on the application's own client, is removed as soon as there is a connection. Also if a server has said that an
    /// earlier ZooKeeper session is over, and a znode of it may be left: that server may have been deposed. Also if the runtime
    /// of the session's tasks has been shut down: then a znode that is left goes with its session.
    /// [`Error::SessionLost`] if the application's own client has lost its session before.
    /// [`Error::WorkContinues`] if the work of a leader had not ended after half of the session timeout: the session
    /// is left to expire, so that the next leader does not begin before.
    ///
    /// # Cancel safety
    /// The closing goes on when the future is dropped.
    pub async fn close(&self) -> Result<(), Error> {
        self.shared.barrier.lock().unwrap().take();
        let (reply, closed) = oneshot::channel();
        if self.shared.commands.send(reply).is_ok()
            && let Ok(closed) = closed.await
        {
            return closed;
        }
        if mistake!(SecondCloseIsOk) {
            return Ok(());
        }
        // The session is closed already, or its task was dropped with its runtime.
        self.shared.closed.get().cloned().unwrap_or(Err(Error::RemovalUnconfirmed))
    }

    /// Starts the tasks of a session whose first client is connected.
    fn start(connector: Option<Arc<dyn Connector>>, attached: Attached, settings: SessionSettings) -> Self {
        let runtime = Runtime::current();
        let (connection_tx, connection) = watch::channel(ConnectionState::Connecting);
        let (commands, commands_rx) = mpsc::unbounded_channel();
        let (barrier, barriers, former_znodes) = CloseBarrier::new();
        let in_flight = SessionInFlight::default();
        let claims = match connector {
            Some(_) => Arc::default(),
            None => Claims::on(attached.connection.credentials().session),
        };
        let abandoned = Abandoned::default();
        let closed = Arc::<OnceLock<_>>::default();
        let session_task = SessionTask {
            connector,
            runtime: runtime.clone(),
            connection: connection_tx,
            claims,
            request_timeout: settings.request_timeout,
            lease_margin: settings.lease_margin,
            commands: commands_rx,
            barriers,
            former_znodes,
            in_flight: in_flight.clone(),
            client: None,
            least_timeout: settings.least_timeout,
            abandoned: abandoned.clone(),
            closed: closed.clone(),
            connections: 0,
        };
        runtime.spawn(session_task.run(attached));
        let heartbeat = Heartbeat::new();
        runtime.spawn(heartbeat.clone().run(connection.clone()));
        let barrier = Mutex::new(Some(barrier));
        Self {
            shared: Arc::new(Shared {
                connection,
                commands,
                barrier,
                heartbeat,
                in_flight,
                runtime,
                _abandoned: abandoned,
                closed,
            }),
        }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("id", &self.id()).finish_non_exhaustive()
    }
}
