//! The znodes of contenders: created, found again after a lost answer, removed.
//!
//! A request whose answer was lost can be carried out later, behind other requests of the same session. It may stand in
//! the queue of a server that is paused, or that follows a leader server which the others have left. No look at the
//! tree rules that out, and neither does `sync`, which a leader server that was deposed answers by itself. So each
//! write carries the condition under which it is still meant:
//!
//! ```text
//!   create     create G · create the znode · (master: set the counter, version v) · delete G
//!   settle     create G: from now on the create above fails, because G exists
//!   remove     sequential: delete, because the name is given out once
//!              master: check the counter, version v + 1 · delete
//! ```
//!
//! *G*, the guard, has a name that no other attempt uses. It exists only after an answer was lost, and goes with the
//! session. The *counter* is a persistent znode beside a master's path. Each new master raises its version in the
//! same transaction that creates the znode, so that what an older master has sent fails as a whole.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use futures_util::future::{join, join_all};
use zookeeper_client as zk;

use super::live::{Live, classify};
use super::transaction::{Aborted, Write};
use super::watching::Glance;
use crate::clock;
use crate::error::{Error, Failure};
use crate::lease::Lease;
use crate::path::split;
use crate::types::{FencingToken, Node, SessionId};

/// How often a removal is bound anew before the machine is told to pause.
const BINDINGS: usize = 4;

/// How a contender's znode is to be created.
pub(crate) struct Creation<'a> {
    /// The znode's path, or in sequential mode what the digits are appended to.
    pub(crate) path: &'a str,
    /// A path that no other attempt uses.
    pub(crate) guard: &'a str,
    /// In master mode.
    pub(crate) counter: Option<&'a Counter>,
    pub(crate) data: &'a [u8],
    pub(crate) acl: &'a [zk::Acl],
}

/// A new znode of a contender.
pub(crate) struct Created {
    pub(crate) node: Node,
    /// What the create grants.
    pub(crate) lease: Lease,
    /// A look at it that has left a watch.
    pub(crate) glance: Glance,
    /// Sequential mode: the directory, as listed afterwards.
    pub(crate) children: Option<Vec<String>>,
}

/// Why a znode was not created, or may not have been.
pub(crate) enum NotCreated {
    /// There is no permission to create the guard where it was to be, or to delete it.
    GuardRefused(Failure),
    /// In master mode with a look at the master's znode, if there was time for one.
    Failed(Failure, Option<Option<Glance>>),
}

/// The znode beside a master's path whose version grows with each master.
#[derive(Debug)]
pub(crate) struct Counter {
    pub(crate) path: String,
    acl: Vec<zk::Acl>,
    /// Its version when it was seen last. A create with an old one fails, and is tried again.
    seen: Mutex<Option<i32>>,
}

/// The contender znodes of one session that somebody in this process answers for. They tell a znode that a
/// create with a lost reply left from those of other contenders with the same identity.
#[derive(Debug, Default)]
pub(crate) struct Claims(Mutex<Claimed>);

#[derive(Debug, Default)]
struct Claimed {
    tokens: HashSet<FencingToken>,
    /// The creates whose outcome is not known yet: by the guard, how the znode's path begins.
    creating: HashMap<String, String>,
}

impl Counter {
    pub(crate) fn new(path: String, acl: &[zk::Acl]) -> Self {
        Self { path, acl: acl.to_vec(), seen: Mutex::new(None) }
    }

    fn seen(&self) -> Option<i32> {
        *self.seen.lock().unwrap()
    }

    fn saw(&self, version: Option<i32>) {
        *self.seen.lock().unwrap() = version;
    }
}

impl Claims {
    /// The claims on a session that the application has opened: the same for all who share it.
    pub(crate) fn on(session: SessionId) -> Arc<Self> {
        static KNOWN: Mutex<BTreeMap<i64, Weak<Claims>>> = Mutex::new(BTreeMap::new());
        let mut known = KNOWN.lock().unwrap();
        known.retain(|_, claims| claims.strong_count() > 0);
        let claims = known.get(&session.raw()).and_then(Weak::upgrade).unwrap_or_default();
        known.insert(session.raw(), Arc::downgrade(&claims));
        claims
    }

