//! ZooKeeper sessions: opened, kept, opened again, closed. The only part that sends requests.

mod claims;
mod client;
mod closing;
mod connect;
mod counter;
mod heartbeat;
mod pinned_session;
mod probe;
mod session_task;
mod transaction;
mod watching;
mod znodes;

use std::future::Future;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use zookeeper_client as zk;

use self::claims::Claims;
pub(crate) use self::client::{Client, Proof, classify};
use self::closing::AbandonedClient;
pub use self::connect::{Connect, ConnectError, Resume};
use self::connect::{OpenedClient, ServerList, open, pause};
pub(crate) use self::counter::Counter;
pub(crate) use self::heartbeat::{Heartbeat, ProofSubscription};
pub(crate) use self::pinned_session::PinnedSession;
use self::session_task::{Close, SessionTask};
pub(crate) use self::session_task::{CloseBarrier, ConnectionState};
use self::transaction::request_bytes;
pub(crate) use self::transaction::{TransactionError, Write};
pub(crate) use self::watching::{Fired, Peek, Watch};
pub(crate) use self::znodes::{Creation, NotCreated, Prefetched};
use crate::error::{Error, Failure};
use crate::in_flight::SessionInFlight;
use crate::lease;
use crate::telemetry;
use crate::types::SessionId;

const DEFAULT_SESSION_TIMEOUT: Duration = Duration::from_secs(6);
/// How long looking at an election is tried.
const READ_TIMEOUT: Duration = Duration::from_secs(6);

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
/// ends all leaderships at once, and leaves the znodes to the session timeout: the next leader does not begin
/// while the work of this one comes to its end elsewhere. [`Session::from_client`] says what becomes of an
/// application's own client.
#[derive(Clone)]
pub struct Session {
    pub(crate) shared: Arc<Shared>,
}

/// What the handles, the elections and their drivers share. The keeper ends when the last one is dropped.
pub(crate) struct Shared {
    connection: watch::Receiver<ConnectionState>,
    commands: mpsc::UnboundedSender<Close>,
    /// The origin of all guards; taken when the session closes.
    barrier: Mutex<Option<CloseBarrier>>,
    heartbeat: Arc<Heartbeat>,
    in_flight: SessionInFlight,
    runtime: tokio::runtime::Handle,
    /// The client of a keeper that has ended in midstream. Whatever may act as a leader holds a handle, and while there
    /// is one the session is not closed.
    _left: Arc<Mutex<Option<AbandonedClient>>>,
    /// What came of closing.
    closed: Arc<OnceLock<Result<(), Error>>>,
}

