//! Which znodes of a session are claimed by a contender of this process. The others are orphans.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use crate::types::{FencingToken, SessionId};
use crate::znode::Node;

/// The contender znodes of one session that a contender of this process has claimed. They tell a znode that was left by a
/// create with a lost reply from the znodes of other contenders with the same identity.
#[derive(Debug, Default)]
pub(crate) struct Claims(Mutex<Claimed>);

#[derive(Debug, Default)]
struct Claimed {
    tokens: HashSet<FencingToken>,
    /// The creates whose outcome is unknown: from the tombstone to the path of the znode, without the digits.
    unsettled: HashMap<String, String>,
}

impl Claims {
    /// The claims on a session that the application has opened. All users of that session in this process share them.
    pub(crate) fn on(session: SessionId) -> Arc<Self> {
        type Known = Mutex<BTreeMap<i64, Weak<Claims>>>;
        let on = |known: &Known| {
            let mut known = known.lock().unwrap();
            known.retain(|_, claims| claims.strong_count() > 0);
            let claims = known.get(&session.raw()).and_then(Weak::upgrade).unwrap_or_default();
            known.insert(session.raw(), Arc::downgrade(&claims));
            claims
        };
        #[cfg(not(test))]
        {
            static KNOWN: Known = Mutex::new(BTreeMap::new());
            on(&KNOWN)
        }
        // The ids of simulated ensembles are not unique.
        #[cfg(test)]
        {
            thread_local!(static KNOWN: Known = const { Mutex::new(BTreeMap::new()) });
            KNOWN.with(on)
        }
    }

    /// Claims a znode. Returns `false` if it is claimed already.
    pub(crate) fn claim(&self, token: FencingToken) -> bool {
        self.claimed().tokens.insert(token)
    }

    /// Ends the claim on a znode.
    pub(crate) fn release(&self, node: &Node) {
        self.claimed().tokens.remove(&node.token);
    }

    /// A create begins. `path` is the path of its znode, without the digits.
    pub(super) fn begin(&self, tombstone: &str, path: &str) {
        self.claimed().unsettled.insert(tombstone.to_owned(), path.to_owned());
    }

    /// The outcome of the create with this tombstone is known.
    pub(super) fn settled(&self, tombstone: &str) {
        self.claimed().unsettled.remove(tombstone);
    }

    /// Whether a znode of the session is claimed. `None` if it may belong to a create whose outcome is unknown.
    pub(super) fn is_claimed(&self, path: &str, token: FencingToken) -> Option<bool> {
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
