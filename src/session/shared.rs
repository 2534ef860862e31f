//! What the handles, elections and contenders of a session share.

use std::future::Future;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::client::Client;
use super::close_barrier::CloseBarrier;
use super::connect::pause;
use super::connection_state::ConnectionState;
use super::heartbeat::Heartbeat;
use super::session_task::{Abandoned, CloseReply};
use crate::error::{Error, Failure};
use crate::in_flight::SessionInFlight;
use crate::runtime::{self, Runtime, sleep, timeout_at};

/// How long a query is repeated until it succeeds.
const READ_TIMEOUT: Duration = Duration::from_secs(6);

/// What the handles, elections and contenders of a session share. When the last one is dropped, the session task closes
/// the session and ends.
pub(crate) struct Shared {
    pub(super) connection: watch::Receiver<ConnectionState>,
    pub(super) commands: mpsc::UnboundedSender<CloseReply>,
    /// The first handle of the barrier. Taken when the session closes.
    pub(super) barrier: Mutex<Option<CloseBarrier>>,
    pub(super) heartbeat: Arc<Heartbeat>,
    pub(super) in_flight: SessionInFlight,
    pub(super) runtime: Runtime,
    /// The client of a session task that was dropped with its runtime. It is kept here because a leader may still be
    /// acting while any handle exists, and dropping the client could close the session.
    pub(super) _abandoned: Abandoned,
    /// The result of closing.
    pub(super) closed: Arc<OnceLock<Result<(), Error>>>,
}

impl Shared {
    /// The state of the connection, and its changes.
    pub(crate) fn connection(&self) -> watch::Receiver<ConnectionState> {
        self.connection.clone()
    }

    /// A handle that keeps the session from closing until it is dropped. `None` if the session is closing already.
    pub(crate) fn barrier(&self) -> Option<CloseBarrier> {
        self.barrier.lock().unwrap().clone()
    }

    /// Whether the application has closed the session.
    pub(crate) fn is_closing(&self) -> bool {
        self.barrier.lock().unwrap().is_none()
    }

    pub(crate) fn heartbeat(&self) -> &Arc<Heartbeat> {
        &self.heartbeat
    }

    /// The leaders' work on this session.
    pub(crate) fn in_flight(&self) -> &SessionInFlight {
        &self.in_flight
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// A connected client. Waits until there is one.
    pub(crate) async fn client(&self) -> Result<Arc<Client>, Error> {
        let mut connection = self.connection();
        loop {
            if self.is_closing() {
                return Err(Error::SessionClosed);
            }
            match &*connection.borrow_and_update() {
                ConnectionState::Connected(client) => return Ok(client.clone()),
                ConnectionState::Closing(_) | ConnectionState::Closed => return Err(Error::SessionClosed),
                ConnectionState::Lost => return Err(Error::SessionLost),
                ConnectionState::Connecting | ConnectionState::Suspended => {}
            }
            connection.changed().await.map_err(|_| Error::SessionClosed)?;
        }
    }

    /// Runs a query, and repeats it after failures that may pass, for at most [`READ_TIMEOUT`].
    pub(crate) async fn read<T, F>(&self, query: impl Fn(Arc<Client>) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let started = runtime::now();
        let mut reason = String::from("no connection");
        let mut attempts = 0;
        while runtime::now().since(started) < READ_TIMEOUT {
            let attempt = async { query(self.client().await.map_err(Failure::Refused)?).await };
            match timeout_at(started + READ_TIMEOUT, attempt).await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(Failure::Refused(error))) => return Err(error),
                Ok(Err(failure)) => reason = failure.reason(),
                Err(_) => break,
            }
            sleep(pause(attempts)).await;
            attempts += 1;
        }
        Err(Error::Unavailable { waited: runtime::now().since(started), reason })
    }
}
