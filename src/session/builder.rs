//! Options of a session, and the first connection.

use std::sync::Arc;
use std::time::Duration;

use zookeeper_client as zk;

use super::Session;
use super::connect::{Connect, ConnectError, ServerList, pause};
use super::connection::{Attached, Connection, Connector};
use super::connection_state::ConnectionState;
use super::zookeeper::ClientConnector;
use crate::error::Error;
use crate::lease;
use crate::runtime::{self, sleep, timeout};
use crate::telemetry;

const DEFAULT_SESSION_TIMEOUT: Duration = Duration::from_secs(6);

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
    /// How long the ensemble keeps the session of a process that it does not hear of, and with it the znodes. After
    /// a crash of the leader, the next one leads one session timeout after the leader's last sign of life, rounded
    /// up to the next tick of the servers. That sign came at most a fifth of the session timeout before the crash.
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

    /// How long to wait for the answer to a request. After that its outcome is unknown, and the contender asks the
    /// ensemble what became of it. Default: the session timeout as negotiated. With a much shorter one, contenders
    /// ask although the answer is on its way.
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
        let Self { session_timeout, connect_timeout, request_timeout, lease_margin, .. } = self;
        let connector = ClientConnector { connect: Arc::new(connect), session_timeout };
        let settings = SessionSettings { request_timeout, lease_margin, ..SessionSettings::default() };
        Session::open(Arc::new(connector), connect_timeout, settings).await
    }
}

/// How a session is kept.
pub(crate) struct SessionSettings {
    pub(crate) request_timeout: Option<Duration>,
    /// The part of the session timeout by which leases end before the session can expire.
    pub(crate) lease_margin: f64,
    /// The least session timeout that the ensemble is known to grant.
    pub(crate) least_timeout: Duration,
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self { request_timeout: None, lease_margin: lease::DEFAULT_MARGIN, least_timeout: Duration::MAX }
    }
}

impl Session {
    /// Opens a session on connections of this connector.
    pub(crate) async fn open(
        connector: Arc<dyn Connector>,
        limit: Option<Duration>,
        settings: SessionSettings,
    ) -> Result<Self, Error> {
        let started = runtime::now();
        let mut attempts = telemetry::Attempts::default();
        let first = first_session(&*connector, &mut attempts);
        let attached = match limit {
            None => first.await?,
            Some(limit) => match timeout(limit, first).await {
                Ok(attached) => attached?,
                Err(_) => {
                    let reason = attempts.reason().to_owned();
                    return Err(Error::ConnectTimeout { waited: runtime::now().since(started), reason });
                }
            },
        };
        let session = Self::start(Some(connector), attached, settings);
        // The session task announces its first connection at once.
        let _ = session
            .shared
            .connection()
            .wait_for(|connection| !matches!(connection, ConnectionState::Connecting))
            .await;
        Ok(session)
    }
}

async fn first_session(connector: &dyn Connector, log: &mut telemetry::Attempts) -> Result<Attached, Error> {
    for attempts in 0.. {
        match connector.attach(None).await {
            Ok(attached) => {
                check_chroot(&*attached.connection).await?;
                return Ok(attached);
            }
            Err(ConnectError::Fatal(error)) => return Err(error),
            Err(error) => log.failed(error.to_string()),
        }
        sleep(pause(attempts)).await;
    }
    unreachable!("attempts do not run out")
}

/// A server accepts a chroot that does not exist, and then knows no path below it.
async fn check_chroot(connection: &dyn Connection) -> Result<(), Error> {
    let chroot = connection.chroot();
    if chroot == "/" {
        return Ok(());
    }
    match timeout(connection.session_timeout(), connection.stat("/")).await {
        Ok(Ok(None)) => Err(Error::ChrootMissing { chroot: chroot.to_owned() }),
        // The chroot exists, or the server did not answer: a campaign will find out.
        _ => Ok(()),
    }
}