impl Session {
    /// Connects to the servers of `connect_string`: `host:port` of each, separated by commas, then optionally
    /// the path of a chroot: `zk1:2181,zk2:2181,zk3:2181/app`. Without a port, 2181.
    ///
    /// Waits until there is a session, for as long as it takes: [`SessionBuilder::connect_timeout`] sets a
    /// limit. Prefer host names to addresses.
    ///
    /// # Errors
    /// [`Error::InvalidConnectString`], [`Error::InvalidOptions`], [`Error::ChrootMissing`],
    /// [`Error::AuthenticationFailed`], [`Error::NotZooKeeper`] if something else answers at every address.
    ///
    /// # Cancel safety
    /// Dropping the future may leave an unused session on the ensemble until it expires there.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn connect(connect_string: &str) -> Result<Self, Error> {
        Self::builder().connect(connect_string).await
    }

    /// A session with options.
    pub fn builder() -> SessionBuilder {
        SessionBuilder::default()
    }

    /// Shares a client that the application has already, and its session.
    ///
    /// Nothing can be opened again when that session is over, which is when a server or the client itself says
    /// so (after 1.4 session timeouts without a server): then campaigns end with [`Error::SessionLost`],
    /// leaderships have ended before with their leases, and the application makes a new client.
    /// Nothing is known of when the ensemble has heard of that session before: the first leadership on it begins three
    /// eighths of the session timeout after the call at the earliest, see [`guarantees`](crate::guarantees).
    /// [`Session::close`] removes the contenders' znodes and leaves the session open. Use one `Session` for
    /// one client: clone the `Session`, not the client.
    ///
    /// A client that began on a read-only server is refused: campaigns end with [`Error::SessionLost`]. An ephemeral znode
    /// of the client's session that has a contender's name, or stands at a master's path, and that no contender in this
    /// process answers for, is taken for a left-over and removed when a contender waits for it.
    ///
    /// When the runtime of the `Session`'s tasks is shut down, nothing removes the znodes any more: they stand as
    /// long as the client's session. The `Session` holds its client until its last handle, the last
    /// election and the last leadership have been dropped; where the application keeps none, the client ends then, and
    /// closes its session. An application that keeps one drops it when no leader's work goes on any more.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn from_client(client: zk::Client) -> Self {
        Self::start(None, OpenedClient::foreign(client), None, lease::DEFAULT_MARGIN)
    }

    /// The ZooKeeper session at present; `None` while there is no connection.
    pub fn id(&self) -> Option<SessionId> {
        match &*self.shared.connection.borrow() {
            ConnectionState::Connected(client) => Some(client.session()),
            _ => None,
        }
    }

    /// The session timeout at present, the least that was negotiated for this session: how long the ensemble keeps the znodes of a process that it does
    /// not hear of. `None` while there is no connection.
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
    /// [`Error::RemovalUnconfirmed`] if the ensemble could not be reached: what is left goes when the session
    /// expires, or, on the application's own client, is removed as soon as there is a connection. So it is when the runtime
    /// of the session's tasks has been shut down, and nobody can remove anything.
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
        // It is closed already, or its task has gone without a word.
        self.shared.closed.get().cloned().unwrap_or(Err(Error::RemovalUnconfirmed))
    }

    fn start(
        connect: Option<Arc<dyn Connect>>,
        opened: OpenedClient,
        request_timeout: Option<Duration>,
        lease_margin: f64,
    ) -> Self {
        let (connection_tx, connection) = watch::channel(ConnectionState::Connecting);
        let (commands, commands_rx) = mpsc::unbounded_channel();
        let (barrier, barriers) = CloseBarrier::new();
        let in_flight = SessionInFlight::default();
        let claims = match connect {
            Some(_) => Arc::default(),
            None => Claims::on(SessionId::from_raw(opened.client.session_id().0)),
        };
        let left = Arc::<Mutex<Option<AbandonedClient>>>::default();
        let closed = Arc::<OnceLock<_>>::default();
        let session_task = SessionTask {
            connect,
            connection: connection_tx,
            claims,
            request_timeout,
            lease_margin,
            commands: commands_rx,
            barriers,
            in_flight: in_flight.clone(),
            client: None,
            least_timeout: Duration::MAX,
            tasks: Vec::new(),
            left: left.clone(),
            closed: closed.clone(),
            connections: 0,
        };
        let runtime = tokio::runtime::Handle::current();
        runtime.spawn(session_task.run(opened));
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
                _left: left,
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

impl Shared {
    pub(crate) fn connection(&self) -> watch::Receiver<ConnectionState> {
        self.connection.clone()
    }

    /// Something that keeps the session from closing before it is dropped; `None` if it closes already.
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

    /// What leaders do on this session.
    pub(crate) fn in_flight(&self) -> &SessionInFlight {
        &self.in_flight
    }

    pub(crate) fn runtime(&self) -> &tokio::runtime::Handle {
        &self.runtime
    }

    /// A connected client, now or as soon as there is one.
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

    /// Reads, and tries again while that may help, for at most [`READ_TIMEOUT`].
    pub(crate) async fn read<T, F>(&self, read: impl Fn(Arc<Client>) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let started = Instant::now();
        let mut reason = String::from("no connection");
        let mut attempts = 0;
        while started.elapsed() < READ_TIMEOUT {
            let attempt = async { Ok::<_, Error>(read(self.client().await?).await) };
            match timeout_at(started + READ_TIMEOUT, attempt).await {
                Ok(Ok(Ok(value))) => return Ok(value),
                Ok(Ok(Err(Failure::Refused(error))) | Err(error)) => return Err(error),
                Ok(Ok(Err(failure))) => reason = failure.reason(),
                Err(_) => break,
            }
            sleep(pause(attempts)).await;
            attempts += 1;
        }
        Err(Error::Unavailable { waited: started.elapsed(), reason })
    }
}

/// Options of a [`Session`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `connect` is called"]
pub struct SessionBuilder {
    connector: zk::Connector,
    session_timeout: Duration,
    connect_timeout: Option<Duration>,
    request_timeout: Option<Duration>,
    lease_margin: f64,
    tls: bool,
}

impl Default for SessionBuilder {
    fn default() -> Self {
        Self {
            connector: zk::Client::connector(),
            session_timeout: DEFAULT_SESSION_TIMEOUT,
            connect_timeout: None,
            request_timeout: None,
            lease_margin: lease::DEFAULT_MARGIN,
            tls: false,
        }
    }
}

impl SessionBuilder {
    /// How long the ensemble keeps the session, and with it the znodes, of a process that it does not hear
    /// of. After a crash of the leader the next one leads when this much has passed since the last sign of
    /// life, which is at most a fifth of it before the crash, rounded up to the next tick of the servers.
    ///
    /// Default 6 s. The ensemble moves it into its own bounds, by default 2 to 20 ticks of its servers (4 s to
    /// 40 s at the default tick of 2 s). Must lie between 1 ms and 2147483647 ms.
    pub fn session_timeout(mut self, timeout: Duration) -> Self {
        self.session_timeout = timeout;
        self
    }

    /// How long [`connect`](Self::connect) tries. Default: for ever.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// How long to wait for the answer to a request before its outcome counts as unknown, and it is found out
    /// what became of it. Default: the session timeout as negotiated. A much shorter one makes contenders ask
    /// again where waiting would have done.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = Some(timeout);
        self
    }

    /// By how much of the session timeout a lease ends before the ensemble can expire the session. It has to cover
    /// what the derivation of the lease cannot see: clocks that run at different rates, and a leader
    /// server whose pings to the other servers are late. A larger margin covers more of that, a smaller one lets
    /// leaderships outlast longer interruptions.
    ///
    /// Default one sixth. Must lie between 0.05 and 0.4.
    pub fn lease_margin(mut self, part_of_session_timeout: f64) -> Self {
        self.lease_margin = part_of_session_timeout;
        self
    }

    /// Credentials, for example `auth("digest", b"user:password")`. Can be called several times.
    pub fn auth(mut self, scheme: &str, secret: &[u8]) -> Self {
        self.connector = self.connector.with_auth(scheme, secret);
        self
    }

    /// Encrypts the connections to all servers of the connect string that are not marked `tcp://`.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, options: zk::TlsOptions) -> Self {
        self.connector = self.connector.with_tls(options);
        self.tls = true;
        self
    }

    /// Authenticates with SASL.
    #[cfg(any(feature = "sasl-gssapi", feature = "sasl-digest-md5"))]
    pub fn sasl(mut self, options: impl Into<zk::SaslOptions>) -> Self {
        self.connector = self.connector.with_sasl(options);
        self
    }

    /// Connects, see [`Session::connect`].
    ///
    /// # Errors
    /// As [`Session::connect`], and [`Error::InvalidSessionTimeout`], [`Error::InvalidRequestTimeout`],
    /// [`Error::InvalidLeaseMargin`], [`Error::ConnectTimeout`].
    pub async fn connect(self, connect_string: &str) -> Result<Session, Error> {
        let timeout = self.session_timeout;
        if timeout < Duration::from_millis(1) || timeout.as_millis() > i32::MAX as u128 {
            return Err(Error::InvalidSessionTimeout { given: timeout });
        }
        let connector = self.connector.clone().with_session_timeout(timeout);
        let servers = ServerList::new(connect_string, connector, self.tls)?;
        self.connect_with(servers).await
    }

    /// Connects by the application's own means. Of the options, only the timeouts for connecting and for
    /// requests and the margin of leases apply: the rest is up to `connect`.
    ///
    /// # Errors
    /// As [`Session::connect`], and [`Error::InvalidRequestTimeout`], [`Error::InvalidLeaseMargin`],
    /// [`Error::ConnectTimeout`].
    pub async fn connect_with(self, connect: impl Connect) -> Result<Session, Error> {
        if self.request_timeout == Some(Duration::ZERO) {
            return Err(Error::InvalidRequestTimeout);
        }
        if !lease::MARGINS.contains(&self.lease_margin) {
            return Err(Error::InvalidLeaseMargin { given: self.lease_margin });
        }
        let connect: Arc<dyn Connect> = Arc::new(connect);
        let started = Instant::now();
        let mut attempts = telemetry::Attempts::default();
        let first = first_session(&*connect, &mut attempts, self.session_timeout);
        let opened = match self.connect_timeout {
            None => first.await?,
            Some(limit) => match timeout(limit, first).await {
                Ok(opened) => opened?,
                Err(_) => {
                    let reason = attempts.reason().to_owned();
                    return Err(Error::ConnectTimeout { waited: started.elapsed(), reason });
                }
            },
        };
        let session = Session::start(Some(connect), opened, self.request_timeout, self.lease_margin);
        // The keeper's first word is that there is a connection.
        let _ = session
            .shared
            .connection()
            .wait_for(|connection| !matches!(connection, ConnectionState::Connecting))
            .await;
        Ok(session)
    }
}

async fn first_session(
    connect: &dyn Connect,
    log: &mut telemetry::Attempts,
    session_timeout: Duration,
) -> Result<OpenedClient, Error> {
    for attempts in 0.. {
        match open(connect, None, session_timeout).await {
            Ok(opened) => {
                check_chroot(&opened.client).await?;
                return Ok(opened);
            }
            Err(ConnectError::Fatal(error)) => return Err(error),
            Err(error) => log.failed(&error),
        }
        sleep(pause(attempts)).await;
    }
    unreachable!("attempts do not run out")
}

/// A server accepts a chroot that does not exist, and then knows no path below it.
async fn check_chroot(client: &zk::Client) -> Result<(), Error> {
    let chroot = client.path();
    if chroot == "/" {
        return Ok(());
    }
    match timeout(client.session_timeout(), client.check_stat("/")).await {
        Ok(Ok(None)) => Err(Error::ChrootMissing { chroot: chroot.to_owned() }),
        // Or there is no telling now: a campaign will find out.
        _ => Ok(()),
    }
}