    /// Answers for a znode from now on, if nobody does.
    pub(crate) fn claim(&self, token: FencingToken) -> bool {
        self.claimed().tokens.insert(token)
    }

    /// Answers for a znode no longer.
    pub(crate) fn release(&self, node: &Node) {
        self.claimed().tokens.remove(&node.token);
    }

    /// Whether a znode of the session is one that somebody answers for; `None` if a create is under way whose znode it
    /// may be.
    fn is_claimed(&self, path: &str, token: FencingToken) -> Option<bool> {
        let claimed = self.claimed();
        match claimed.tokens.contains(&token) {
            true => Some(true),
            false => (!claimed.creating.values().any(|created| path.starts_with(created))).then_some(false),
        }
    }

    fn claimed(&self) -> MutexGuard<'_, Claimed> {
        self.0.lock().unwrap()
    }
}

impl Live {
    /// Creates a contender's znode. After [`Failure::Unknown`] there may be one, now or later: [`Live::settle`] and
    /// [`Live::claim_own`] tell.
    pub(crate) async fn create(self: &Arc<Self>, creation: Creation<'_>) -> Result<Created, NotCreated> {
        let guard = creation.guard;
        self.claims.claimed().creating.insert(guard.to_owned(), creation.path.to_owned());
        let outcome = match creation.counter {
            None => self.create_sequential(&creation).await,
            Some(counter) => self.create_master(&creation, counter).await,
        };
        if !matches!(outcome, Err(NotCreated::Failed(Failure::Unknown(_), _))) {
            self.claims.claimed().creating.remove(guard);
        }
        outcome
    }

    async fn create_sequential(self: &Arc<Self>, creation: &Creation<'_>) -> Result<Created, NotCreated> {
        let sent = clock::now();
        let writes = creation.writes(zk::CreateMode::EphemeralSequential, None);
        let results =
            self.transact(&writes, self.request_timeout()).await.map_err(|it| creation.error(it))?;
        let lease = self.lease(sent);
        let Some(zk::MultiWriteResult::Create { path, .. }) = results.into_iter().nth(1) else {
            return Err(unknown("the server returned no path of the new znode"));
        };
        // The next two requests of a contender, sent together.
        let (glance, children) = join(self.read_and_watch(&path), self.list(split(&path).0)).await;
        self.created(path, None, lease, glance, children.ok()).await
    }

    async fn create_master(
        self: &Arc<Self>,
        creation: &Creation<'_>,
        counter: &Counter,
    ) -> Result<Created, NotCreated> {
        let version = match counter.seen() {
            Some(version) => version,
            None => self.count(counter).await.map_err(|failure| NotCreated::Failed(failure, None))?,
        };
        let sent = clock::now();
        let writes = creation.writes(zk::CreateMode::Ephemeral, Some((counter, version)));
        // The next request of a contender is for a watch on this znode, also if it is another's. It is sent along
        // right behind the create: `join` polls in this order.
        let create = self.transact(&writes, self.request_timeout());
        let (done, glance) = join(create, self.read_and_watch(creation.path)).await;
        match done {
            Ok(_) => {
                counter.saw(Some(version + 1));
                let lease = self.lease(sent);
                let counted = Some((counter, version + 1));
                self.created(creation.path.to_owned(), counted, lease, glance, None).await
            }
            Err(aborted) => {
                counter.saw(None);
                // A contender that waits from now on knows the counter when its turn comes. If not, it reads it then.
                let _ = self.count(counter).await;
                match creation.error(aborted) {
                    NotCreated::Failed(failure, _) => Err(NotCreated::Failed(failure, glance.ok())),
                    refused => Err(refused),
                }
            }
        }
    }

