//! What must hold in every run, whatever goes wrong. One file for each.
//!
//! During the run: [`one_leader`], [`own_znodes`], [`tokens`], [`wakes`], [`requests`]. At its end, when all is well again:
//! [`somebody_leads`], [`no_ghosts`].

pub(super) mod no_ghosts;
mod one_leader;
mod own_znodes;
mod requests;
pub(super) mod somebody_leads;
mod tokens;
mod wakes;

use std::fmt;

use self::one_leader::OneLeader;
use self::own_znodes::{OwnZnodes, Whose};
use self::requests::Requests;
use self::tokens::Tokens;
use self::wakes::Wakes;
use super::time::Instant;
use crate::types::{FencingToken, SessionId};
use crate::znode::Node;

/// A contender, in one life of its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Who {
    pub(super) process: usize,
    pub(super) life: u32,
    pub(super) contender: usize,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "contender {}.{} (life {})", self.process, self.contender, self.life)
    }
}

/// A leadership: until `end` on the true time axis, its process takes it for valid.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    pub(super) election: usize,
    pub(super) token: FencingToken,
    pub(super) end: Instant,
}

/// The end of a znode.
#[derive(Clone, Debug)]
pub(super) struct Deletion {
    pub(super) path: String,
    pub(super) token: FencingToken,
    pub(super) owner: SessionId,
    pub(super) by: SessionId,
}

/// Watches over a run, and remembers the first violation.
#[derive(Debug, Default)]
pub(super) struct Referee {
    violation: Option<String>,
    one_leader: OneLeader,
    own_znodes: OwnZnodes,
    tokens: Tokens,
    pub(super) wakes: Wakes,
    pub(super) requests: Requests,
}

impl Referee {
    pub(super) fn violation(&self) -> Option<&str> {
        self.violation.as_deref()
    }

    pub(super) fn judge(&mut self, verdict: Result<(), String>) {
        if let Err(violation) = verdict {
            self.violation.get_or_insert(violation);
        }
    }

    /// Somebody takes itself for the leader, on the strength of a proof that was sent then, or of its create.
    pub(super) fn leads(&mut self, who: Who, claim: Claim, now: Instant, proof_sent: Instant) {
        let verdict = self.tokens.leads(who, claim, self.one_leader.is_deposed(claim.token));
        self.judge(verdict);
        let verdict = self.one_leader.leads(who, claim, now, proof_sent);
        self.judge(verdict);
    }

    /// Somebody takes itself for the leader for a longer time, on the strength of a proof that was sent then.
    pub(super) fn extended(&mut self, who: Who, now: Instant, end: Instant, proof_sent: Instant) {
        let verdict = self.one_leader.extended(who, now, end, proof_sent);
        self.judge(verdict);
    }

    /// Somebody takes itself for the leader for a shorter time.
    pub(super) fn shortened(&mut self, who: Who, end: Instant) {
        self.one_leader.shortened(who, end);
    }

    /// Somebody knows that it does not lead any more, or is dead.
    pub(super) fn ended(&mut self, who: Who) {
        self.one_leader.ended(who);
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
            Ok(Whose::Own) => {}
            Ok(Whose::Other) => self.one_leader.deleted(deletion.token, now),
            Err(violation) => self.judge(Err(violation)),
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
    pub(super) fn woken(&mut self, election: usize, who: Who, gone: FencingToken, own: &str) {
        self.wakes.woken(election, who, gone, own);
    }

    /// A machine has asked for something.
    pub(super) fn asked(&mut self, who: Who, now: Instant) {
        let verdict = self.requests.asked(who, now);
        self.judge(verdict);
    }

    /// A process has sent a request.
    pub(super) fn sent(&mut self, process: usize) {
        self.requests.sent(process);
    }
}
