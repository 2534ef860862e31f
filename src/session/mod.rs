//! ZooKeeper sessions: opened, kept, opened again, closed. The only part that sends requests.

mod claims;
mod closing;
mod connect;
mod counter;
mod footing;
mod keeper;
mod live;
mod probe;
mod prover;
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
use self::closing::LetGo;
pub use self::connect::{Connect, ConnectError, Resume};
use self::connect::{Opened, Servers, open, pause};
pub(crate) use self::counter::Counter;
pub(crate) use self::footing::Footing;
use self::keeper::{Close, Keeper};
pub(crate) use self::keeper::{Guard, Link};
pub(crate) use self::live::{Live, Proof};
pub(crate) use self::prover::{Prover, Proving};
use self::transaction::request_bytes;
pub(crate) use self::transaction::{Aborted, Write, failure_of};
pub(crate) use self::watching::{Fired, Glance, Watch};
pub(crate) use self::znodes::{Creation, NotCreated, Preview};
use crate::error::{Error, Failure};
use crate::lease;
use crate::telemetry;
use crate::types::SessionId;
use crate::work::Works;

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
    link: watch::Receiver<Link>,
    commands: mpsc::UnboundedSender<Close>,
    /// The origin of all guards; taken when the session closes.
    guard: Mutex<Option<Guard>>,
    prover: Arc<Prover>,
    works: Works,
    runtime: tokio::runtime::Handle,
    /// The client of a keeper that has ended in midstream. Whatever may act as a leader holds a handle, and while there
    /// is one the session is not closed.
    _left: Arc<Mutex<Option<LetGo>>>,
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
        Self::start(None, Opened::foreign(client), None, lease::DEFAULT_MARGIN)
    }

    /// The ZooKeeper session at present; `None` while there is no connection.
    pub fn id(&self) -> Option<SessionId> {
        match &*self.shared.link.borrow() {
            Link::Connected(live) => Some(live.session()),
            _ => None,
        }
    }

    /// The session timeout at present, the least that was negotiated for this session: how long the ensemble keeps the znodes of a process that it does
    /// not hear of. `None` while there is no connection.
    pub fn timeout(&self) -> Option<Duration> {
        match &*self.shared.link.borrow() {
            Link::Connected(live) => Some(live.terms().session_timeout()),
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
        self.shared.guard.lock().unwrap().take();
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
        opened: Opened,
        request_timeout: Option<Duration>,
        lease_margin: f64,
    ) -> Self {
        let (link_tx, link) = watch::channel(Link::Connecting);
        let (commands, commands_rx) = mpsc::unbounded_channel();
        let (guard, guards) = Guard::new();
        let works = Works::default();
        let claims = match connect {
            Some(_) => Arc::default(),
            None => Claims::on(SessionId::from_raw(opened.client.session_id().0)),
        };
        let left = Arc::<Mutex<Option<LetGo>>>::default();
        let closed = Arc::<OnceLock<_>>::default();
        let keeper = Keeper {
            connect,
            link: link_tx,
            claims,
            request_timeout,
            lease_margin,
            commands: commands_rx,
            guards,
            works: works.clone(),
            live: None,
            least_timeout: Duration::MAX,
            tasks: Vec::new(),
            left: left.clone(),
            closed: closed.clone(),
            connections: 0,
        };
        let runtime = tokio::runtime::Handle::current();
        runtime.spawn(keeper.run(opened));
        let prover = Prover::new();
        runtime.spawn(prover.clone().run(link.clone()));
        let guard = Mutex::new(Some(guard));
        Self {
            shared: Arc::new(Shared { link, commands, guard, prover, works, runtime, _left: left, closed }),
        }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("id", &self.id()).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn link(&self) -> watch::Receiver<Link> {
        self.link.clone()
    }

    /// Something that keeps the session from closing before it is dropped; `None` if it closes already.
    pub(crate) fn guard(&self) -> Option<Guard> {
        self.guard.lock().unwrap().clone()
    }

    /// Whether the application has closed the session.
    pub(crate) fn is_closing(&self) -> bool {
        self.guard.lock().unwrap().is_none()
    }

    pub(crate) fn prover(&self) -> &Arc<Prover> {
        &self.prover
    }

    /// What leaders do on this session.
    pub(crate) fn works(&self) -> &Works {
        &self.works
    }

    pub(crate) fn runtime(&self) -> &tokio::runtime::Handle {
        &self.runtime
    }

    /// A connected client, now or as soon as there is one.
    pub(crate) async fn live(&self) -> Result<Arc<Live>, Error> {
        let mut link = self.link();
        loop {
            if self.is_closing() {
                return Err(Error::SessionClosed);
            }
            match &*link.borrow_and_update() {
                Link::Connected(live) => return Ok(live.clone()),
                Link::Closing(_) | Link::Closed => return Err(Error::SessionClosed),
                Link::Lost => return Err(Error::SessionLost),
                Link::Connecting | Link::Suspended => {}
            }
            link.changed().await.map_err(|_| Error::SessionClosed)?;
        }
    }

    /// Reads, and tries again while that may help, for at most [`READ_TIMEOUT`].
    pub(crate) async fn read<T, F>(&self, read: impl Fn(Arc<Live>) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let started = Instant::now();
        let mut reason = String::from("no connection");
        let mut attempts = 0;
        while started.elapsed() < READ_TIMEOUT {
            let attempt = async { Ok::<_, Error>(read(self.live().await?).await) };
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
        let servers = Servers::new(connect_string, connector, self.tls)?;
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
        let _ = session.shared.link().wait_for(|link| !matches!(link, Link::Connecting)).await;
        Ok(session)
    }
}

async fn first_session(
    connect: &dyn Connect,
    log: &mut telemetry::Attempts,
    session_timeout: Duration,
) -> Result<Opened, Error> {
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
