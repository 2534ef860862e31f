//! Creating and removing contenders' znodes, so that no request is carried out after it is obsolete.
//!
//! A request whose reply was lost can be carried out later, behind other requests of the same session. It may be in the
//! queue of a server that is paused, or that follows a leader server which the other servers have left. No read rules
//! that out, and neither does `sync`, because a deposed leader server answers it by itself. So each write carries the
//! condition under which it is still wanted:
//!
//! ```text
//!   create     create G · create the znode · (master: set the counter, version v) · delete G
//!   settle     create G: from now on the create above fails, because G exists
//!   remove     sequential: delete, because the name is given out once
//!              master: check the counter, version v + 1 · delete
//! ```
//!
//! *G*, the tombstone, is an ephemeral znode with a name that no other attempt uses. It exists only after a reply was lost,
//! until the session ends. The *counter* is a persistent znode beside a master's path. Each new master raises its version
//! in the transaction that creates the znode, so that transactions of older masters fail.

use std::sync::Arc;

use futures_util::future::join;
use zookeeper_client as zk;

use super::client::{Client, classify};
use super::counter::Counter;
use super::transaction::TransactionError;
use super::watching::Peek;
use super::write::Write;
use crate::error::{Error, Failure};
use crate::lease::Lease;
use crate::mistakes::mistake;
use crate::path::split;
use crate::runtime;
use crate::znode::Node;

/// The create of a contender's znode.
pub(crate) struct Creation<'a> {
    /// The znode's path, or in sequential mode what the digits are appended to.
    pub(crate) path: &'a str,
    /// A path that no other attempt uses.
    pub(crate) tombstone: &'a str,
    /// In master mode.
    pub(crate) counter: Option<&'a Counter>,
    pub(crate) data: &'a [u8],
    pub(crate) acl: &'a [zk::Acl],
}

/// What was read together with a create, because the contender asks for it next. Saves a round trip.
#[derive(Default)]
pub(crate) struct Prefetched {
    /// The contender's znode, or in its place the master's. `Some(None)`: it does not exist.
    pub(crate) peek: Option<Option<Peek>>,
    /// Sequential mode: the children of the directory.
    pub(crate) children: Option<Vec<String>>,
}

/// Why a znode was not created, or may not have been.
pub(crate) enum NotCreated {
    /// There is no permission to create or delete the tombstone at this path.
    TombstoneRefused(Failure),
    Failed(Failure),
}

impl Client {
    /// Creates a contender's znode, and returns the lease that this grants. After [`Failure::Unknown`] there may be a znode,
    /// now or later: [`Client::settle`] rules out the latter, and [`Client::claim_orphans`] finds it.
    pub(crate) async fn create(
        self: &Arc<Self>,
        creation: Creation<'_>,
        prefetched: &mut Prefetched,
    ) -> Result<(Node, Lease), NotCreated> {
        let tombstone = creation.tombstone;
        self.claims.begin(tombstone, creation.path);
        let outcome = match creation.counter {
            None => self.create_sequential(&creation, prefetched).await,
            Some(counter) => self.create_master(&creation, counter, prefetched).await,
        };
        if !matches!(outcome, Err(NotCreated::Failed(Failure::Unknown(_)))) {
            self.claims.settled(tombstone);
        }
        outcome
    }

    async fn create_sequential(
        self: &Arc<Self>,
        creation: &Creation<'_>,
        prefetched: &mut Prefetched,
    ) -> Result<(Node, Lease), NotCreated> {
        let sent = runtime::now();
        let writes = creation.writes(zk::CreateMode::EphemeralSequential, None);
        let done = self.transact(&writes, self.request_timeout()).await;
        let results = done.map_err(|aborted| creation.error(aborted))?;
        let lease = self.lease(sent);
        let Some(zk::MultiWriteResult::Create { path, .. }) = results.into_iter().nth(1) else {
            return Err(unknown("the server returned no path of the new znode"));
        };
        // The next two requests of the contender, sent together.
        let (peek, children) = join(self.read_and_watch(&path), self.list(split(&path).0)).await;
        let (node, peek) = self.created(path, None, peek).await?;
        *prefetched = Prefetched { peek: Some(Some(peek)), children: children.ok() };
        Ok((node, lease))
    }

