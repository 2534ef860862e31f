//! The counter beside a master's path: a persistent znode whose version grows with each master.
//!
//! All masters' znodes have the same name. A transaction that checks the counter's version applies to one of them and to
//! no later one, even if it is carried out late.

use std::sync::Mutex;

use zookeeper_client as zk;

use super::client::{Client, classify};
use super::transaction::TransactionError;
use super::write::Write;
use crate::error::Failure;
use crate::znode::Node;

/// How often a removal reads the counter again before it fails, and the machine pauses.
const ATTEMPTS: usize = 4;

/// The counter of one master's path.
#[derive(Debug)]
pub(crate) struct Counter {
    pub(crate) path: String,
    acl: Vec<zk::Acl>,
    /// The version that was read last. A create with an outdated version fails, and is repeated with the current one.
    cached: Mutex<Option<i32>>,
}

impl Counter {
    pub(crate) fn new(path: String, acl: &[zk::Acl]) -> Self {
        Self { path, acl: acl.to_vec(), cached: Mutex::new(None) }
    }

    pub(super) fn cached(&self) -> Option<i32> {
        *self.cached.lock().unwrap()
    }

    pub(super) fn set_cached(&self, version: Option<i32>) {
        *self.cached.lock().unwrap() = version;
    }
}

impl Client {
    /// Deletes a master's znode, if it is still this one.
    pub(super) async fn remove_master(&self, node: &Node, counter: &Counter) -> Result<(), Failure> {
        let mut incarnation = node.incarnation;
        for _ in 0..ATTEMPTS {
            let version = match incarnation {
                Some(version) => version,
                None => match self.version_of(node, counter).await? {
                    Some(version) => version,
                    None => return Ok(()),
                },
            };
            if self.delete_with_counter(&node.path, counter, version).await? {
                return Ok(());
            }
            // There was another master since, or the counter was changed by hand.
            incarnation = None;
        }
        Err(Failure::Rejected(format!("{} keeps changing", counter.path)))
    }

    /// The version of the counter that identifies this znode. `None` if the znode is gone.
    ///
    /// The counter is read first. If the znode exists after that, and the counter has the same version when a transaction
    /// checks it, then no other znode was created in between.
    async fn version_of(&self, node: &Node, counter: &Counter) -> Result<Option<i32>, Failure> {
        let version = self.read_counter(counter).await?;
        let exists = self.stat(&node.path).await?.is_some_and(|it| it.is_still(node));
        Ok(exists.then_some(version))
    }

    /// Reads the version of a counter. Creates the counter if it does not exist.
    pub(crate) async fn read_counter(&self, counter: &Counter) -> Result<i32, Failure> {
        let path = counter.path.as_str();
        let version = match self.read(path).await? {
            Some((_, origin)) => origin.version,
            None => match self.create_empty(path, zk::CreateMode::Persistent, &counter.acl).await {
                Ok(_) => 0,
                Err(Failure::NodeExists) => {
                    return Err(Failure::Rejected(format!("another contender has created {path}")));
                }
                Err(failure) => return Err(failure),
            },
        };
        counter.set_cached(Some(version));
        Ok(version)
    }

    /// Deletes a master's znode if the counter has this version. Returns whether the znode is gone. `false`: the counter has
    /// another version, and the znode may exist.
    pub(super) async fn delete_with_counter(
        &self,
        path: &str,
        counter: &Counter,
        version: i32,
    ) -> Result<bool, Failure> {
        use zk::Error::{BadVersion, NoNode};
        let check = Write::Check { path: counter.path.clone(), version: Some(version) };
        let delete = Write::Delete { path: path.to_owned(), version: None };
        match self.transact(&[check, delete], self.request_timeout()).await {
            Ok(_) | Err(TransactionError::Operation { index: 1, source: NoNode }) => Ok(true),
            Err(TransactionError::Operation { index: 0, source: NoNode | BadVersion }) => Ok(false),
            Err(TransactionError::Operation { index: 0, source }) => {
                Err(classify(source, "read", &counter.path))
            }
            Err(TransactionError::Operation { source, .. }) => Err(classify(source, "delete", path)),
            Err(TransactionError::Request(failure)) => Err(failure),
        }
    }
}