    /// The znode was created, and then looked at.
    async fn created(
        &self,
        path: String,
        counted: Option<(&Counter, i32)>,
        lease: Lease,
        glance: Result<Option<Glance>, Failure>,
        children: Option<Vec<String>>,
    ) -> Result<Created, NotCreated> {
        let failed = |failure| Err(NotCreated::Failed(failure, None));
        let glance = match glance {
            Ok(Some(glance)) if glance.0.is_of(self.session()) => glance,
            Ok(_) => {
                return failed(Failure::Rejected("the znode was deleted as soon as it was created".into()));
            }
            // A contender that gets no events about its znode can neither wait nor lead.
            Err(Failure::Refused(error)) => {
                let done = match counted {
                    Some((counter, version)) => match self.delete_counted(&path, counter, version).await {
                        Ok(true) => Ok(()),
                        Ok(false) => Err(Failure::Unknown(format!("{} was changed", counter.path))),
                        Err(failure) => Err(failure),
                    },
                    None => self.delete(&path).await,
                };
                return match done {
                    Ok(()) => failed(Failure::Refused(error)),
                    Err(failure) => Err(unknown(&failure.reason())),
                };
            }
            Err(failure) => return Err(unknown(&failure.reason())),
        };
        let token = glance.0.token;
        if !self.claims.claim(token) {
            // One of the same identity on this session was looking for its own, and took ours.
            return Err(unknown("another contender of this session took the znode"));
        }
        let incarnation = counted.map(|(_, version)| version);
        Ok(Created { node: Node { path, token, incarnation }, lease, glance, children })
    }

    /// Makes sure that the create with this guard can be carried out no more, and that what is read on this client
    /// afterwards shows it if it was.
    pub(crate) async fn settle(&self, guard: &str, container: bool, acl: &[zk::Acl]) -> Result<(), Failure> {
        let options = zk::CreateMode::Ephemeral.with_acls(zk::Acls::new(acl));
        let create = || self.run("create", guard, async |client| client.create(guard, b"", &options).await);
        let created = match create().await {
            // The create needs this parent, too, and it may come back.
            Err(Failure::NoNode) => {
                self.create_parents(split(guard).0, container, acl).await?;
                create().await
            }
            other => other,
        };
        match created {
            // Nobody else uses the name: an earlier attempt to settle it.
            Ok(_) | Err(Failure::NodeExists) => Ok(()),
            // Nor could the create be carried out.
            Err(Failure::Refused(Error::NotAuthorized { .. })) => self.flush().await,
            Err(failure) => Err(failure),
        }
    }

    /// The create with this guard is settled, and its znode was looked for.
    pub(crate) fn settled(&self, guard: &str) {
        self.claims.claimed().creating.remove(guard);
    }

    /// A transaction that changes nothing. When it was answered, what is read on this client shows everything that was
    /// committed before. (A `sync` does not do that: a deposed leader server answers it by itself.)
    pub(crate) async fn flush(&self) -> Result<(), Failure> {
        let check = Write::Check { path: "/".into(), version: None };
        match self.transact(&[check], self.request_timeout()).await {
            // Transactions that fail are committed as such.
            Ok(_) | Err(Aborted::Operation { source: zk::Error::NoNode | zk::Error::NoAuth, .. }) => Ok(()),
            Err(Aborted::Operation { source, .. }) => Err(classify(source, "check", "/")),
            Err(Aborted::Request(failure)) => Err(failure),
        }
    }

