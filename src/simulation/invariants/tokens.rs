//! The fencing tokens of an election grow with every leadership.
//!
//! Except that somebody may begin to lead whose znode an operator has just deleted, before it hears of that: its successor
//! may have begun before it. Whatever asks for tokens refuses the late one, which is the smaller one.

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

    /// The newest leadership of each election.
    pub(super) fn last(&self) -> &BTreeMap<usize, FencingToken> {
        &self.last
    }

    pub(super) fn leaderships(&self) -> u32 {
        self.leaderships
    }
}