    async fn create_master(
        self: &Arc<Self>,
        creation: &Creation<'_>,
        counter: &Counter,
        prefetched: &mut Prefetched,
    ) -> Result<(Node, Lease), NotCreated> {
        let version = match counter.cached() {
            Some(version) => version,
            None => self.read_counter(counter).await.map_err(NotCreated::Failed)?,
        };
        let sent = runtime::now();
        let writes = creation.writes(zk::CreateMode::Ephemeral, Some((counter, version)));
        // The contender asks next for a watch on this znode, also if it is another's. Sent right behind the create:
        // `join` polls in this order.
        let create = self.transact(&writes, self.request_timeout());
        let (done, peek) = join(create, self.read_and_watch(creation.path)).await;
        if let Err(aborted) = done {
            counter.set_cached(None);
            // Read now, so that the contender can create its znode in one round trip when its turn comes.
            let _ = self.read_counter(counter).await;
            prefetched.peek = peek.ok();
            return Err(creation.error(aborted));
        }
        let version = version.wrapping_add(1);
        counter.set_cached(Some(version));
        let lease = self.lease(sent);
        let counted = Some((counter, version));
        let (node, peek) = self.created(creation.path.to_owned(), counted, peek).await?;
        prefetched.peek = Some(Some(peek));
        Ok((node, lease))
    }

    /// Claims the znode, after it was created and read.
    async fn created(
        &self,
        path: String,
        counted: Option<(&Counter, i32)>,
        peek: Result<Option<Peek>, Failure>,
    ) -> Result<(Node, Peek), NotCreated> {
        let peek = match peek {
            Ok(Some(peek)) if peek.0.is_of(self.session()) => peek,
            Ok(_) => {
                let reason = "the znode was deleted as soon as it was created";
                return Err(NotCreated::Failed(Failure::Rejected(reason.into())));
            }
            // Without READ permission there are no events, and then the contender can neither wait nor lead.
            Err(Failure::Refused(error)) => {
                let done = match counted {
                    Some((counter, version)) => match self.delete_with_counter(&path, counter, version).await
                    {
                        Ok(true) => Ok(()),
                        Ok(false) => Err(Failure::Unknown(format!("{} was changed", counter.path))),
                        Err(failure) => Err(failure),
                    },
                    None => self.delete(&path).await,
                };
                return Err(match done {
                    Ok(()) => NotCreated::Failed(Failure::Refused(error)),
                    Err(failure) => unknown(&failure.reason()),
                });
            }
            Err(failure) => return Err(unknown(&failure.reason())),
        };
        let token = peek.0.token;
        if !self.claims.claim(token) && !mistake!(TwinsZnode) {
            // Another contender of the same session and identity has taken it for its orphan.
            return Err(unknown("another contender of this session took the znode"));
        }
        let incarnation = counted.map(|(_, version)| version);
        Ok((Node { path, token, incarnation }, peek))
    }

    /// Makes sure that the create with this tombstone can no longer be carried out, and that later reads on this client show
    /// its znode if it was.
    pub(crate) async fn settle(
        &self,
        tombstone: &str,
        container: bool,
        acl: &[zk::Acl],
    ) -> Result<(), Failure> {
        let create = || self.create_empty(tombstone, zk::CreateMode::Ephemeral, acl);
        let created = match create().await {
            // The contender's create would fail as well now, but the parent may be created again.
            Err(Failure::NoNode) => {
                self.create_parents(split(tombstone).0, container, acl).await?;
                create().await
            }
            other => other,
        };
        match created {
            // No other attempt uses the name, so an earlier call has created it.
            Ok(_) | Err(Failure::NodeExists) => Ok(()),
            // The contender's create has no permission either.
            Err(Failure::Refused(Error::NotAuthorized { .. })) => self.flush().await,
            Err(failure) => Err(failure),
        }
    }

    /// The create with this tombstone is settled, and its znode was searched for.
    pub(crate) fn settled(&self, tombstone: &str) {
        self.claims.settled(tombstone);
    }

