//! Requests on one ZooKeeper client. Each has a timeout, yields evidence for leases, and fails with a [`Failure`] that says
//! what follows from it.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{Notify, watch};
use zookeeper_client as zk;

use super::claims::Claims;
use crate::clock;
use crate::error::{Error, Failure};
use crate::lease::{Evidence, Lease, Terms};
use crate::path::split;
use crate::timestamp::Timestamp;
use crate::types::{FencingToken, SessionId};
use crate::znode::Origin;

/// A ZooKeeper client, until it is replaced or closed.
pub(crate) struct Client {
    inner: Mutex<Option<zk::Client>>,
    session: SessionId,
    pub(super) chroot: String,
    request_timeout: Duration,
    /// The client was replaced or closed.
    pub(super) ended: watch::Sender<bool>,
    pub(super) watched_bytes: AtomicUsize,
    pub(super) claims: Arc<Claims>,
    /// Shared by all clients of one session.
    evidence: Arc<Mutex<Evidence>>,
    /// Tells whether the client has changed its state since the evidence was used last.
    states: Mutex<zk::StateWatcher>,
    /// Notified when a request fails as if the client's task had ended.
    pub(super) suspect: Notify,
}

impl Client {
    pub(super) fn new(
        client: zk::Client,
        request_timeout: Duration,
        claims: Arc<Claims>,
        evidence: Arc<Mutex<Evidence>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            session: SessionId::from_raw(client.session_id().0),
            chroot: client.path().to_owned(),
            states: Mutex::new(client.state_watcher()),
            inner: Mutex::new(Some(client)),
            request_timeout,
            ended: watch::Sender::new(false),
            watched_bytes: AtomicUsize::new(0),
            claims,
            evidence,
            suspect: Notify::new(),
        })
    }

    pub(crate) fn session(&self) -> SessionId {
        self.session
    }

    /// The length of the chroot that the client puts before each path.
    pub(crate) fn chroot_bytes(&self) -> usize {
        if self.chroot == "/" { 0 } else { self.chroot.len() }
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

    /// Ends all requests and watches, and returns the client. Dropping the client closes its session.
    pub(super) fn end(&self) -> Option<zk::Client> {
        // Waits for a watch that is being polled: see `Watch::poll`.
        self.ended.send_replace(true);
        self.inner.lock().unwrap().take()
    }

    pub(super) fn inner(&self) -> Option<zk::Client> {
        self.inner.lock().unwrap().clone()
    }

    /// The lease that a transaction grants which was sent at `sent` or later and has just committed.
    pub(super) fn lease(&self, sent: Timestamp) -> Lease {
        self.note_moves();
        self.evidence.lock().unwrap().lease(sent)
    }

    /// The longest lease that the evidence grants, given the session timeout as it is known now.
    pub(crate) fn longest_lease(&self) -> Lease {
        self.evidence.lock().unwrap().longest()
    }

    /// Records a reconnection of the client in the evidence. The client changes its state before it delivers anything that
    /// it has received on the new connection.
    fn note_moves(&self) {
        if self.states.lock().unwrap().changed().now_or_never().is_some() {
            self.evidence.lock().unwrap().moved(clock::now());
        }
    }

    /// Creates a directory and its missing parents.
    pub(crate) async fn create_parents(
        &self,
        dir: &str,
        container: bool,
        acl: &[zk::Acl],
    ) -> Result<(), Failure> {
        let mode = if container { zk::CreateMode::Container } else { zk::CreateMode::Persistent };
        let options = mode.with_acls(zk::Acls::new(acl));
        let created = match dir {
            "/" => Err(Failure::NoNode),
            dir => self.run("create", dir, async |client| client.mkdir(dir, &options).await).await,
        };
        match created {
            // `mkdir` creates all parents, so only the chroot can be missing.
            Err(Failure::NoNode) if self.chroot != "/" => {
                Err(Failure::Refused(Error::ChrootMissing { chroot: self.chroot.clone() }))
            }
            Err(Failure::NoNode) => {
                Err(Failure::Rejected("the parents vanished while they were being created".into()))
            }
            other => other,
        }
    }

    pub(crate) async fn list(&self, dir: &str) -> Result<Vec<String>, Failure> {
        self.run("list", dir, async |client| client.list_children(dir).await).await
    }

    pub(super) async fn stat(&self, path: &str) -> Result<Option<Origin>, Failure> {
        let stat = self.run("read", path, async |client| client.check_stat(path).await).await?;
        Ok(stat.as_ref().map(Origin::from))
    }

    /// The data and stat of a znode, `None` if it does not exist.
    pub(crate) async fn read(&self, path: &str) -> Result<Option<(Vec<u8>, Origin)>, Failure> {
        match self.run("read", path, async |client| client.get_data(path).await).await {
            Ok((data, stat)) => Ok(Some((data, Origin::from(&stat)))),
            Err(Failure::NoNode) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    pub(super) async fn run<T>(
        &self,
        operation: &'static str,
        path: &str,
        request: impl AsyncFnOnce(&zk::Client) -> Result<T, zk::Error>,
    ) -> Result<T, Failure> {
        self.run_within(self.request_timeout, operation, path, request).await
    }

    /// Sends a request, waits for the answer for at most `limit`, and records it as evidence for leases.
    pub(super) async fn run_within<T>(
        &self,
        limit: Duration,
        operation: &'static str,
        path: &str,
        request: impl AsyncFnOnce(&zk::Client) -> Result<T, zk::Error>,
    ) -> Result<T, Failure> {
        // Record a reconnection first, so that this request counts for the new connection.
        self.note_moves();
        let sent = clock::now();
        let over = || Failure::Unknown("the session is over".into());
        let client = self.inner().ok_or_else(over)?;
        let mut ended = self.ended.subscribe();
        let outcome = tokio::select! {
            biased;
            _ = ended.wait_for(|ended| *ended) => return Err(over()),
            outcome = tokio::time::timeout(limit, request(&client)) => outcome,
        };
        if outcome.as_ref().is_ok_and(|outcome| outcome.as_ref().err().is_none_or(is_answer)) {
            self.note_moves();
            self.evidence.lock().unwrap().answered(sent, clock::now());
        }
        match outcome {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                if matches!(error, zk::Error::UnexpectedError(_)) {
                    self.suspect.notify_one();
                }
                Err(classify(error, operation, path))
            }
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
