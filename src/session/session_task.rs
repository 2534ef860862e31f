//! The task that keeps a session: follows the client's state, opens a client anew when the old one has given
//! up, and closes.
//!
//! ```text
//!   Connecting ──▶ Connected ◀──▶ Suspended      the client reconnects by itself
//!       ▲                             │ for 0.6 of the session timeout
//!       │                             ▼
//!       └── the server says expired ─ take up the same session with a new client, again and again
//! ```
//!
//! The ZooKeeper client gives a session up after a while without a server. The server is the one who knows:
//! a session outlives any outage of the whole ensemble. So the client is replaced before it gives up, and
//! the session is over when a server says so.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use zookeeper_client as zk;

use super::claims::Claims;
use super::client::Client;
use super::closing::AbandonedClient;
use super::connect::{AttachTimes, Connect, ConnectError, OpenedClient, Resume, open, pause};
use crate::clock;
use crate::error::Error;
use crate::in_flight::SessionInFlight;
use crate::lease::Evidence;
use crate::telemetry;
use crate::types::SessionId;

/// The state of a session, for those who send requests on it.
#[derive(Clone)]
pub(crate) enum ConnectionState {
    /// There is no ZooKeeper session, and none of before is left.
    Connecting,
    /// A server answers, since a moment ago: each connection is announced anew.
    Connected(Arc<Client>),
    /// No server answers; the ZooKeeper session may live.
    Suspended,
    /// The application closes the session: everybody is to clean up and leave, over this client if it is connected. (A
    /// connection that was announced a moment ago may not have been seen.)
    Closing(Option<Arc<Client>>),
    /// The session is closed.
    Closed,
    /// The ZooKeeper session is over and was the application's.
    Lost,
}

/// Held by those who have znodes on the session; closing waits until all are dropped.
#[derive(Clone)]
pub(crate) struct CloseBarrier(mpsc::Sender<Unconfirmed>);

/// Somebody has dropped a guard, and may have left a znode.
pub(super) struct Unconfirmed;

impl CloseBarrier {
    /// The origin of all guards of a session, and where the keeper hears of them.
    pub(super) fn new() -> (Self, mpsc::Receiver<Unconfirmed>) {
        let (sender, receiver) = mpsc::channel(1);
        (Self(sender), receiver)
    }

    /// To be called before this is dropped, unless no znode is left for certain.
    pub(crate) fn removal_unconfirmed(&self) {
        // Where one of these waits to be read, it stands for all.
        let _ = self.0.try_send(Unconfirmed);
    }
}

/// A request to close, and where to report to.
pub(super) type Close = oneshot::Sender<Result<(), Error>>;

pub(super) struct SessionTask {
    /// `None`: the client is the application's, and nothing can be opened again.
    pub(super) connect: Option<Arc<dyn Connect>>,
    pub(super) connection: watch::Sender<ConnectionState>,
    pub(super) claims: Arc<Claims>,
    pub(super) request_timeout: Option<Duration>,
    /// By how much of the session timeout leases end before the session can.
    pub(super) lease_margin: f64,
    /// Closed when the last handle is dropped, which closes the session as well.
    pub(super) commands: mpsc::UnboundedReceiver<Close>,
    pub(super) barriers: mpsc::Receiver<Unconfirmed>,
    pub(super) in_flight: SessionInFlight,
    /// The client in use, and the tasks that serve it.
    pub(super) client: Option<Arc<Client>>,
    pub(super) tasks: Vec<JoinHandle<()>>,
    /// Where the client is left when this ends in midstream.
    pub(super) left: Arc<Mutex<Option<AbandonedClient>>>,
    /// What came of closing, for those who ask later.
    pub(super) closed: Arc<OnceLock<Result<(), Error>>>,
    /// The least session timeout that the ensemble has given: an attempt that was not answered may have set it.
    pub(super) least_timeout: Duration,
    pub(super) connections: u64,
}

