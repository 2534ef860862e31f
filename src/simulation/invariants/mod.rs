//! What must hold in every run, whatever goes wrong. One file for each.
//!
//! During the run: [`one_leader`], [`own_znodes`], [`tokens`], [`wakes`], [`requests`]. At its end, when all is well again:
//! [`somebody_leads`], [`no_ghosts`].

pub(super) mod no_ghosts;
mod one_leader;
mod own_znodes;
pub(super) mod reports;
mod requests;
pub(super) mod somebody_leads;
mod tokens;
mod wakeups;

use self::one_leader::OneLeader;
use self::own_znodes::{DeletedBy, OwnZnodes};
use self::reports::{ContenderId, Deletion, LeaderClaim};
use self::requests::Requests;
use self::tokens::Tokens;
use self::wakeups::Wakeups;
use super::time::Instant;
use crate::types::{FencingToken, SessionId};
use crate::znode::Node;

/// Watches over a run, and remembers the first violation.
#[derive(Debug, Default)]
pub(super) struct Checker {
    violation: Option<String>,
    one_leader: OneLeader,
    own_znodes: OwnZnodes,
    tokens: Tokens,
    pub(super) wakeups: Wakeups,
    pub(super) requests: Requests,
}

impl Checker {
    pub(super) fn violation(&self) -> Option<&str> {
        self.violation.as_deref()
    }

    pub(super) fn record(&mut self, result: Result<(), String>) {
        if let Err(violation) = result {
            self.violation.get_or_insert(violation);
        }
    }

    /// Somebody takes itself for the leader, on the strength of a proof that was sent then, or of its create.
    pub(super) fn leads(&mut self, id: ContenderId, claim: LeaderClaim, now: Instant, proof_sent: Instant) {
        let result = self.tokens.leads(id, claim, self.one_leader.is_deposed(claim.token));
        self.record(result);
        let result = self.one_leader.leads(id, claim, now, proof_sent);
        self.record(result);
    }

    /// Somebody takes itself for the leader for a longer time, on the strength of a proof that was sent then.
    pub(super) fn extended(&mut self, id: ContenderId, now: Instant, end: Instant, proof_sent: Instant) {
        let result = self.one_leader.extended(id, now, end, proof_sent);
        self.record(result);
    }

    /// Somebody takes itself for the leader for a shorter time.
    pub(super) fn shortened(&mut self, id: ContenderId, end: Instant) {
        self.one_leader.shortened(id, end);
    }

    /// Somebody knows that it does not lead any more, or is dead.
    pub(super) fn ended(&mut self, id: ContenderId) {
        self.one_leader.ended(id);
    }

    /// Somebody is about to remove its znode: having looked first, or in one transaction with a check of the counter.
    pub(super) fn removes(
        &mut self,
        session: SessionId,
        node: &Node,
        (verified, bound): (bool, bool),
        now: Instant,
    ) {
        self.own_znodes.removes(session, node, (verified, bound), now);
    }

    /// A znode has been deleted.
    pub(super) fn deleted(&mut self, deletion: &Deletion, now: Instant) {
        match self.own_znodes.deleted(deletion, now) {
            Ok(DeletedBy::Own) => {}
            Ok(DeletedBy::Other) => self.one_leader.deleted(deletion.token, now),
            Err(violation) => self.record(Err(violation)),
        }
    }

    /// How often a contender's removal has hit a successor's znode, because an operator had just deleted its own.
    pub(super) fn strays(&self) -> u32 {
        self.own_znodes.strays()
    }

    /// How often an operator's deletion made two leaders, until the deposed one's lease was over.
    pub(super) fn overlaps(&self) -> u32 {
        self.one_leader.overlaps()
    }

    /// How many leaderships there were.
    pub(super) fn leaderships(&self) -> u32 {
        self.tokens.leaderships()
    }

    /// The disappearance of a znode has made a contender list the directory.
    pub(super) fn woken(&mut self, election: usize, id: ContenderId, gone: FencingToken, own: &str) {
        self.wakeups.woken(election, id, gone, own);
    }

    /// A machine has asked for something.
    pub(super) fn asked(&mut self, id: ContenderId, now: Instant) {
        let result = self.requests.asked(id, now);
        self.record(result);
    }

    /// A process has sent a request.
    pub(super) fn sent(&mut self, process: usize) {
        self.requests.sent(process);
    }
}
