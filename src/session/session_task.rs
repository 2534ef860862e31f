//! The task that keeps a session: follows the client's state, replaces a client that has lost its connection for too long,
//! and closes the session.
//!
//! ```text
//!   Connecting ──▶ Connected ◀──▶ Suspended      the client reconnects by itself
//!       ▲                             │ for 0.6 of the session timeout
//!       │                             ▼
//!       └─ the server says expired ── resume the same session with a new client, again and again
//! ```
//!
//! The ZooKeeper client gives up a session after some time without a server. But only a server knows whether the session
//! has expired: a session survives any outage of the whole ensemble. So the client is replaced before it gives up, and
//! the session is over when a server says so.

use std::pin::pin;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot, watch};
use zookeeper_client as zk;

use super::claims::Claims;
use super::client::Client;
use super::close_barrier::{FormerZnodes, Unconfirmed};
use super::connect::{ConnectError, pause};
use super::connection::{AttachTimes, Attached, Connection, Connector, Credentials, ResumeRequest, States};
use super::connection_state::ConnectionState;
use crate::error::Error;
use crate::in_flight::SessionInFlight;
use crate::lease::Evidence;
use crate::mistakes::mistake;
use crate::runtime::{self, Runtime, sleep, sleep_until};
use crate::telemetry;

/// A request to close: where its result is sent.
pub(super) type CloseReply = oneshot::Sender<Result<(), Error>>;

/// A client that was abandoned and may not have ended.
pub(super) type Abandoned = Arc<Mutex<Option<BoxFuture<'static, ()>>>>;

pub(super) struct SessionTask {
    /// `None`: the client is the application's, and no other can be opened.
    pub(super) connector: Option<Arc<dyn Connector>>,
    pub(super) runtime: Runtime,
    pub(super) connection: watch::Sender<ConnectionState>,
    pub(super) claims: Arc<Claims>,
    pub(super) request_timeout: Option<Duration>,
    /// The part of the session timeout by which leases end before the session can expire.
    pub(super) lease_margin: f64,
    /// Ends when the last handle is dropped, which also closes the session.
    pub(super) commands: mpsc::UnboundedReceiver<CloseReply>,
    pub(super) barriers: mpsc::Receiver<Unconfirmed>,
    pub(super) former_znodes: FormerZnodes,
    pub(super) in_flight: SessionInFlight,
    /// The client in use.
    pub(super) client: Option<Arc<Client>>,
    /// Where the client is kept if the runtime drops this task.
    pub(super) abandoned: Abandoned,
    /// The result of closing.
    pub(super) closed: Arc<OnceLock<Result<(), Error>>>,
    /// The least session timeout negotiated so far. Each attempt to resume asks for it, because an attempt whose reply was
    /// lost may have set it.
    pub(super) least_timeout: Duration,
    /// The number of connections so far.
    pub(super) connections: u64,
}

/// Why a client is no longer used.
enum Served {
    /// The application closes the session; `None` if it has dropped all handles.
    Close(Option<CloseReply>),
    /// The client gave up, or is about to.
    Over,
}

impl SessionTask {
    pub(super) async fn run(mut self, mut attached: Attached) {
        loop {
            let Attached { connection, times } = attached;
            let credentials = connection.credentials();
            let read_only = connection.is_read_only();
            let mut states = connection.states();
            let evidence = self.evidence(&*connection, times);
            let timeout = evidence.lock().unwrap().terms().session_timeout();
            let request_timeout = self.request_timeout.unwrap_or(timeout);
            let client = Client::new(connection, request_timeout, self.claims.clone(), evidence);
            self.client = Some(client.clone());
            let served = match read_only {
                // The client keeps reporting the id of its read-only session, which the ensemble does not know, even after it
                // has found a quorum.
                true => {
                    telemetry::began_read_only();
                    Served::Over
                }
                false => self.serve(&client, &mut *states, timeout).await,
            };
            if let Served::Close(reply) = served {
                return self.close(reply, &client, &mut *states, timeout).await;
            }
            if mistake!(ReplacedClientCloses) {
                client.close()
            } else {
                self.abandon(&client).await
            }
            let Some(connector) = self.connector.clone() else {
                telemetry::session_lost(client.session());
                let _ = self.closed.set(Err(Error::SessionLost));
                return drop(self.connection.send_replace(ConnectionState::Lost));
            };
            attached = match self.reopen(&*connector, credentials, timeout).await {
                Ok(attached) => attached,
                Err(close) => return self.close_without_client(close).await,
            };
        }
    }

    /// The evidence for leases on the session of a new client.
    fn evidence(&mut self, connection: &dyn Connection, times: Option<AttachTimes>) -> Arc<Mutex<Evidence>> {
        let timeout = connection.session_timeout();
        self.least_timeout = self.least_timeout.min(timeout);
        let session = connection.credentials().session;
        let same = |former: &&Arc<Client>| former.session() == session && !mistake!(NoClosingWindow);
        let Some(former) = self.client.as_ref().filter(same) else {
            return Arc::new(Mutex::new(match times {
                Some(times) => Evidence::created(timeout, self.lease_margin, times.began),
                None => Evidence::unknown(timeout, self.lease_margin),
            }));
        };
        let mut known = former.evidence().lock().unwrap();
        let before = known.terms().session_timeout();
        if timeout != before {
            telemetry::timeout_differs(session, before, timeout);
        }
        known.shorten(timeout);
        match times {
            Some(times) => known.taken_up(times.began, times.answered),
            None => known.moved(runtime::now()),
        }
        former.evidence().clone()
    }

