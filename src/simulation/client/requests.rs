//! The machine's requests in the words of ZooKeeper: the same steps as in `driver/requests.rs` and `session/live.rs`,
//! and the same judgements, but on the simulated client.

use std::rc::Rc;

use futures_util::future::{join as both, try_join_all};

use super::super::mutation::Mutation;
use super::desk::{Desk, WatchId};
use crate::embedded::replica::Request as Wire;
use crate::embedded::replica::{Action, Body, CreateAnswer, Outcome as Part, Stat, Write, anyone, create};
use crate::error::Failure;
use crate::lease::Lease;
use crate::machine::{Plan, Reply, Request, Seen, naming, sight};
use crate::path::{join, split};
use crate::types::{FencingToken, Mode, Node, Origin, SessionId, Timestamp};

/// What a contender is configured with.
pub(super) struct Contest {
    pub(super) plan: Plan,
    pub(super) identity: String,
}

/// The answer to a request, with the watch that it left.
pub(super) enum Outcome {
    Reply(Reply),
    Own(Result<(Seen, Option<WatchId>), Failure>),
    Ahead(Result<Ahead, Failure>),
    Tried(Result<(Node, Lease), Failure>, Option<Glance>),
}

/// What a look at the znode ahead has told.
pub(super) struct Ahead {
    pub(super) seen: Seen,
    pub(super) watch: Option<WatchId>,
    pub(super) token: Option<FencingToken>,
}

/// A look at a znode that has left a watch.
pub(super) type Glance = Option<(Origin, WatchId)>;

/// A transaction of the session that has committed.
pub(super) struct Proof {
    pub(super) sent: Timestamp,
    pub(super) lease: Lease,
}

/// Sends one request of the machine.
pub(super) async fn send(contest: Rc<Contest>, desk: Rc<Desk>, request: Request) -> Outcome {
    let Plan { mode, path, prefix } = &contest.plan;
    let dir = match mode {
        Mode::Sequential => path.as_str(),
        Mode::Master => split(path).0,
    };
    match request {
        Request::Create => match mode {
            Mode::Sequential => {
                let path = join(path, prefix);
                Outcome::Reply(Reply::Created(desk.create(&path, true, &contest.identity).await))
            }
            Mode::Master => {
                let create = desk.create(path, false, &contest.identity);
                let (created, glance) = both(create, desk.read_and_watch(path)).await;
                Outcome::Tried(created, glance.ok())
            }
        },
        Request::CreateParents => Outcome::Reply(Reply::ParentsCreated(desk.create_parents(dir).await)),
        Request::FindOwn if desk.errs(Mutation::NoSearch) => Outcome::Reply(Reply::Found(Ok(Vec::new()))),
        Request::FindOwn => Outcome::Reply(Reply::Found(find_own(&contest, &desk).await)),
        Request::List => Outcome::Reply(Reply::Listed(desk.list(dir).await)),
        Request::WatchOwn(node) => {
            let glance = desk.read_and_watch(&node.path).await;
            let outcome = glance.map(|glance| sight::own(&node, glance));
            Outcome::Own(
                outcome.map(|(seen, watch)| (seen, watch.filter(|_| !desk.errs(Mutation::NoOwnWatch)))),
            )
        }
        Request::WatchAhead(path) => Outcome::Ahead(desk.read_and_watch(&path).await.map(ahead)),
        Request::Remove { node, verify } => Outcome::Reply(Reply::Removed(desk.remove(&node, verify).await)),
    }
}

/// Answers a request from a glance that is there already, if there is one and the request is for one.
pub(super) fn recall(request: &Request, glance: &mut Option<Glance>) -> Option<Outcome> {
    match request {
        Request::WatchOwn(node) => glance.take().map(|glance| Outcome::Own(Ok(sight::own(node, glance)))),
        Request::WatchAhead(_) => glance.take().map(|glance| Outcome::Ahead(Ok(ahead(glance)))),
        _ => None,
    }
}

fn ahead(glance: Glance) -> Ahead {
    let token = glance.as_ref().map(|(origin, _)| origin.token);
    let (seen, watch) = sight::ahead(glance);
    Ahead { seen, watch, token }
}

/// Finds the znodes that an earlier create of this contender may have left.
async fn find_own(contest: &Contest, desk: &Desk) -> Result<Vec<Node>, Failure> {
    let Plan { mode, path, prefix } = &contest.plan;
    if !desk.errs(Mutation::NoSyncBeforeSearch) {
        desk.sync(path).await?;
    }
    let paths = match mode {
        Mode::Master => vec![path.clone()],
        Mode::Sequential => match desk.list(path).await {
            Ok(children) => naming::contenders(prefix, &children).map(|(_, name)| join(path, name)).collect(),
            Err(Failure::NoNode) => Vec::new(),
            Err(failure) => return Err(failure),
        },
    };
    desk.claim_own(paths, &contest.identity).await
}

/// The same as the methods of `Live` with these names.
impl Desk {
    async fn create(&self, path: &str, sequential: bool, data: &str) -> Result<(Node, Lease), Failure> {
        let sent = self.now();
        let flags = if sequential { create::EPHEMERAL_SEQUENTIAL } else { create::EPHEMERAL };
        let Body::PathAndStat(path, stat) = self.call(write(path, creation(data, flags))).await? else {
            unreachable!("a create that succeeds tells path and stat");
        };
        let token = FencingToken::from_zxid(stat.czxid);
        if !self.state().claims.insert(token) {
            return Err(Failure::Unknown("another contender of this session took the znode".into()));
        }
        Ok((Node { path, token }, self.lease(sent)))
    }