    /// Finds those of the znodes that this session created with this data and nobody answers for, oldest
    /// first, and claims them.
    pub(crate) async fn claim_own(
        &self,
        paths: impl IntoIterator<Item = String>,
        data: &[u8],
    ) -> Result<Vec<Node>, Failure> {
        let mut found = Vec::new();
        let mut refused = None;
        let stats = paths.into_iter().map(|path| async {
            let origin = self.stat(&path).await;
            (path, origin)
        });
        for (path, origin) in join_all(stats).await {
            let origin = match origin {
                // Since 3.9 a stat needs permission.
                Err(Failure::Refused(error)) => {
                    refused = Some(error);
                    continue;
                }
                origin => origin?,
            };
            let Some(origin) = origin.filter(|it| it.is_of(self.session())) else { continue };
            let same = match self.read(&path).await {
                Ok(read) => read.is_some_and(|(content, it)| content == data && it.token == origin.token),
                // Our own ACL may forbid us to read.
                Err(Failure::Refused(Error::NotAuthorized { .. })) => true,
                Err(failure) => return Err(failure),
            };
            if same {
                found.push(Node { path, token: origin.token, incarnation: None });
            }
        }
        if let (true, Some(error)) = (found.is_empty(), refused) {
            return Err(Failure::Refused(error));
        }
        found.sort_by_key(|node| node.token);
        found.retain(|node| self.claims.claim(node.token));
        Ok(found)
    }

    /// Claims a znode that was seen, if it is of this session and nobody answers for it: it stands in the way of all.
    pub(crate) fn claim_forgotten(&self, path: &str, glance: &Glance) -> Result<Option<Node>, Failure> {
        let token = glance.0.token;
        if !glance.0.is_of(self.session()) {
            return Ok(None);
        }
        match self.claims.is_claimed(path, token) {
            Some(true) => Ok(None),
            Some(false) if self.claims.claim(token) => {
                Ok(Some(Node { path: path.to_owned(), token, incarnation: None }))
            }
            Some(false) | None => Err(Failure::Rejected(
                "a znode of this session may belong to a create that is under way".into(),
            )),
        }
    }

    /// Answers for a znode no longer.
    pub(crate) fn release(&self, node: &Node) {
        self.claims.release(node);
    }

    /// Deletes a znode of ours; in master mode with the counter of its path. In sequential mode `verify` looks first
    /// whether it still is ours: the name may have been given to somebody else's after the directory was created again.
    pub(crate) async fn remove(
        &self,
        node: &Node,
        counter: Option<&Counter>,
        verify: bool,
    ) -> Result<(), Failure> {
        match counter {
            Some(counter) => self.remove_master(node, counter).await?,
            None if verify && !self.may_stand(node).await? => {}
            None => self.delete(&node.path).await?,
        }
        self.claims.release(node);
        Ok(())
    }

    /// Whether a sequential znode may still stand.
    async fn may_stand(&self, node: &Node) -> Result<bool, Failure> {
        let (flushed, origin) = join(self.flush(), self.stat(&node.path)).await;
        flushed?;
        // Since 3.9 a stat needs permission. If there is none, the znode is rather another's: ours was read before.
        Ok(origin?.is_some_and(|it| it.is_still(node, self.session())))
    }

    async fn remove_master(&self, node: &Node, counter: &Counter) -> Result<(), Failure> {
        let mut incarnation = node.incarnation;
        for _ in 0..BINDINGS {
            let version = match incarnation {
                Some(version) => version,
                None => match self.bind(node, counter).await? {
                    Some(version) => version,
                    None => return Ok(()),
                },
            };
            if self.delete_counted(&node.path, counter, version).await? {
                return Ok(());
            }
            // Another was master since, or somebody has changed the counter.
            incarnation = None;
        }
        Err(Failure::Rejected(format!("{} changes all the time", counter.path)))
    }

    /// The version of the counter that stands for this znode of ours; `None` if the znode is gone.
    ///
    /// The counter is read first. If the znode stands after that, and the counter still has the same version when a
    /// transaction checks it, then nobody has created another znode in between.
    async fn bind(&self, node: &Node, counter: &Counter) -> Result<Option<i32>, Failure> {
        let version = self.count(counter).await?;
        let stands = self.stat(&node.path).await?.is_some_and(|it| it.is_still(node, self.session()));
        Ok(stands.then_some(version))
    }

