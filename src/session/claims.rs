//! Which znodes of a session somebody in this process answers for. The others are left-overs.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use futures_util::future::join_all;

use super::client::Client;
use super::watching::Peek;
use crate::error::{Error, Failure};
use crate::types::{FencingToken, SessionId};
use crate::znode::Node;

/// The contender znodes of one session that somebody in this process answers for. They tell a znode that a
/// create with a lost reply left from those of other contenders with the same identity.
#[derive(Debug, Default)]
pub(crate) struct Claims(Mutex<Claimed>);

#[derive(Debug, Default)]
struct Claimed {
    tokens: HashSet<FencingToken>,
    /// The creates whose outcome is not known yet: by the tombstone, how the znode's path begins.
    unsettled: HashMap<String, String>,
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

    /// A create begins that is to leave a znode whose path begins so.
    pub(super) fn begin(&self, tombstone: &str, path: &str) {
        self.claimed().unsettled.insert(tombstone.to_owned(), path.to_owned());
    }

    /// The outcome of the create with this tombstone is known.
    pub(super) fn settled(&self, tombstone: &str) {
        self.claimed().unsettled.remove(tombstone);
    }

    /// Whether a znode of the session is one that somebody answers for; `None` if a create is under way whose znode it
    /// may be.
    fn is_claimed(&self, path: &str, token: FencingToken) -> Option<bool> {
        let claimed = self.claimed();
        match claimed.tokens.contains(&token) {
            true => Some(true),
            false => (!claimed.unsettled.values().any(|created| path.starts_with(created))).then_some(false),
        }
    }

    fn claimed(&self) -> MutexGuard<'_, Claimed> {
        self.0.lock().unwrap()
    }
}

impl Client {
    /// Finds those of the znodes that this session created with this data and nobody answers for, oldest
    /// first, and claims them.
    pub(crate) async fn claim_orphans(
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
    pub(crate) fn claim_orphan(&self, path: &str, peek: &Peek) -> Result<Option<Node>, Failure> {
        let token = peek.0.token;
        if !peek.0.is_of(self.session()) {
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
}
