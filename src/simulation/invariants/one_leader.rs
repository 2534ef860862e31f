//! No two leaderships of one election are valid at the same instant.
//!
//! A leadership is valid if `Leadership::is_valid` would say so at this instant of the true time, also in a paused
//! process, because the process may be resumed at any moment and ask before it reads any packet. A lease begins or is
//! extended only when its process runs, so a check after that is enough.
//!
//! One exception: an operator deletes the leader's znode, and the successor is told before the leader. The leadership
//! may last until the end of its lease, or of a lease from a proof that was sent before: at most a session timeout
//! after the deletion. Such cases are counted.

use std::collections::BTreeMap;
use std::time::Duration;

use super::reports::{ContenderId, LeaderClaim};
use crate::simulation::time::Instant;
use crate::types::FencingToken;

#[derive(Debug, Default)]
pub(super) struct OneLeader {
    claims: BTreeMap<ContenderId, LeaderClaim>,
    deleted: BTreeMap<FencingToken, Instant>,
    /// The longest session timeout that a server grants, with clock drift.
    longest: Duration,
    overlaps: u32,
}

impl OneLeader {
    pub(super) fn new(longest: Duration) -> Self {
        Self { longest, ..Self::default() }
    }

    pub(super) fn leads(&mut self, id: ContenderId, claim: LeaderClaim, now: Instant) -> Result<(), String> {
        self.claims.insert(id, claim);
        self.look(id, now)
    }

    pub(super) fn extended(&mut self, id: ContenderId, now: Instant, end: Instant) -> Result<(), String> {
        match self.claims.get_mut(&id) {
            Some(claim) => claim.end = end,
            None => return Err(format!("{id} extends a leadership that it does not have")),
        }
        self.look(id, now)
    }

    pub(super) fn shortened(&mut self, id: ContenderId, end: Instant) {
        if let Some(claim) = self.claims.get_mut(&id) {
            claim.end = claim.end.min(end);
        }
    }

    pub(super) fn ended(&mut self, id: ContenderId) {
        self.claims.remove(&id);
    }

    pub(super) fn deleted(&mut self, token: FencingToken, now: Instant) {
        self.deleted.insert(token, now);
    }

    /// Whether an operator has deleted this leadership's znode.
    pub(super) fn is_deposed(&self, token: FencingToken) -> bool {
        self.deleted.contains_key(&token)
    }

    pub(super) fn overlaps(&self) -> u32 {
        self.overlaps
    }

    fn look(&mut self, id: ContenderId, now: Instant) -> Result<(), String> {
        let claim = self.claims[&id];
        let deposed = self.deleted.get(&claim.token);
        if deposed.is_some_and(|deleted| *deleted + self.longest < claim.end) {
            return Err(format!("{id} leads by a proof that was sent after its znode was deleted"));
        }
        let valid =
            |other: &LeaderClaim| other.election == claim.election && other.end > now && claim.end > now;
        for (other, _) in self.claims.iter().filter(|(other, it)| **other != id && valid(it)) {
            if deposed.is_none() && !self.is_deposed(self.claims[other].token) {
                return Err(format!(
                    "two leaders of election {}: {id} until {:?}, and {other} until {:?}",
                    claim.election, claim.end, self.claims[other].end
                ));
            }
            self.overlaps += 1;
        }
        Ok(())
    }
}
