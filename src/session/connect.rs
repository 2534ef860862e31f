//! Opening ZooKeeper sessions: the trait for applications, and its implementation for a connect string.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Mutex;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{BoxFuture, FutureExt, join_all};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::task::JoinHandle;
use zookeeper_client as zk;

use super::probe::{self, ProbeResult};
use crate::backoff::Backoff;
use crate::clock;
use crate::error::{BoxError, Error, panic_message};
use crate::path;
use crate::timestamp::Timestamp;

/// Opens ZooKeeper sessions, for a [`Session`](crate::Session) that outlives them.
///
/// Implement it to bring TLS or SASL options, or credentials that change: see
/// [`SessionBuilder::connect_with`](crate::SessionBuilder::connect_with).
///
/// ```
/// use zookeeper_election::zookeeper_client::Client;
/// use zookeeper_election::{Connect, ConnectError, Resume, async_trait};
///
/// struct WithFreshSecret;
///
/// # fn read_secret() -> std::io::Result<Vec<u8>> { Ok(b"user:secret".to_vec()) }
/// #[async_trait]
/// impl Connect for WithFreshSecret {
///     async fn connect(&self, resume: Option<Resume>) -> Result<Client, ConnectError> {
///         let secret = read_secret().map_err(|error| ConnectError::Retry(error.into()))?;
///         let mut connector = Client::connector().with_fail_eagerly().with_auth("digest", &secret);
///         if let Some(resume) = resume {
///             connector = connector.with_session(resume.session).with_session_timeout(resume.timeout);
///         }
///         Ok(connector.connect("zk1:2181,zk2:2181,zk3:2181").await?)
///     }
/// }
/// ```
#[async_trait]
pub trait Connect: Send + Sync + 'static {
    /// Opens a session, or takes up the one in `resume` again: see [`Resume`]. Each call is one attempt: it should fail
    /// when no server answers ([`with_fail_eagerly`](zk::Connector::with_fail_eagerly)) rather than wait, and
    /// is repeated with increasing pauses; and so is one that panics.
    ///
    /// Await `Client::connect` or a `Connector` right here, do not spawn it, and keep no clone of the client: the
    /// session ends when this crate drops the client, and this crate aborts the task that serves it. Return no
    /// client that was connected before: leases count from the call. A client that is connected to a read-only server
    /// counts as none: the attempt has failed.
    async fn connect(&self, resume: Option<Resume>) -> Result<zk::Client, ConnectError>;
}

/// A session that is to be taken up again.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Resume {
    /// What [`Connector::with_session`](zk::Connector::with_session) must be given.
    pub session: zk::SessionInfo,
    /// What [`Connector::with_session_timeout`](zk::Connector::with_session_timeout) should be given: the least timeout
    /// that this session has had. Leases are measured with the least, so that a longer one gains nothing, and a shorter
    /// one shortens the leases that run.
    pub timeout: Duration,
}

/// Why a [`Connect`] did not open a session.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// No session now; another attempt may succeed.
    #[error("{0}")]
    Retry(BoxError),
    /// The session to be taken up again does not exist any more: the next attempt is for a new one.
    #[error("the session expired")]
    SessionExpired,
    /// No attempt will succeed until something is changed. The first connect ends with this error; later
    /// ones log it and try on. For an error of the application's own there is [`Error::Connect`].
    #[error(transparent)]
    Fatal(Error),
}

impl From<zk::Error> for ConnectError {
    fn from(error: zk::Error) -> Self {
        match error {
            zk::Error::SessionExpired => Self::SessionExpired,
            zk::Error::AuthFailed => Self::Fatal(Error::AuthenticationFailed),
            zk::Error::BadArguments(reason) => {
                Self::Fatal(Error::InvalidOptions { reason: reason.to_string() })
            }
            other => Self::Retry(Box::new(other)),
        }
    }
}

/// The servers of a connect string, connected to with the options of a builder.
pub(super) struct ServerList {
    connect_string: String,
    connector: zk::Connector,
    /// Whether hosts without a scheme are connected to with TLS.
    tls: bool,
}

impl ServerList {
    pub(super) fn new(connect_string: &str, connector: zk::Connector, tls: bool) -> Result<Self, Error> {
        check(connect_string).map_err(|reason| Error::InvalidConnectString {
            given: connect_string.to_owned(),
            reason: reason.to_owned(),
        })?;
        Ok(Self { connect_string: connect_string.to_owned(), connector: connector.with_fail_eagerly(), tls })
    }

    /// Asks all addresses what listens there, after no session could be opened.
    async fn diagnose(&self, error: zk::Error) -> ConnectError {
        if self.tls || self.connect_string.contains("tcp+tls://") {
            // A TLS port does not answer plain text.
            return error.into();
        }
        let mut reasons = Vec::new();
        let mut others = Vec::new();
        let addresses = addresses(&self.connect_string);
        let answers = join_all(addresses.iter().map(|address| probe::probe(address))).await;
        for (address, answer) in addresses.into_iter().zip(answers) {
            match answer {
                ProbeResult::Other(answer) => {
                    reasons.push(format!("{address}: not ZooKeeper: {answer}"));
                    others.push((address, answer));
                }
                ProbeResult::ZooKeeper(state) => reasons.push(format!("{address}: {state}")),
                ProbeResult::Nothing(reason) => reasons.push(format!("{address}: {reason}")),
            }
        }
        if others.len() == reasons.len()
            && let Some((address, answer)) = others.into_iter().next()
        {
            return ConnectError::Fatal(Error::NotZooKeeper { address, answer });
        }
        ConnectError::Retry(reasons.join("; ").into())
    }
}

