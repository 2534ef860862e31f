//! The znodes of contenders: created, found again after a lost answer, removed. The same steps as in `session/znodes.rs`,
//! and the same judgements, on the simulated client.

use std::cell::Cell;

use futures_util::future::{join as both, try_join_all};

use super::fake_client::FakeClient;
use super::wire::{Aborted, Glance, check, creation, deletion, setting};
use crate::error::Failure;
use crate::lease::Lease;
use crate::path::split;
use crate::simulation::mistakes::Mistake;
use crate::znode::{Node, Origin};
use zookeeper_embedded::replica::{Code, Outcome as Part, Write, create};

/// How often a removal is bound anew.
const BINDINGS: usize = 4;

/// How a contender's znode is to be created.
pub(super) struct FakeCreation<'a> {
    pub(super) path: &'a str,
    pub(super) tombstone: &'a str,
    pub(super) counter: Option<&'a FakeCounter>,
    pub(super) data: &'a str,
}

/// A new znode of a contender.
pub(super) struct Created {
    pub(super) node: Node,
    pub(super) lease: Lease,
    pub(super) glance: Glance,
    pub(super) children: Option<Vec<String>>,
}

/// Why a znode was not created, with a look at the master's znode, if there was time for one.
pub(super) type FakeNotCreated = (Failure, Option<Option<Glance>>);

/// The znode beside a master's path whose version grows with each master.
pub(super) struct FakeCounter {
    pub(super) path: String,
    seen: Cell<Option<i32>>,
}

impl FakeCounter {
    pub(super) fn new(path: String) -> Self {
        Self { path, seen: Cell::new(None) }
    }
}

impl FakeClient {
    pub(super) async fn create_znode(&self, creation: FakeCreation<'_>) -> Result<Created, FakeNotCreated> {
        let FakeCreation { tombstone, path, .. } = creation;
        self.state().claims.unsettled.insert(tombstone.to_owned(), path.to_owned());
        let outcome = match creation.counter {
            None => self.create_sequential(&creation).await,
            Some(counter) => self.create_master(&creation, counter).await,
        };
        if !matches!(outcome, Err((Failure::Unknown(_), _))) {
            self.settled(tombstone);
        }
        outcome
    }

    async fn create_sequential(&self, creation: &FakeCreation<'_>) -> Result<Created, FakeNotCreated> {
        let sent = self.now();
        let writes = creation.writes(create::EPHEMERAL_SEQUENTIAL, None);
        let parts = self.transact(writes).await.map_err(|it| (failure_of(it), None))?;
        let lease = self.lease(sent);
        let Some(Part::Created(path)) = parts.into_iter().nth(1) else {
            unreachable!("a create that succeeds tells the path");
        };
        let (glance, children) = both(self.read_and_watch(&path), self.list(split(&path).0)).await;
        self.created(path, None, lease, glance, children.ok())
    }

    async fn create_master(
        &self,
        creation: &FakeCreation<'_>,
        counter: &FakeCounter,
    ) -> Result<Created, FakeNotCreated> {
        let version = match counter.seen.get() {
            Some(version) => version,
            None => self.count(counter).await.map_err(|failure| (failure, None))?,
        };
        let sent = self.now();
        let create = self.transact(creation.writes(create::EPHEMERAL, Some((counter, version))));
        let (done, glance) = both(create, self.read_and_watch(creation.path)).await;
        match done {
            Ok(_) => {
                counter.seen.set(Some(version + 1));
                let lease = self.lease(sent);
                self.created(creation.path.to_owned(), Some(version + 1), lease, glance, None)
            }
            Err(aborted) => {
                counter.seen.set(None);
                let _ = self.count(counter).await;
                Err((failure_of(aborted), glance.ok()))
            }
        }
    }

    /// The znode was created, and then looked at.
    fn created(
        &self,
        path: String,
        incarnation: Option<i32>,
        lease: Lease,
        glance: Result<Option<Glance>, Failure>,
        children: Option<Vec<String>>,
    ) -> Result<Created, FakeNotCreated> {
        let glance = match glance {
            Ok(Some(glance)) if glance.0.is_of(self.session()) => glance,
            Ok(_) => {
                let reason = "the znode was deleted as soon as it was created";
                return Err((Failure::Rejected(reason.into()), None));
            }
            Err(failure) => return Err((Failure::Unknown(failure.reason()), None)),
        };
        let token = glance.0.token;
        if !self.state().claims.tokens.insert(token) {
            let reason = "another contender of this session took the znode";
            return Err((Failure::Unknown(reason.into()), None));
        }
        Ok(Created { node: Node { path, token, incarnation }, lease, glance, children })
    }