    async fn create_parents(&self, dir: &str) -> Result<(), Failure> {
        let ends = dir.match_indices('/').map(|(at, _)| at).skip(1).chain([dir.len()]);
        for end in ends {
            match self.call(write(&dir[..end], creation("", create::PERSISTENT))).await {
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

    async fn claim_own(&self, paths: Vec<String>, data: &str) -> Result<Vec<Node>, Failure> {
        let mut found = Vec::new();
        let stats = paths.into_iter().map(|path| async {
            let origin = self.stat(&path).await?;
            Ok::<_, Failure>((path, origin))
        });
        for (path, origin) in try_join_all(stats).await? {
            let session = self.session();
            let is_own = |it: &Origin| it.is_of(session) || self.errs(Mutation::NoOwnerCheck);
            let Some(origin) = origin.filter(is_own) else { continue };
            let read = self.read(&path).await?;
            if read.is_some_and(|(content, it)| content == data.as_bytes() && it.token == origin.token) {
                found.push(Node { path, token: origin.token });
            }
        }
        found.sort_by_key(|node| node.token);
        let claims = &mut self.state().claims;
        found.retain(|node| claims.insert(node.token));
        Ok(found)
    }

    /// Has the server catch up with the ensemble.
    pub(super) async fn sync(&self, path: &str) -> Result<(), Failure> {
        self.call(Wire::Sync { path: Some(path.into()) }).await.map(drop)
    }

    async fn remove(&self, node: &Node, verify: bool) -> Result<(), Failure> {
        if verify && !self.errs(Mutation::RemovesUnseen) {
            let (synced, origin) = both(self.sync_before_removal(&node.path), self.stat(&node.path)).await;
            synced?;
            let session = self.session();
            if !origin?.is_some_and(|it| it.is_still(node, session)) {
                self.state().claims.remove(&node.token);
                return Ok(());
            }
        }
        match self.call(write(&node.path, Action::Delete { version: -1 })).await {
            Ok(_) | Err(Failure::NoNode) => {
                self.state().claims.remove(&node.token);
                Ok(())
            }
            Err(failed) => Err(failed),
        }
    }

    async fn sync_before_removal(&self, path: &str) -> Result<(), Failure> {
        if self.errs(Mutation::NoSyncBeforeRemoval) { Ok(()) } else { self.sync(path).await }
    }

    async fn list(&self, dir: &str) -> Result<Vec<String>, Failure> {
        match self.call(Wire::Children { path: dir.into(), watch: false, with_stat: false }).await? {
            Body::Children(children) => Ok(children),
            body => unreachable!("no list: {body:?}"),
        }
    }

    async fn stat(&self, path: &str) -> Result<Option<Origin>, Failure> {
        match self.call(Wire::Exists { path: path.into(), watch: false }).await {
            Ok(Body::Stat(stat)) => Ok(Some(origin(&stat))),
            Ok(body) => unreachable!("no stat: {body:?}"),
            Err(Failure::NoNode) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    async fn read(&self, path: &str) -> Result<Option<(Vec<u8>, Origin)>, Failure> {
        match self.call(Wire::Data { path: path.into(), watch: false }).await {
            Ok(Body::Data(data, stat)) => {
                Ok(Some((data.map(|data| data.to_vec()).unwrap_or_default(), origin(&stat))))
            }
            Ok(body) => unreachable!("no data: {body:?}"),
            Err(Failure::NoNode) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    async fn read_and_watch(&self, path: &str) -> Result<Glance, Failure> {
        match self.call(Wire::Data { path: path.into(), watch: true }).await {
            Ok(Body::Data(_, stat)) => Ok(Some((origin(&stat), self.watch(path)))),
            Ok(body) => unreachable!("no data: {body:?}"),
            Err(Failure::NoNode) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Proves by a transaction that changes nothing that the ensemble keeps the session.
    pub(super) async fn prove(&self, path: &str) -> Result<Proof, Failure> {
        let sent = self.now();
        if self.errs(Mutation::ProofByReading) || self.errs(Mutation::ProofBySync) {
            let outcome = match self.errs(Mutation::ProofBySync) {
                true => self.sync(path).await,
                false => self.stat(path).await.map(drop),
            };
            return outcome.map(|()| Proof { sent, lease: self.lease(sent) });
        }
        let check = Write { path: Some(path.into()), action: Action::Check { version: -1 } };
        match self.call(Wire::Multi(vec![check])).await? {
            Body::Multi(parts) if matches!(parts[..], [Part::Checked]) => {
                Ok(Proof { sent, lease: self.lease(sent) })
            }
            _ => Err(Failure::NoNode),
        }
    }

    /// Sends a request, for the sake of being heard of.
    pub(super) async fn beat(&self) {
        let _ = self.stat("/").await;
    }

    fn session(&self) -> SessionId {
        self.state().session.unwrap_or(SessionId::from_raw(0))
    }
}

fn write(path: &str, action: Action) -> Wire {
    Wire::Write(Write { path: Some(path.into()), action })
}

fn creation(data: &str, flags: i32) -> Action {
    Action::Create {
        data: Some(data.as_bytes().into()),
        acl: vec![anyone()],
        flags,
        time_to_live: -1,
        answer: CreateAnswer::PathAndStat,
    }
}

fn origin(stat: &Stat) -> Origin {
    Origin {
        token: FencingToken::from_zxid(stat.czxid),
        owner: (stat.ephemeral_owner != 0).then(|| SessionId::from_raw(stat.ephemeral_owner)),
        version: stat.version,
    }
}