#[async_trait]
impl Connect for ServerList {
    async fn connect(&self, resume: Option<Resume>) -> Result<zk::Client, ConnectError> {
        let mut connector = self.connector.clone();
        // A session may expire while it is being resumed, so no time is spent on explanations.
        let explain = resume.is_none();
        if let Some(Resume { session, timeout }) = resume {
            connector = connector.with_session(session).with_session_timeout(timeout);
        }
        let outcome = match self.tls {
            #[cfg(feature = "tls")]
            true => connector.secure_connect(&self.connect_string).await,
            _ => connector.connect(&self.connect_string).await,
        };
        match outcome {
            Ok(client) => Ok(client),
            // The connect string was checked, so the certificates are wrong.
            Err(error @ zk::Error::Custom(_)) if self.tls && explain => {
                Err(ConnectError::Fatal(Error::InvalidOptions { reason: error.to_string() }))
            }
            Err(error @ (zk::Error::NoHosts | zk::Error::Timeout)) if explain => {
                Err(self.diagnose(error).await)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// A client, and the tasks that serve it.
pub(super) struct OpenedClient {
    pub(super) client: zk::Client,
    tasks: Vec<JoinHandle<()>>,
    attach: Option<AttachTimes>,
}

/// The time span in which a connect created or resumed a session.
#[derive(Clone, Copy, Debug)]
pub(super) struct AttachTimes {
    pub(super) began: Timestamp,
    pub(super) answered: Timestamp,
}

impl OpenedClient {
    /// A client of the application, which also runs its tasks.
    pub(super) fn from_application(client: zk::Client) -> Self {
        Self { client, tasks: Vec::new(), attach: None }
    }

    /// The same client, but the connect may have begun as early as `began`.
    pub(super) fn since(mut self, began: Timestamp) -> Self {
        if let Some(attach) = &mut self.attach {
            attach.began = attach.began.min(began);
        }
        self
    }

    /// The client, the tasks that serve it, and the times of its connect, if known.
    pub(super) fn into_parts(self) -> (zk::Client, Vec<JoinHandle<()>>, Option<AttachTimes>) {
        (self.client, self.tasks, self.attach)
    }
}

/// Opens a session, and takes over the tasks that serve the client, because the client offers no way to end them while it
/// reconnects.
pub(super) async fn open(
    connect: &dyn Connect,
    resume: Option<Resume>,
    session_timeout: Duration,
) -> Result<OpenedClient, ConnectError> {
    let spawner = Spawner::default();
    let mut serving = FuturesUnordered::new();
    let began = clock::now();
    // The call is inside the future, so that a panic in the call itself is caught as well.
    let mut connecting = pin!(async { connect.connect(resume).await });
    let attempt = std::future::poll_fn(|cx| {
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
    let outcome = match tokio::time::timeout(limit, AssertUnwindSafe(attempt).catch_unwind()).await {
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
    let attach = connected.then(|| AttachTimes { began, answered: clock::now() });
    Ok(OpenedClient { client, tasks, attach })
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

/// The pause before the next attempt.
pub(super) fn pause(attempts: u32) -> Duration {
    const BACKOFF: Backoff = Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(2) };
    BACKOFF.pause(attempts, fastrand::f64())
}

/// `host:port` of each server in a connect string.
fn addresses(connect_string: &str) -> Vec<String> {
    hosts(connect_string)
        .map(|host| match host.rsplit_once(':') {
            Some((_, port)) if port.parse::<u16>().is_ok() => host.to_owned(),
            _ => format!("{}:2181", host.trim_end_matches(':')),
        })
        .collect()
}

fn hosts(connect_string: &str) -> impl Iterator<Item = &str> {
    connect_string.split(',').map(|part| without_scheme(part).split('/').next().unwrap_or_default())
}

fn without_scheme(part: &str) -> &str {
    part.strip_prefix("tcp://").or(part.strip_prefix("tcp+tls://")).unwrap_or(part)
}

/// Refuses what the client would refuse with a less helpful message.
fn check(connect_string: &str) -> Result<(), &'static str> {
    if connect_string.trim() != connect_string || connect_string.contains(char::is_whitespace) {
        return Err("it contains white space");
    }
    if connect_string.is_empty() {
        return Err("it is empty");
    }
    let mut parts = connect_string.split(',').map(without_scheme).rev();
    if let Some((_, chroot)) = parts.next().and_then(|last| last.split_once('/')) {
        path::check(&format!("/{chroot}"))?;
    }
    if parts.any(|part| part.contains('/')) {
        return Err("a chroot belongs behind the last host");
    }
    for host in hosts(connect_string) {
        if host.is_empty() || host.starts_with(':') {
            return Err("a host is missing");
        }
        let port = match host.rsplit_once(':') {
            Some((_, port)) if !host.ends_with(']') => port,
            _ => continue,
        };
        if !port.parse::<u16>().is_ok_and(|port| port != 0) {
            return Err("a port is not a number between 1 and 65535 (IPv6 addresses are written [::1]:2181)");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connect_strings_are_checked_before_anything_is_sent() {
        for good in ["zk1", "zk1:2181", "zk1:2181,zk2:2182/app", "tcp+tls://zk1:2281", "[::1]:2181", "[::1]"]
        {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            " zk1:2181",
            "zk1:2181, zk2:2181",
            "zk1:x",
            "zk1:0",
            "zk1:70000",
            "zk1,,zk2",
            "/app",
            ":2181",
            "zk1/app,zk2",
            "zk1/app/",
            "tcp://zk1//app",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_have_a_port() {
        assert_eq!(addresses("zk1,tcp://zk2:2182,[::1]/app/x"), ["zk1:2181", "zk2:2182", "[::1]:2181"]);
    }
}