    /// Follows the state of the client until it is no longer used.
    async fn serve(&mut self, client: &Arc<Client>, states: &mut dyn States, timeout: Duration) -> Served {
        let patience = timeout.mul_f64(0.6);
        // The server of a replacement client may lag behind what the previous client has read.
        if self.connections > 0 && !mistake!(LaggingServerBelieved) {
            tokio::select! {
                biased;
                close = self.commands.recv() => return Served::Close(close),
                caught_up = runtime::timeout(patience, catch_up(client)) => if caught_up.is_err() {
                    return Served::Over;
                },
            }
        }
        let mut vanished = pin!(client.vanished());
        // A state watcher that was made after the terminal state waits for ever.
        let mut state = states.current();
        loop {
            if state.is_terminated() {
                return Served::Over;
            }
            self.publish(client, state);
            // The application's client cannot be replaced.
            let suspended = state != zk::SessionState::SyncConnected && self.connector.is_some();
            let give_up = suspended.then(|| runtime::now() + patience);
            state = tokio::select! {
                biased;
                state = states.changed() => state,
                close = self.commands.recv() => return Served::Close(close),
                _ = sleep_until(give_up.unwrap_or_else(runtime::now)), if give_up.is_some() => {
                    return Served::Over;
                }
                () = &mut vanished => return Served::Over,
            };
        }
    }

    /// Resumes the session, or opens another when a server says that it is over.
    async fn reopen(
        &mut self,
        connector: &dyn Connector,
        credentials: Credentials,
        session_timeout: Duration,
    ) -> Result<Attached, Option<CloseReply>> {
        // Each attempt asks for the least timeout, and an attempt whose reply is lost may have set it.
        if let Some(client) = &self.client
            && !mistake!(UnansweredAttemptForgotten)
        {
            client.evidence().lock().unwrap().shorten(self.least_timeout);
        }
        self.connection.send_replace(ConnectionState::Suspended);
        let began = runtime::now();
        let session = credentials.session;
        let mut resume =
            Some(ResumeRequest { credentials, timeout: session_timeout.min(self.least_timeout) });
        let mut failures = telemetry::Attempts::default();
        for attempts in 0.. {
            let attempt = async {
                let outcome = connector.attach(resume.clone()).await;
                let expired = matches!(outcome, Err(ConnectError::SessionExpired)) && resume.is_some();
                if outcome.is_err() && !expired {
                    sleep(pause(attempts)).await;
                }
                outcome
            };
            let outcome = tokio::select! {
                biased;
                outcome = attempt => outcome,
                close = self.commands.recv() => return Err(close),
            };
            match outcome {
                // The session may have been resumed by an earlier attempt whose reply was lost.
                Ok(attached) if resume.is_some() => return Ok(attached.since(began)),
                Ok(attached) => return Ok(attached),
                Err(ConnectError::SessionExpired) if resume.is_some() => {
                    telemetry::session_lost(session);
                    resume = None;
                    // New claims, because requests on the previous session may still claim znodes.
                    self.claims = Arc::default();
                    // Znodes left so far are gone with the session.
                    while self.barriers.try_recv().is_ok() {}
                    self.connection.send_replace(ConnectionState::Connecting);
                }
                Err(error) => failures.failed(error.to_string()),
            }
        }
        unreachable!("attempts do not run out")
    }

    /// Announces a state that is not terminal.
    pub(super) fn publish(&mut self, client: &Arc<Client>, state: zk::SessionState) {
        if state == zk::SessionState::SyncConnected {
            self.connections += 1;
            telemetry::connected(client.session(), self.connections);
            self.connection.send_replace(ConnectionState::Connected(client.clone()));
        } else {
            // A read-only server counts as none: it accepts no writes and proves nothing.
            telemetry::suspended(client.session());
            self.connection.send_replace(ConnectionState::Suspended);
        }
    }
}

impl Drop for SessionTask {
    /// The runtime may drop the task at any time. Leaders may not know it yet, or their work may be running on another
    /// runtime, so the session is not closed.
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            // Kept as long as any handle of the session, because a leader may act as long.
            *self.abandoned.lock().unwrap() = Some(client.abandon());
        }
        if !matches!(*self.connection.borrow(), ConnectionState::Lost) {
            self.connection.send_replace(ConnectionState::Closed);
        }
    }
}

/// Waits until the server has caught up with the ensemble. A server that lags behind accepts new clients, too.
async fn catch_up(client: &Client) {
    for attempts in 0.. {
        if client.flush().await.is_ok() {
            return;
        }
        sleep(pause(attempts)).await;
    }
}
