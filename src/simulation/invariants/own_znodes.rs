//! Contenders delete only their own znodes.
//!
//! ZooKeeper deletes by name, and does not check the owner. So there is one exception, in sequential mode: an operator
//! deletes a contender's znode with its directory, and another contender creates one with the same name before the
//! first contender's removal is executed. Such cases are counted, and the owner is affected as if the operator had
//! deleted its znode. In master mode removals are bound to one master, and there is no exception.

use std::collections::{BTreeMap, BTreeSet};

use super::reports::Deletion;
use crate::simulation::settings::OPERATOR;
use crate::types::SessionId;

/// A process, and its life.
type Life = (usize, u32);

#[derive(Debug, Default)]
pub(super) struct OwnZnodes {
    /// The process of each session.
    lives: BTreeMap<i64, Life>,
    /// The znodes that operators deleted, or that were deleted because of that, with their owners.
    lost_names: BTreeSet<(String, Life)>,
    strays: u32,
}

pub(super) enum DeletedBy {
    Own,
    Other,
}

impl OwnZnodes {
    pub(super) fn session_belongs(&mut self, session: SessionId, process: usize, life: u32) {
        self.lives.insert(session.raw(), (process, life));
    }

    pub(super) fn deleted(&mut self, deletion: &Deletion) -> Result<DeletedBy, String> {
        let Deletion { path, token, owner, by } = deletion;
        let owner_life = self.lives.get(&owner.raw()).copied();
        let life = self.lives.get(&by.raw()).copied();
        if by.raw() != OPERATOR.raw() {
            // A znode of the contender's former session is its own, too.
            if owner == by || (owner_life.is_some() && owner_life == life) {
                return Ok(DeletedBy::Own);
            }
            let crossed = life.is_some_and(|life| self.lost_names.contains(&(path.clone(), life)));
            if !crossed || is_masters(path) {
                return Err(format!("session {by} deletes {path} with {token}, which is session {owner}'s"));
            }
            self.strays += 1;
        }
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