    /// The version of a counter, which is created if it does not exist.
    pub(crate) async fn count(&self, counter: &Counter) -> Result<i32, Failure> {
        let path = counter.path.as_str();
        let version = match self.read(path).await? {
            Some((_, origin)) => origin.version,
            None => {
                let options = zk::CreateMode::Persistent.with_acls(zk::Acls::new(&counter.acl));
                match self.run("create", path, async |client| client.create(path, b"", &options).await).await
                {
                    Ok(_) => 0,
                    Err(Failure::NodeExists) => {
                        return Err(Failure::Rejected(format!("another contender has created {path}")));
                    }
                    Err(failure) => return Err(failure),
                }
            }
        };
        counter.saw(Some(version));
        Ok(version)
    }

    /// Deletes a master's znode if the counter has this version. Returns whether the znode is gone, which is not known
    /// if the counter has another version.
    async fn delete_counted(&self, path: &str, counter: &Counter, version: i32) -> Result<bool, Failure> {
        use zk::Error::{BadVersion, NoNode};
        let check = Write::Check { path: counter.path.clone(), version: Some(version) };
        let delete = Write::Delete { path: path.to_owned(), version: None };
        match self.transact(&[check, delete], self.request_timeout()).await {
            Ok(_) | Err(Aborted::Operation { index: 1, source: NoNode }) => Ok(true),
            Err(Aborted::Operation { index: 0, source: NoNode | BadVersion }) => Ok(false),
            Err(Aborted::Operation { index: 0, source }) => Err(classify(source, "read", &counter.path)),
            Err(Aborted::Operation { source, .. }) => Err(classify(source, "delete", path)),
            Err(Aborted::Request(failure)) => Err(failure),
        }
    }

    async fn delete(&self, path: &str) -> Result<(), Failure> {
        match self.run("delete", path, async |client| client.delete(path, None).await).await {
            Ok(()) | Err(Failure::NoNode) => Ok(()),
            failed => failed,
        }
    }
}

impl Creation<'_> {
    fn writes(&self, mode: zk::CreateMode, counter: Option<(&Counter, i32)>) -> Vec<Write> {
        let create = |path: &str, data: &[u8], mode| Write::Create {
            path: path.to_owned(),
            data: data.to_vec(),
            mode,
            acl: self.acl.to_vec(),
        };
        let guard = create(self.guard, b"", zk::CreateMode::Ephemeral);
        let mut writes = vec![guard, create(self.path, self.data, mode)];
        if let Some((counter, version)) = counter {
            let path = counter.path.clone();
            writes.push(Write::SetData { path, data: Vec::new(), version: Some(version) });
        }
        writes.push(Write::Delete { path: self.guard.to_owned(), version: None });
        writes
    }

    /// What follows from the failure of the transaction with these writes.
    fn error(&self, aborted: Aborted) -> NotCreated {
        use zk::Error::{BadVersion, NoAuth, NoNode, NodeExists};
        let counter = self.counter.map(|counter| counter.path.as_str());
        let failure = match (aborted, counter) {
            (Aborted::Request(failure), _) => failure,
            (Aborted::Operation { index: 0, source: NodeExists }, _) => {
                Failure::Rejected(format!("{} exists", self.guard))
            }
            (Aborted::Operation { index: 0, source: NoAuth }, _) => {
                return NotCreated::GuardRefused(classify(NoAuth, "create", self.guard));
            }
            (Aborted::Operation { index: 0, source }, _) => classify(source, "create", self.guard),
            (Aborted::Operation { index: 1, source }, _) => classify(source, "create", self.path),
            // Another was faster.
            (Aborted::Operation { index: 2, source: BadVersion }, Some(_)) => Failure::NodeExists,
            (Aborted::Operation { index: 2, source: NoNode }, Some(path)) => {
                Failure::Rejected(format!("{path} was deleted"))
            }
            (Aborted::Operation { index: 2, source }, Some(path)) => classify(source, "write", path),
            (Aborted::Operation { source, .. }, _) => {
                return NotCreated::GuardRefused(classify(source, "delete", self.guard));
            }
        };
        NotCreated::Failed(failure, None)
    }
}

fn unknown(reason: &str) -> NotCreated {
    NotCreated::Failed(Failure::Unknown(reason.to_owned()), None)
}