/// Why a client is of no use any more.
enum Served {
    /// The application wants to close, and hears of it here.
    Close(Option<Close>),
    /// The client gave up, or is about to.
    Over,
}

impl SessionTask {
    pub(super) async fn run(mut self, mut opened: OpenedClient) {
        loop {
            let (client, tasks, attach) = opened.into_parts();
            let info = client.session().clone();
            let mut states = client.state_watcher();
            let evidence = self.evidence(&client, attach);
            let timeout = evidence.lock().unwrap().terms().session_timeout();
            let request_timeout = self.request_timeout.unwrap_or(timeout);
            let client = Client::new(client, request_timeout, self.claims.clone(), evidence);
            (self.client, self.tasks) = (Some(client.clone()), tasks);
            let served = match info.is_readonly() {
                // The id of its session was another one's, and is not told when it finds a quorum.
                true => {
                    telemetry::began_read_only();
                    Served::Over
                }
                false => self.serve(&client, &mut states, timeout).await,
            };
            if let Served::Close(reply) = served {
                return self.close(reply, &client, &mut states, timeout).await;
            }
            self.abandon(&client).await;
            let Some(connect) = self.connect.clone() else {
                telemetry::session_lost(client.session());
                let _ = self.closed.set(Err(Error::SessionLost));
                return drop(self.connection.send_replace(ConnectionState::Lost));
            };
            opened = match self.reopen(&*connect, info, timeout).await {
                Ok(opened) => opened,
                Err(close) => return self.close_without_client(close).await,
            };
        }
    }

    /// What is known of the session of a new client.
    fn evidence(&mut self, client: &zk::Client, attach: Option<AttachTimes>) -> Arc<Mutex<Evidence>> {
        let timeout = client.session_timeout();
        self.least_timeout = self.least_timeout.min(timeout);
        let session = SessionId::from_raw(client.session_id().0);
        let Some(former) = self.client.as_ref().filter(|former| former.session() == session) else {
            return Arc::new(Mutex::new(match attach {
                Some(attach) => Evidence::created(timeout, self.lease_margin, attach.began),
                None => Evidence::unknown(timeout, self.lease_margin),
            }));
        };
        let mut known = former.evidence().lock().unwrap();
        let before = known.terms().session_timeout();
        if timeout != before {
            telemetry::timeout_differs(session, before, timeout);
        }
        known.shorten(timeout);
        match attach {
            Some(attach) => known.taken_up(attach.began, attach.answered),
            None => known.moved(clock::now()),
        }
        former.evidence().clone()
    }

    /// Follows the state of the client until it is of no use any more.
    async fn serve(
        &mut self,
        client: &Arc<Client>,
        states: &mut zk::StateWatcher,
        timeout: Duration,
    ) -> Served {
        let patience = timeout.mul_f64(0.6);
        // A client that takes over from another has not seen what that has seen, and its server may lag.
        if self.connections > 0 {
            tokio::select! {
                close = self.commands.recv() => return Served::Close(close),
                caught_up = tokio::time::timeout(patience, catch_up(client)) => if caught_up.is_err() {
                    return Served::Over;
                },
            }
        }
        // A state watcher waits for ever when the terminal state was there before it.
        let mut state = states.peek_state();
        loop {
            if state.is_terminated() {
                return Served::Over;
            }
            self.publish(client, state);
            // Only a client of our own can be replaced.
            let suspended = state != zk::SessionState::SyncConnected && self.connect.is_some();
            let give_up = suspended.then(|| Instant::now() + patience);
            let mut suspected = false;
            state = loop {
                tokio::select! {
                    biased;
                    state = states.changed() => break state,
                    close = self.commands.recv() => return Served::Close(close),
                    _ = sleep_until(give_up.unwrap_or_else(Instant::now)), if give_up.is_some() => {
                        return Served::Over;
                    }
                    _ = client.suspect.notified(), if !suspected => suspected = true,
                    gone = is_gone(client), if suspected => {
                        if gone {
                            return Served::Over;
                        }
                        suspected = false;
                    }
                }
            };
        }
    }

