//! Requests on one ZooKeeper client. Each has a timeout, yields evidence for leases, and fails with a [`Failure`] that says
//! what follows from it.

use std::future::Future;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use zookeeper_client as zk;

use super::claims::Claims;
use super::connection::{Connection, States};
use crate::error::{Error, Failure};
use crate::lease::{Evidence, Lease, Terms};
use crate::mistakes::mistake;
use crate::path::split;
use crate::runtime;
use crate::timestamp::Timestamp;
use crate::types::{FencingToken, SessionId};
use crate::znode::Origin;

/// How many znodes are created at most for the parents of one.
const MOST_PARENTS: usize = 256;

/// A connection, until it is replaced or closed.
pub(crate) struct Client {
    pub(super) connection: Arc<dyn Connection>,
    pub(super) session: SessionId,
    request_timeout: Duration,
    /// The connection was replaced or closed.
    pub(super) ended: watch::Sender<bool>,
    pub(super) watched_bytes: AtomicUsize,
    pub(super) claims: Arc<Claims>,
    /// Shared by all clients of one session.
    evidence: Arc<Mutex<Evidence>>,
    /// Tells whether the connection has changed its state since the evidence was used last.
    states: Mutex<Box<dyn States>>,
}

impl Client {
    pub(super) fn new(
        connection: Arc<dyn Connection>,
        request_timeout: Duration,
        claims: Arc<Claims>,
        evidence: Arc<Mutex<Evidence>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            session: connection.credentials().session,
            states: Mutex::new(connection.states()),
            connection,
            request_timeout,
            ended: watch::Sender::new(false),
            watched_bytes: AtomicUsize::new(0),
            claims,
            evidence,
        })
    }

    pub(crate) fn session(&self) -> SessionId {
        self.session
    }

    /// The length of the chroot that the client puts before each path.
    pub(crate) fn chroot_bytes(&self) -> usize {
        let chroot = self.connection.chroot();
        if chroot == "/" { 0 } else { chroot.len() }
    }

    pub(crate) fn request_timeout(&self) -> Duration {
        self.request_timeout
    }

    pub(super) fn evidence(&self) -> &Arc<Mutex<Evidence>> {
        &self.evidence
    }

    /// The session timeout and what follows from it.
    pub(crate) fn terms(&self) -> Terms {
        self.evidence.lock().unwrap().terms()
    }

    /// Ends all requests and watches, and closes the session: see [`Connection::close`].
    pub(super) fn close(&self) {
        self.end();
        self.connection.close();
    }

    /// Ends all requests and watches, and leaves the session to expire: see [`Connection::abandon`].
    pub(super) fn abandon(&self) -> BoxFuture<'static, ()> {
        self.end();
        self.connection.abandon()
    }

    fn end(&self) {
        // Waits for a watch that is being polled: see `Watch::poll`.
        self.ended.send_replace(true);
    }

    /// Waits until the connection has ended without a change of its state.
    pub(super) async fn vanished(&self) {
        self.connection.vanished().await;
    }

    /// The lease that a transaction grants which was sent at `sent` or later and has just committed.
    pub(super) fn lease(&self, sent: Timestamp) -> Lease {
        self.note_moves();
        let sent = if mistake!(CountedFromTheAnswer) { runtime::now() } else { sent };
        self.evidence.lock().unwrap().lease(sent)
    }

    /// The longest lease that the evidence grants, given the session timeout as it is known now.
    pub(crate) fn longest_lease(&self) -> Lease {
        self.evidence.lock().unwrap().longest()
    }

    /// Records a reconnection of the client in the evidence. The client changes its state before it delivers anything that
    /// it has received on the new connection.
    fn note_moves(&self) {
        if self.states.lock().unwrap().has_changed() && !mistake!(OlderConnectionCounts) {
            self.evidence.lock().unwrap().moved(runtime::now());
        }
    }

    /// Creates a znode without data.
    pub(super) async fn create_empty(
        &self,
        path: &str,
        mode: zk::CreateMode,
        acl: &[zk::Acl],
    ) -> Result<(), Failure> {
        self.run("create", path, self.connection.create(path, mode, acl)).await
    }

    /// Creates a directory and its missing parents.
    pub(crate) async fn create_parents(
        &self,
        dir: &str,
        container: bool,
        acl: &[zk::Acl],
    ) -> Result<(), Failure> {
        let mode = if container { zk::CreateMode::Container } else { zk::CreateMode::Persistent };
        let mut end = dir.len();
        for _ in 0..MOST_PARENTS {
            // What is created is the beginning of the path up to `end`: shorter until one exists, then longer.
            let created = match &dir[..end] {
                // The root exists, unless the chroot does not.
                "/" => Err(Failure::NoNode),
                path => self.create_empty(path, mode, acl).await,
            };
            match created {
                Ok(()) | Err(Failure::NodeExists) if end == dir.len() => return Ok(()),
                Ok(()) | Err(Failure::NodeExists) => {
                    end = dir[end + 1..].find('/').map_or(dir.len(), |next| end + 1 + next);
                }
                Err(Failure::NoNode) => match dir[..end].rfind('/') {
                    Some(parent) if parent > 0 => end = parent,
                    _ if self.connection.chroot() != "/" => {
                        let chroot = self.connection.chroot().to_owned();
                        return Err(Failure::Refused(Error::ChrootMissing { chroot }));
                    }
                    _ => break,
                },
                Err(failure) => return Err(failure),
            }
        }
        Err(Failure::Rejected("the parents vanished while they were being created".into()))
    }

    pub(crate) async fn list(&self, dir: &str) -> Result<Vec<String>, Failure> {
        self.run("list", dir, self.connection.list(dir)).await
    }

    pub(super) async fn stat(&self, path: &str) -> Result<Option<Origin>, Failure> {
        let stat = self.run("read", path, self.connection.stat(path)).await?;
        Ok(stat.as_ref().map(Origin::from))
    }

    /// The data and stat of a znode, `None` if it does not exist.
    pub(crate) async fn read(&self, path: &str) -> Result<Option<(Vec<u8>, Origin)>, Failure> {
        match self.run("read", path, self.connection.read(path)).await {
            Ok((data, stat)) => Ok(Some((data, Origin::from(&stat)))),
            Err(Failure::NoNode) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    pub(super) async fn run<T>(
        &self,
        operation: &'static str,
        path: &str,
        request: impl Future<Output = Result<T, zk::Error>>,
    ) -> Result<T, Failure> {
        self.run_within(self.request_timeout, operation, path, request).await
    }

    /// Sends a request, waits for the answer for at most `limit`, and records it as evidence for leases.
    pub(super) async fn run_within<T>(
        &self,
        limit: Duration,
        operation: &'static str,
        path: &str,
        request: impl Future<Output = Result<T, zk::Error>>,
    ) -> Result<T, Failure> {
        // Record a reconnection first, so that this request counts for the new connection.
        self.note_moves();
        let sent = runtime::now();
        let mut ended = self.ended.subscribe();
        let outcome = tokio::select! {
            biased;
            _ = ended.wait_for(|ended| *ended) => return Err(Failure::Unknown("the session is over".into())),
            outcome = runtime::timeout(limit, request) => outcome,
        };
        if outcome.as_ref().is_ok_and(|outcome| outcome.as_ref().err().is_none_or(is_answer)) {
            self.note_moves();
            let sent = if mistake!(CountedFromTheAnswer) { runtime::now() } else { sent };
            self.evidence.lock().unwrap().answered(sent, runtime::now());
        }
        match outcome {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(classify(error, operation, path)),
            Err(_) => Err(Failure::Unknown(format!("no answer within {limit:?}"))),
        }
    }
}

impl From<&zk::Stat> for Origin {
    fn from(stat: &zk::Stat) -> Self {
        Self {
            token: FencingToken::from_zxid(stat.czxid),
            owner: (stat.ephemeral_owner != 0).then(|| SessionId::from_raw(stat.ephemeral_owner)),
            version: stat.version,
        }
    }
}

/// Whether this error is certainly the answer of a server that takes part in the ensemble.
fn is_answer(error: &zk::Error) -> bool {
    use zk::Error::{BadVersion, NoAuth, NoNode, NodeExists, NotEmpty};
    matches!(error, NoNode | NodeExists | NoAuth | BadVersion | NotEmpty)
}

/// What follows from an error of the client.
pub(crate) fn classify(error: zk::Error, operation: &'static str, path: &str) -> Failure {
    let path = path.to_owned();
    match error {
        zk::Error::NoNode => Failure::NoNode,
        zk::Error::NodeExists => Failure::NodeExists,
        zk::Error::NoAuth => Failure::Refused(Error::NotAuthorized { operation, path }),
        zk::Error::InvalidAcl => Failure::Refused(Error::InvalidAcl { path }),
        zk::Error::NoChildrenForEphemerals => {
            Failure::Refused(Error::ParentEphemeral { path: split(&path).0.to_owned() })
        }
        zk::Error::QuotaExceeded => Failure::Refused(Error::QuotaExceeded { path }),
        zk::Error::SessionMoved | zk::Error::NotReadOnly | zk::Error::Throttled => {
            Failure::Rejected(error.to_string())
        }
        zk::Error::BadArguments(_)
        | zk::Error::BadVersion
        | zk::Error::NotEmpty
        | zk::Error::Unimplemented
        | zk::Error::MarshallingError => {
            Failure::Refused(Error::ZooKeeper { operation, path, source: Arc::new(error) })
        }
        // ZooKeeper's API errors have codes from -100 downwards. -122 is the timeout of a request.
        zk::Error::UnexpectedErrorCode(code) if code <= -100 && code != -122 => {
            Failure::Refused(Error::ZooKeeper { operation, path, source: Arc::new(error) })
        }
        // Connection loss has many error codes, and an error that is not listed above proves nothing.
        error => Failure::Unknown(error.to_string()),
    }
}
