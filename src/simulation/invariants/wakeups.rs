//! A departure wakes one contender: when a znode in the queue is deleted, at most one session with its own znode behind
//! it lists the directory because of that.
//!
//! Sessions without a znode there do not count, because an operator's deletion may leave two of them watching the same
//! predecessor until they hear of it. An election with two contenders of one session does not count either.

use std::collections::BTreeMap;

use zookeeper_embedded::replica::Replica;

use crate::path::{join, split};
use crate::simulation::settings::path_of;
use crate::types::{Mode, SessionId};

#[derive(Debug, Default)]
pub(in crate::simulation) struct Wakeups {
    by_departure: BTreeMap<String, u32>,
    fresh: Vec<(String, SessionId)>,
    /// Whether the first election has two contenders in each process.
    twins: bool,
}

impl Wakeups {
    pub(super) fn new(twins: bool) -> Self {
        Self { twins, ..Self::default() }
    }

    /// A session was told that this znode was deleted.
    pub(in crate::simulation) fn woken(&mut self, path: &str, session: SessionId) {
        self.fresh.push((path.to_owned(), session));
    }

    /// An operator has deleted this znode. If it is a directory, its numbers restart.
    pub(super) fn dropped(&mut self, path: &str) {
        self.by_departure.retain(|departed, _| split(departed).0 != path);
    }

    /// Counts the wakeups since the last time.
    pub(super) fn count(&mut self, truth: &Replica) -> Result<(), String> {
        for (path, session) in self.fresh.drain(..) {
            let (dir, name) = split(&path);
            let counts =
                dir.starts_with("/app/election") && !(self.twins && dir == path_of(0, Mode::Sequential));
            let is_own = |other: &String| {
                let stat = truth.stat(&join(dir, other));
                other.as_str() > name && stat.is_some_and(|stat| stat.ephemeral_owner == session.raw())
            };
            if counts && truth.children(dir).iter().any(is_own) {
                let woken = self.by_departure.entry(path.clone()).or_default();
                *woken += 1;
                if *woken > 1 {
                    return Err(format!(
                        "the departure of {path} wakes session {session}, and not only that one"
                    ));
                }
            }
        }
        Ok(())
    }
}