    /// Takes up the session again, or opens another when a server says that it is over.
    async fn reopen(
        &mut self,
        connect: &dyn Connect,
        session: zk::SessionInfo,
        session_timeout: Duration,
    ) -> Result<OpenedClient, Option<Close>> {
        // Each attempt asks for the least timeout. One that is not answered may have set what its server gives.
        if let Some(client) = &self.client {
            client.evidence().lock().unwrap().shorten(self.least_timeout);
        }
        self.connection.send_replace(ConnectionState::Suspended);
        let id = session.id();
        let began = clock::now();
        let mut resume = Some(Resume { session, timeout: session_timeout.min(self.least_timeout) });
        let mut failures = telemetry::Attempts::default();
        for attempts in 0.. {
            let attempt = async {
                let outcome = open(connect, resume.clone(), session_timeout).await;
                let expired = matches!(outcome, Err(ConnectError::SessionExpired)) && resume.is_some();
                if outcome.is_err() && !expired {
                    sleep(pause(attempts)).await;
                }
                outcome
            };
            let outcome = tokio::select! {
                outcome = attempt => outcome,
                close = self.commands.recv() => return Err(close),
            };
            match outcome {
                // An earlier attempt that was not answered may be what this answer is to.
                Ok(opened) if resume.is_some() => return Ok(opened.since(began)),
                Ok(opened) => return Ok(opened),
                Err(ConnectError::SessionExpired) if resume.is_some() => {
                    telemetry::session_lost(SessionId::from_raw(id.0));
                    resume = None;
                    // Requests of the session before may still be about to claim something.
                    self.claims = Arc::default();
                    // What has been left behind so far has gone with the session.
                    while self.barriers.try_recv().is_ok() {}
                    self.connection.send_replace(ConnectionState::Connecting);
                }
                Err(error) => failures.failed(&error),
            }
        }
        unreachable!("attempts do not run out")
    }

    /// Tells what a state that is not terminal means for those who use the session.
    pub(super) fn publish(&mut self, client: &Arc<Client>, state: zk::SessionState) {
        if state == zk::SessionState::SyncConnected {
            self.connections += 1;
            telemetry::connected(client.session(), self.connections);
            self.connection.send_replace(ConnectionState::Connected(client.clone()));
        } else {
            // A read-only server is as good as none: it proves nothing and takes no writes.
            telemetry::suspended(client.session());
            self.connection.send_replace(ConnectionState::Suspended);
        }
    }
}

impl Drop for SessionTask {
    /// The task may be dropped at any time, with its runtime. There may be leaders then who do not know yet, or whose
    /// work goes on elsewhere: the session is not closed.
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            // It is kept as long as a handle of the session, because a leader may act that long.
            *self.left.lock().unwrap() = Some(AbandonedClient::new(&client, std::mem::take(&mut self.tasks)));
        }
        if !matches!(*self.connection.borrow(), ConnectionState::Lost) {
            self.connection.send_replace(ConnectionState::Closed);
        }
    }
}

/// Waits until the server has caught up with the ensemble: a new client is taken by servers that lag behind, too.
async fn catch_up(client: &Client) {
    for attempts in 0.. {
        if client.flush().await.is_ok() {
            return;
        }
        sleep(pause(attempts)).await;
    }
}

/// Whether the client's task has ended without telling, as it does with its runtime: then every request
/// fails at once, and always the same way. Any answer of a server says that it has not: `sync` is enough here.
async fn is_gone(client: &Client) -> bool {
    let Some(inner) = client.inner() else {
        return true;
    };
    let answer = timeout(client.request_timeout(), inner.sync("/")).await;
    matches!(answer, Ok(Err(zk::Error::UnexpectedError(_))))
}
