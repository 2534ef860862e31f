//! At no instant do two processes take themselves for the leader of one election.
//!
//! "Take themselves" is what `Leadership::is_valid` would say there at this instant of the true time, whether the process
//! runs or stands still: it may go on at any moment, and ask before it has heard of anything. As a lease becomes valid,
//! or valid for longer, only when the machine says so, it is enough to look then.
//!
//! One exception: an operator deletes the leader's znode, and its successor is told before the leader is. That leadership
//! may go on until the end of the lease that it had, and must not be extended by anything that was sent after the
//! deletion. Such cases are counted.

use std::collections::BTreeMap;

use super::super::time::Instant;
use super::{Claim, Who};
use crate::types::FencingToken;

#[derive(Debug, Default)]
pub(super) struct OneLeader {
    claims: BTreeMap<Who, Claim>,
    deleted: BTreeMap<FencingToken, Instant>,
    overlaps: u32,
}

impl OneLeader {
    pub(super) fn leads(
        &mut self,
        who: Who,
        claim: Claim,
        now: Instant,
        sent: Instant,
    ) -> Result<(), String> {
        self.claims.insert(who, claim);
        self.look(who, now, sent)
    }

    pub(super) fn extended(
        &mut self,
        who: Who,
        now: Instant,
        end: Instant,
        sent: Instant,
    ) -> Result<(), String> {
        match self.claims.get_mut(&who) {
            Some(claim) => claim.end = end,
            None => return Err(format!("{who} extends a leadership that it does not have")),
        }
        self.look(who, now, sent)
    }

    pub(super) fn shortened(&mut self, who: Who, end: Instant) {
        if let Some(claim) = self.claims.get_mut(&who) {
            claim.end = claim.end.min(end);
        }
    }

    pub(super) fn ended(&mut self, who: Who) {
        self.claims.remove(&who);
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

    fn look(&mut self, who: Who, now: Instant, sent: Instant) -> Result<(), String> {
        let claim = self.claims[&who];
        let deposed = self.deleted.get(&claim.token);
        if deposed.is_some_and(|deleted| *deleted < sent) {
            return Err(format!("{who} leads by a proof that was sent after its znode was deleted"));
        }
        let valid = |other: &Claim| other.election == claim.election && other.end > now && claim.end > now;
        for (other, _) in self.claims.iter().filter(|(other, it)| **other != who && valid(it)) {
            if deposed.is_none() && !self.is_deposed(self.claims[other].token) {
                return Err(format!(
                    "two leaders of election {}: {who} until {:?}, and {other} until {:?}",
                    claim.election, claim.end, self.claims[other].end
                ));
            }
            self.overlaps += 1;
        }
        Ok(())
    }
}
