//! What an application was told is true: after `Ok` from `resign` or `withdraw` the contender's znode is gone, and
//! after `Ok` from `close` all znodes of the session are gone.

use zookeeper_embedded::replica::Replica;

use crate::path::join;
use crate::simulation::settings::path_of;
use crate::types::{FencingToken, Mode, SessionId};

#[derive(Debug, Default)]
pub(in crate::simulation) struct Assurances {
    elections: Vec<Mode>,
    fresh: Vec<Assurance>,
    /// Whether the first election has two contenders in each process.
    twins: bool,
}

#[derive(Debug)]
enum Assurance {
    Removed(String, FencingToken),
    Closed(SessionId),
    NoZnode(usize, SessionId),
}

impl Assurances {
    pub(super) fn new(elections: &[Mode], twins: bool) -> Self {
        Self { elections: elections.to_vec(), fresh: Vec::new(), twins }
    }

    /// A contender was told that its znode is gone.
    pub(in crate::simulation) fn removed(&mut self, path: String, token: FencingToken) {
        self.fresh.push(Assurance::Removed(path, token));
    }

    /// A contender was told that it has no znode in an election, in any of these sessions.
    pub(in crate::simulation) fn no_znode(&mut self, election: usize, sessions: &[SessionId]) {
        // With two contenders, the other one may have a znode.
        if election > 0 || !self.twins {
            self.fresh.extend(sessions.iter().map(|session| Assurance::NoZnode(election, *session)));
        }
    }

    /// A process was told that no znode of this session is left.
    pub(in crate::simulation) fn closed(&mut self, session: SessionId) {
        self.fresh.push(Assurance::Closed(session));
    }

    /// Checks the assurances since the last time.
    pub(super) fn check(&mut self, truth: &Replica) -> Result<(), String> {
        for assurance in std::mem::take(&mut self.fresh) {
            match assurance {
                Assurance::Removed(path, token) => {
                    if truth.stat(&path).is_some_and(|stat| stat.czxid == token.zxid()) {
                        return Err(format!("{path} with {token} was reported as removed, but exists"));
                    }
                }
                Assurance::Closed(session) => {
                    if let Some(left) = (0..self.elections.len()).find_map(|it| self.left(truth, it, session))
                    {
                        return Err(format!("session {session} was reported as closed, but {left} exists"));
                    }
                }
                Assurance::NoZnode(election, session) => {
                    if let Some(left) = self.left(truth, election, session) {
                        return Err(format!("a contender was told that it has no znode, but {left} exists"));
                    }
                }
            }
        }
        Ok(())
    }

    /// A znode of this session in an election.
    fn left(&self, truth: &Replica, election: usize, session: SessionId) -> Option<String> {
        let path = path_of(election, self.elections[election]);
        let children = truth.children(&path).into_iter().map(|name| join(&path, &name));
        children
            .chain([path.clone()])
            .find(|path| truth.stat(path).is_some_and(|stat| stat.ephemeral_owner == session.raw()))
    }
}
