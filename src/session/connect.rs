//! Opening ZooKeeper sessions: the trait for applications, and its implementation for a connect string.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use zookeeper_client as zk;

use super::probe::{self, ProbeResult};
use crate::backoff::Backoff;
use crate::error::{BoxError, Error};
use crate::path;

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
