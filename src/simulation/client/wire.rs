//! Single requests of a session, and what their answers mean: the same as in `session/live.rs`, on the simulated client.

use super::fake_client::{FakeClient, WatchId};
use crate::error::Failure;
use crate::lease::Lease;
use crate::simulation::mistakes::Mistake;
use crate::timestamp::Timestamp;
use crate::types::{FencingToken, SessionId};
use crate::znode::Origin;
use zookeeper_embedded::replica::Request as Wire;
use zookeeper_embedded::replica::{
    Action, Body, Code, CreateAnswer, Outcome as Part, Stat, Write, anyone, create,
};

/// A look at a znode that has left a watch.
pub(super) type Glance = (Origin, WatchId);

/// A transaction of the session that has committed.
pub(super) struct FakeProof {
    pub(super) sent: Timestamp,
    pub(super) lease: Lease,
}

/// Why a transaction was not committed, or may not have been.
pub(super) enum Aborted {
    /// This operation failed, and so nothing was done.
    Operation { index: usize, code: Code },
    /// The transaction as a whole.
    Request(Failure),
}

impl FakeClient {
    /// Carries out all of the operations, or none.
    pub(super) async fn transact(&self, writes: Vec<Write>) -> Result<Vec<Part>, Aborted> {
        let parts = match self.call(Wire::Multi(writes)).await {
            Ok(Body::Multi(parts)) => parts,
            Ok(body) => unreachable!("no results: {body:?}"),
            Err(failure) => return Err(Aborted::Request(failure)),
        };
        let failed = parts.iter().enumerate().find_map(|(index, part)| match part {
            Part::Failed(Some(code)) => Some((index, *code)),
            _ => None,
        });
        match failed {
            Some((index, code)) => Err(Aborted::Operation { index, code }),
            None => Ok(parts),
        }
    }

    /// A transaction that changes nothing. When it was answered, what is read on this client shows everything that was
    /// committed before.
    pub(super) async fn flush(&self) -> Result<(), Failure> {
        if self.makes(Mistake::NoFlush) {
            return Ok(());
        }
        match self.transact(vec![check("/", -1)]).await {
            Ok(_) => Ok(()),
            Err(Aborted::Request(failure)) => Err(failure),
            Err(Aborted::Operation { .. }) => unreachable!("the root stands"),
        }
    }

    pub(super) async fn create(&self, path: &str, flags: i32) -> Result<(), Failure> {
        self.call(Wire::Write(creation(path, "", flags))).await.map(drop)
    }

    pub(super) async fn create_parents(&self, dir: &str) -> Result<(), Failure> {
        let ends = dir.match_indices('/').map(|(at, _)| at).skip(1).chain([dir.len()]);
        for end in ends {
            match self.create(&dir[..end], create::PERSISTENT).await {
                Ok(_) | Err(Failure::NodeExists) => {}
                Err(Failure::NoNode) => {
                    return Err(Failure::Rejected(
                        "the parents vanished while they were being created".into(),
                    ));
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    pub(super) async fn delete(&self, path: &str) -> Result<(), Failure> {
        match self.call(Wire::Write(deletion(path))).await {
            Ok(_) | Err(Failure::NoNode) => Ok(()),
            Err(failed) => Err(failed),
        }
    }

    pub(super) async fn sync(&self, path: &str) -> Result<(), Failure> {
        self.call(Wire::Sync { path: Some(path.into()) }).await.map(drop)
    }

    pub(super) async fn list(&self, dir: &str) -> Result<Vec<String>, Failure> {
        match self.call(Wire::Children { path: dir.into(), watch: false, with_stat: false }).await? {
            Body::Children(children) => Ok(children),
            body => unreachable!("no list: {body:?}"),
        }
    }

    pub(super) async fn stat(&self, path: &str) -> Result<Option<Origin>, Failure> {
        match self.call(Wire::Exists { path: path.into(), watch: false }).await {
            Ok(Body::Stat(stat)) => Ok(Some(origin(&stat))),
            Ok(body) => unreachable!("no stat: {body:?}"),
            Err(Failure::NoNode) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    pub(super) async fn read(&self, path: &str) -> Result<Option<(Vec<u8>, Origin)>, Failure> {
        match self.call(Wire::Data { path: path.into(), watch: false }).await {
            Ok(Body::Data(data, stat)) => {
                Ok(Some((data.map(|data| data.to_vec()).unwrap_or_default(), origin(&stat))))
            }
            Ok(body) => unreachable!("no data: {body:?}"),
            Err(Failure::NoNode) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    pub(super) async fn read_and_watch(&self, path: &str) -> Result<Option<Glance>, Failure> {
        match self.call(Wire::Data { path: path.into(), watch: true }).await {
            Ok(Body::Data(_, stat)) => Ok(Some((origin(&stat), self.watch(path)))),
            Ok(body) => unreachable!("no data: {body:?}"),
            Err(Failure::NoNode) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Proves by a transaction that changes nothing that the ensemble keeps the session.
    pub(super) async fn prove(&self, path: &str) -> Result<FakeProof, Failure> {
        let sent = self.now();
        if self.makes(Mistake::ProofByReading) || self.makes(Mistake::ProofBySync) {
            let outcome = match self.makes(Mistake::ProofBySync) {
                true => self.sync(path).await,
                false => self.stat(path).await.map(drop),
            };
            return outcome.map(|()| FakeProof { sent, lease: self.lease(sent) });
        }
        match self.transact(vec![check(path, -1)]).await {
            Ok(_) => Ok(FakeProof { sent, lease: self.lease(sent) }),
            Err(Aborted::Request(failure)) => Err(failure),
            Err(Aborted::Operation { .. }) => Err(Failure::NoNode),
        }
    }

    /// Sends a request, for the sake of being heard of.
    pub(super) async fn beat(&self) {
        let _ = self.stat("/").await;
    }

    pub(super) fn session(&self) -> SessionId {
        self.state().session.unwrap_or(SessionId::from_raw(0))
    }
}

pub(super) fn check(path: &str, version: i32) -> Write {
    Write { path: Some(path.into()), action: Action::Check { version } }
}

pub(super) fn deletion(path: &str) -> Write {
    Write { path: Some(path.into()), action: Action::Delete { version: -1 } }
}

pub(super) fn setting(path: &str, version: i32) -> Write {
    Write { path: Some(path.into()), action: Action::SetData { data: Some([].into()), version } }
}

pub(super) fn creation(path: &str, data: &str, flags: i32) -> Write {
    let action = Action::Create {
        data: Some(data.as_bytes().into()),
        acl: vec![anyone()],
        flags,
        time_to_live: -1,
        answer: CreateAnswer::Path,
    };
    Write { path: Some(path.into()), action }
}

fn origin(stat: &Stat) -> Origin {
    Origin {
        token: FencingToken::from_zxid(stat.czxid),
        owner: (stat.ephemeral_owner != 0).then(|| SessionId::from_raw(stat.ephemeral_owner)),
        version: stat.version,
    }
}
