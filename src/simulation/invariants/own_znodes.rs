//! Contenders delete no znodes but their own.
//!
//! ZooKeeper deletes by name, and cannot be asked to look first whose it is. So there is one exception, in sequential mode: an
//! operator deletes a contender's znode with its directory, and somebody else creates one with the same name after
//! the contender has looked for the last time; or before it hears of that, if it removes its znode without a look, as
//! long as its watch has not fired. Such cases are counted, and the owner is affected as if the operator had
//! deleted its znode. In master mode removals are bound to one master, and there is no exception.

use std::collections::BTreeMap;

use super::reports::Deletion;
use crate::simulation::settings::OPERATOR;
use crate::simulation::time::Instant;
use crate::types::{FencingToken, SessionId};
use crate::znode::Node;

#[derive(Debug, Default)]
pub(super) struct OwnZnodes {
    /// What sessions are about to remove, and since when.
    removals: BTreeMap<(i64, String), Vec<RequestedRemoval>>,
    /// What operators have deleted, or, because of that, others.
    by_others: BTreeMap<FencingToken, Instant>,
    strays: u32,
}

#[derive(Clone, Copy, Debug)]
struct RequestedRemoval {
    meant: FencingToken,
    since: Instant,
    /// Whether the contender looks first.
    verified: bool,
    /// Whether the removal itself sees to it that no other znode is meant.
    bound: bool,
}

/// DeletedBy znode was deleted.
pub(super) enum DeletedBy {
    Own,
    Other,
}

impl OwnZnodes {
    pub(super) fn removes(
        &mut self,
        session: SessionId,
        node: &Node,
        (verified, bound): (bool, bool),
        now: Instant,
    ) {
        let removal = RequestedRemoval { meant: node.token, since: now, verified, bound };
        // Contenders of one session may have the same path. When it is asked for once more, the first request may still
        // be on the way.
        let known = self.removals.entry((session.raw(), node.path.clone())).or_default();
        if known.iter().all(|it| it.meant != node.token) {
            known.push(removal);
        }
    }

    pub(super) fn deleted(&mut self, deletion: &Deletion, now: Instant) -> Result<DeletedBy, String> {
        let Deletion { path, token, owner, by } = deletion;
        if by.raw() == OPERATOR.raw() {
            self.by_others.insert(*token, now);
            return Ok(DeletedBy::Other);
        }
        let removals = self.removals.get(&(by.raw(), path.clone())).map_or(&[][..], Vec::as_slice);
        // One of the contender's former session is its own, too.
        if owner == by || removals.iter().any(|it| it.meant == *token) {
            return Ok(DeletedBy::Own);
        }
        let crossed = removals.iter().filter(|it| !it.bound).any(|it| {
            self.by_others.get(&it.meant).is_some_and(|deleted| !it.verified || *deleted >= it.since)
        });
        if !crossed {
            return Err(format!("session {by} deletes {path} with {token}, which is session {owner}'s"));
        }
        self.strays += 1;
        self.by_others.insert(*token, now);
        Ok(DeletedBy::Other)
    }

    pub(super) fn strays(&self) -> u32 {
        self.strays
    }
}