    /// Makes sure that the create with this tombstone can be carried out no more.
    pub(super) async fn settle(&self, tombstone: &str) -> Result<(), Failure> {
        if self.makes(Mistake::NoTombstone) {
            return self.flush().await;
        }
        let created = match self.create(tombstone, create::EPHEMERAL).await {
            Err(Failure::NoNode) => {
                self.create_parents(split(tombstone).0).await?;
                self.create(tombstone, create::EPHEMERAL).await
            }
            other => other,
        };
        match created {
            Ok(()) | Err(Failure::NodeExists) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// The create with this tombstone is settled, and its znode was looked for.
    pub(super) fn settled(&self, tombstone: &str) {
        self.state().claims.unsettled.remove(tombstone);
    }

    /// Finds those of the znodes that this session created with this data and nobody answers for, and claims them.
    pub(super) async fn claim_own(&self, paths: Vec<String>, data: &str) -> Result<Vec<Node>, Failure> {
        let mut found = Vec::new();
        let stats = paths.into_iter().map(|path| async {
            let origin = self.stat(&path).await?;
            Ok::<_, Failure>((path, origin))
        });
        for (path, origin) in try_join_all(stats).await? {
            let session = self.session();
            let is_own = |it: &Origin| it.is_of(session) || self.makes(Mistake::NoOwnerCheck);
            let Some(origin) = origin.filter(is_own) else { continue };
            let read = self.read(&path).await?;
            if read.is_some_and(|(content, it)| content == data.as_bytes() && it.token == origin.token) {
                found.push(Node { path, token: origin.token, incarnation: None });
            }
        }
        found.sort_by_key(|node| node.token);
        let tokens = &mut self.state().claims.tokens;
        found.retain(|node| tokens.insert(node.token));
        Ok(found)
    }

    /// Claims a znode that was seen, if it is of this session and nobody answers for it.
    pub(super) fn claim_forgotten(&self, path: &str, glance: &Glance) -> Result<Option<Node>, Failure> {
        let token = glance.0.token;
        let session = self.session();
        let claims = &mut self.state().claims;
        if self.makes(Mistake::NoFlush) || !glance.0.is_of(session) || claims.tokens.contains(&token) {
            return Ok(None);
        }
        if claims.unsettled.values().any(|created| path.starts_with(created)) {
            let reason = "a znode of this session may belong to a create that is under way";
            return Err(Failure::Rejected(reason.into()));
        }
        claims.tokens.insert(token);
        Ok(Some(Node { path: path.to_owned(), token, incarnation: None }))
    }

    /// Answers for a znode no longer that is gone.
    pub(super) fn forget(&self, node: &Node) {
        self.state().claims.tokens.remove(&node.token);
    }

    /// Deletes a znode of the contender.
    pub(super) async fn remove(
        &self,
        node: &Node,
        counter: Option<&FakeCounter>,
        verify: bool,
    ) -> Result<(), Failure> {
        let unbound = self.makes(Mistake::UnboundRemoval) || self.makes(Mistake::RemovesUnseen);
        let looks = (verify || counter.is_some()) && !self.makes(Mistake::RemovesUnseen);
        match counter.filter(|_| !unbound) {
            Some(counter) => self.remove_master(node, counter).await?,
            None if looks && !self.may_stand(node).await? => {}
            None => self.delete(&node.path).await?,
        }
        self.forget(node);
        Ok(())
    }

    /// Whether a znode may still stand.
    async fn may_stand(&self, node: &Node) -> Result<bool, Failure> {
        let (flushed, origin) = both(self.flush(), self.stat(&node.path)).await;
        flushed?;
        Ok(origin?.is_some_and(|it| it.is_still(node)))
    }

    async fn remove_master(&self, node: &Node, counter: &FakeCounter) -> Result<(), Failure> {
        let mut incarnation = node.incarnation;
        for _ in 0..BINDINGS {
            let version = match incarnation {
                Some(version) => version,
                None => match self.version_of(node, counter).await? {
                    Some(version) => version,
                    None => return Ok(()),
                },
            };
            if self.delete_counted(&node.path, counter, version).await? {
                return Ok(());
            }
            incarnation = None;
        }
        Err(Failure::Rejected("the counter changes all the time".into()))
    }

    /// The version of the counter that stands for this znode; `None` if the znode is gone.
    async fn version_of(&self, node: &Node, counter: &FakeCounter) -> Result<Option<i32>, Failure> {
        let version = self.count(counter).await?;
        let stands = self.stat(&node.path).await?.is_some_and(|it| it.is_still(node));
        Ok(stands.then_some(version))
    }

    /// The version of a counter, which is created if it does not exist.
    pub(super) async fn count(&self, counter: &FakeCounter) -> Result<i32, Failure> {
        let version = match self.read(&counter.path).await? {
            Some((_, origin)) => origin.version,
            None => match self.create(&counter.path, create::PERSISTENT).await {
                Ok(()) => 0,
                Err(Failure::NodeExists) => {
                    return Err(Failure::Rejected("another contender has created the counter".into()));
                }
                Err(failure) => return Err(failure),
            },
        };
        counter.seen.set(Some(version));
        Ok(version)
    }

    /// Deletes a master's znode if the counter has this version. Returns whether the znode is gone.
    async fn delete_counted(&self, path: &str, counter: &FakeCounter, version: i32) -> Result<bool, Failure> {
        match self.transact(vec![check(&counter.path, version), deletion(path)]).await {
            Ok(_) | Err(Aborted::Operation { index: 1, .. }) => Ok(true),
            Err(Aborted::Operation { .. }) => Ok(false),
            Err(Aborted::Request(failure)) => Err(failure),
        }
    }
}

impl FakeCreation<'_> {
    fn writes(&self, flags: i32, counter: Option<(&FakeCounter, i32)>) -> Vec<Write> {
        let mut writes =
            vec![creation(self.tombstone, "", create::EPHEMERAL), creation(self.path, self.data, flags)];
        writes.extend(counter.map(|(counter, version)| setting(&counter.path, version)));
        writes.push(deletion(self.tombstone));
        writes
    }
}

/// What follows from the failure of a create.
fn failure_of(aborted: Aborted) -> Failure {
    match aborted {
        Aborted::Request(failure) => failure,
        Aborted::Operation { index: 0, code: Code::NODE_EXISTS } => {
            Failure::Rejected("the tombstone exists".into())
        }
        Aborted::Operation { index: 0 | 1, code: Code::NO_NODE } => Failure::NoNode,
        // Another was faster.
        Aborted::Operation { index: 1, code: Code::NODE_EXISTS }
        | Aborted::Operation { index: 2, code: Code::BAD_VERSION } => Failure::NodeExists,
        Aborted::Operation { index, code } => Failure::Rejected(format!("operation {index}: {code:?}")),
    }
}
