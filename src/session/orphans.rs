//! Orphans: contender znodes of this session that no contender of this process has claimed. A create with a lost reply
//! leaves one, and so does a contender's task that panicked.

use futures_util::future::join_all;

use super::client::Client;
use super::watching::Peek;
use crate::error::{Error, Failure};
use crate::mistakes::mistake;
use crate::types::SessionId;
use crate::znode::{Node, Origin};

impl Client {
    /// Claims those of the znodes that are orphans of this session and have this data. Oldest first. Fails if there is one of
    /// a former session.
    pub(crate) async fn claim_orphans(
        &self,
        paths: impl IntoIterator<Item = String>,
        data: &[u8],
        former_sessions: &[SessionId],
    ) -> Result<Vec<Node>, Failure> {
        let mut found = Vec::new();
        let mut refused = None;
        let stats = paths.into_iter().map(|path| async {
            let origin = self.stat(&path).await;
            (path, origin)
        });
        for (path, origin) in join_all(stats).await {
            let origin = match origin {
                // Since ZooKeeper 3.9, a stat needs READ permission.
                Err(Failure::Refused(error)) => {
                    refused = Some(error);
                    continue;
                }
                origin => origin?,
            };
            let is_own = |it: &Origin| {
                let mut sessions = former_sessions.iter().chain([&self.session]);
                sessions.any(|session| it.is_of(*session)) || mistake!(NoOwnerCheck)
            };
            let Some(origin) = origin.filter(is_own) else { continue };
            let same = match self.read(&path).await {
                Ok(read) => read.is_some_and(|(content, it)| content == data && it.token == origin.token),
                // The contender's own ACL may not permit it to read.
                Err(Failure::Refused(Error::NotAuthorized { .. })) => true,
                Err(failure) => return Err(failure),
            };
            if same && former_sessions.iter().any(|session| origin.is_of(*session)) {
                return Err(Failure::Rejected(format!("{path} of a session that was lost still exists")));
            }
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

    /// Claims a znode if it is an orphan of this session: it blocks all contenders behind it.
    pub(crate) fn claim_orphan(&self, path: &str, peek: &Peek) -> Result<Option<Node>, Failure> {
        let token = peek.0.token;
        if !peek.0.is_of(self.session()) || mistake!(NoFlush) {
            return Ok(None);
        }
        match self.claims.is_claimed(path, token) {
            Some(true) => Ok(None),
            Some(false) if self.claims.claim(token) => {
                Ok(Some(Node { path: path.to_owned(), token, incarnation: None }))
            }
            Some(false) | None => Err(Failure::Rejected(
                "a znode of this session may belong to a create whose outcome is unknown".into(),
            )),
        }
    }

    /// Ends the claim on a znode.
    pub(crate) fn release(&self, node: &Node) {
        self.claims.release(node);
    }
}
