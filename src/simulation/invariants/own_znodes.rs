//! Contenders delete no znodes but their own.
//!
//! ZooKeeper deletes by name, and cannot be asked to look first whose it is. So there is one exception, in sequential mode: an
//! operator deletes a contender's znode with its directory, and somebody else creates one with the same name before the
//! contender's removal is carried out. Such cases are counted, and the owner is affected as if the operator had deleted its
//! znode. In master mode removals are bound to one master, and there is no exception.

use std::collections::{BTreeMap, BTreeSet};

use super::reports::Deletion;
use crate::simulation::settings::OPERATOR;
use crate::simulation::time::Instant;
use crate::types::{FencingToken, SessionId};

/// A process, and its life.
type Life = (usize, u32);

#[derive(Debug, Default)]
pub(super) struct OwnZnodes {
    /// The processes of the sessions.
    lives: BTreeMap<i64, Life>,
    /// What operators have deleted, or, because of that, others.
    by_others: BTreeMap<FencingToken, Instant>,
    /// The names of these znodes, and whose they were.
    lost_names: BTreeSet<(String, Life)>,
    strays: u32,
}

/// Who has deleted a znode.
pub(super) enum DeletedBy {
    Own,
    Other,
}

impl OwnZnodes {
    pub(super) fn session_belongs(&mut self, session: SessionId, process: usize, life: u32) {
        self.lives.insert(session.raw(), (process, life));
    }

    pub(super) fn deleted(&mut self, deletion: &Deletion, now: Instant) -> Result<DeletedBy, String> {
        let Deletion { path, token, owner, by } = deletion;
        let owner_life = self.lives.get(&owner.raw()).copied();
        let life = self.lives.get(&by.raw()).copied();
        if by.raw() != OPERATOR.raw() {
            // One of the contender's former session is its own, too.
            if owner == by || (owner_life.is_some() && owner_life == life) {
                return Ok(DeletedBy::Own);
            }
            let crossed = life.is_some_and(|life| self.lost_names.contains(&(path.clone(), life)));
            if !crossed || is_masters(path) {
                return Err(format!("session {by} deletes {path} with {token}, which is session {owner}'s"));
            }
            self.strays += 1;
        }
        self.by_others.insert(*token, now);
        self.lost_names.extend(owner_life.map(|life| (path.clone(), life)));
        Ok(DeletedBy::Other)
    }

    pub(super) fn strays(&self) -> u32 {
        self.strays
    }
}

fn is_masters(path: &str) -> bool {
    path.starts_with("/app/master")
}
