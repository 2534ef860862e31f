//! The fencing tokens of an election grow with every leadership.
//!
//! Exception: a contender may begin to lead before it hears that an operator has just deleted its znode, and its
//! successor may have begun earlier. A resource that checks tokens refuses the late leadership, because its token is
//! smaller.

use std::collections::BTreeMap;

use super::reports::{ContenderId, LeaderClaim};
use crate::types::FencingToken;

#[derive(Debug, Default)]
pub(super) struct Tokens {
    last: BTreeMap<usize, FencingToken>,
    leaderships: u32,
}

impl Tokens {
    pub(super) fn leads(&mut self, id: ContenderId, claim: LeaderClaim, deposed: bool) -> Result<(), String> {
        self.leaderships += 1;
        let LeaderClaim { election, token, .. } = claim;
        match self.last.get(&election) {
            Some(last) if *last > token && deposed => Ok(()),
            Some(last) if *last >= token => {
                Err(format!("{id} leads election {election} with token {token}, after {last}"))
            }
            _ => {
                self.last.insert(election, token);
                Ok(())
            }
        }
    }

    /// The token of the newest leadership of each election.
    pub(super) fn last(&self) -> &BTreeMap<usize, FencingToken> {
        &self.last
    }

    pub(super) fn leaderships(&self) -> u32 {
        self.leaderships
    }
}