    /// Commits a transaction that changes nothing. Later reads on this client show everything that was committed before it.
    /// (After a `sync` they may not, because a deposed leader server answers it by itself.)
    pub(crate) async fn flush(&self) -> Result<(), Failure> {
        let check = Write::Check { path: "/".into(), version: None };
        match self.transact(&[check], self.request_timeout()).await {
            // ZooKeeper commits failed transactions as well.
            Ok(_)
            | Err(TransactionError::Operation { source: zk::Error::NoNode | zk::Error::NoAuth, .. }) => {
                Ok(())
            }
            Err(TransactionError::Operation { source, .. }) => Err(classify(source, "check", "/")),
            Err(TransactionError::Request(failure)) => Err(failure),
        }
    }

    /// Deletes a contender's znode. Master mode: if the counter has not changed. Sequential mode: with `verify`, only after a
    /// check that it is still this znode, because another may have its name after the directory was created again.
    pub(crate) async fn remove(
        &self,
        node: &Node,
        counter: Option<&Counter>,
        verify: bool,
    ) -> Result<(), Failure> {
        let counter = counter.filter(|_| !mistake!(UnboundRemoval) && !mistake!(RemovesUnseen));
        let verify = (verify || mistake!(UnboundRemoval)) && !mistake!(RemovesUnseen);
        match counter {
            Some(counter) => self.remove_master(node, counter).await?,
            None if verify && !self.may_exist(node).await? => {}
            None => self.delete(&node.path).await?,
        }
        self.claims.release(node);
        Ok(())
    }

    /// Whether this sequential znode may still exist.
    async fn may_exist(&self, node: &Node) -> Result<bool, Failure> {
        let (flushed, origin) = join(self.flush(), self.stat(&node.path)).await;
        flushed?;
        // Since ZooKeeper 3.9, a stat needs READ permission. Without it, the znode is probably another's, because this one
        // was read before.
        Ok(origin?.is_some_and(|it| it.is_still(node)))
    }

    async fn delete(&self, path: &str) -> Result<(), Failure> {
        match self.run("delete", path, self.connection.delete(path)).await {
            Ok(()) | Err(Failure::NoNode) => Ok(()),
            failed => failed,
        }
    }
}

impl Creation<'_> {
    /// The transaction.
    fn writes(&self, mode: zk::CreateMode, counter: Option<(&Counter, i32)>) -> Vec<Write> {
        let create = |path: &str, data: &[u8], mode| Write::Create {
            path: path.to_owned(),
            data: data.to_vec(),
            mode,
            acl: self.acl.to_vec(),
        };
        let tombstone = create(self.tombstone, b"", zk::CreateMode::Ephemeral);
        let mut writes = vec![tombstone, create(self.path, self.data, mode)];
        if let Some((counter, version)) = counter {
            let path = counter.path.clone();
            writes.push(Write::SetData { path, data: Vec::new(), version: Some(version) });
        }
        writes.push(Write::Delete { path: self.tombstone.to_owned(), version: None });
        writes
    }

    /// What follows from the failure of the transaction with these writes.
    fn error(&self, aborted: TransactionError) -> NotCreated {
        use zk::Error::{BadVersion, NoAuth, NoNode, NodeExists};
        let counter = self.counter.map(|counter| counter.path.as_str());
        let failure = match (aborted, counter) {
            (TransactionError::Request(failure), _) => failure,
            (TransactionError::Operation { index: 0, source: NodeExists }, _) => {
                Failure::Rejected(format!("{} exists", self.tombstone))
            }
            (TransactionError::Operation { index: 0, source: NoAuth }, _) => {
                return NotCreated::TombstoneRefused(classify(NoAuth, "create", self.tombstone));
            }
            (TransactionError::Operation { index: 0, source }, _) => {
                classify(source, "create", self.tombstone)
            }
            (TransactionError::Operation { index: 1, source }, _) => classify(source, "create", self.path),
            // Another contender was faster.
            (TransactionError::Operation { index: 2, source: BadVersion }, Some(_)) => Failure::NodeExists,
            (TransactionError::Operation { index: 2, source: NoNode }, Some(path)) => {
                Failure::Rejected(format!("{path} was deleted"))
            }
            (TransactionError::Operation { index: 2, source }, Some(path)) => classify(source, "write", path),
            (TransactionError::Operation { source, .. }, _) => {
                return NotCreated::TombstoneRefused(classify(source, "delete", self.tombstone));
            }
        };
        NotCreated::Failed(failure)
    }
}

fn unknown(reason: &str) -> NotCreated {
    NotCreated::Failed(Failure::Unknown(reason.to_owned()))
}
