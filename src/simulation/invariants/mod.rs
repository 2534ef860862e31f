//! The conditions that hold in every run, with any faults. One file for each.
//!
//! During the run: [`one_leader`], [`own_znodes`], [`tokens`], [`wakeups`], [`requests`], [`assurances`],
//! [`guarded_writes`], [`work`]. At its end, after all faults: [`somebody_leads`], [`no_ghosts`].

mod assurances;
pub(super) mod guarded_writes;
pub(super) mod no_ghosts;
mod one_leader;
mod own_znodes;
pub(super) mod reports;
mod requests;
pub(super) mod somebody_leads;
mod tokens;
mod wakeups;
mod work;

use zookeeper_embedded::replica::Replica;

use self::assurances::Assurances;
use self::one_leader::OneLeader;
use self::own_znodes::{DeletedBy, OwnZnodes};
use self::reports::{ContenderId, Deletion, LeaderClaim};
use self::requests::Requests;
use self::tokens::Tokens;
use self::wakeups::Wakeups;
use self::work::Work;
use super::settings::{OPERATOR, Settings};
use super::time::Instant;
use crate::types::{FencingToken, SessionId};

/// Checks a run, and keeps the first violation.
#[derive(Debug)]
pub(super) struct Checker {
    violation: Option<String>,
    one_leader: OneLeader,
    own_znodes: OwnZnodes,
    tokens: Tokens,
    pub(super) wakeups: Wakeups,
    pub(super) requests: Requests,
    pub(super) assurances: Assurances,
    pub(super) work: Work,
}

impl Checker {
    pub(super) fn new(settings: &Settings) -> Self {
        let longest = settings.timeouts().into_iter().max().unwrap_or(settings.timeout);
        Self {
            violation: None,
            one_leader: OneLeader::new(longest.mul_f64(1.02)),
            own_znodes: OwnZnodes::default(),
            tokens: Tokens::default(),
            wakeups: Wakeups::new(settings.twins),
            requests: Requests::default(),
            assurances: Assurances::new(&settings.elections, settings.twins),
            // Allows for clock drift.
            work: Work::new(settings.least_timeout().mul_f64(0.97)),
        }
    }

    pub(super) fn violation(&self) -> Option<&str> {
        self.violation.as_deref()
    }

    pub(super) fn record(&mut self, result: Result<(), String>) {
        if let Err(violation) = result {
            self.violation.get_or_insert(violation);
        }
    }

    /// An application may act as the leader.
    pub(super) fn leads(&mut self, id: ContenderId, claim: LeaderClaim, now: Instant) {
        let result = self.tokens.leads(id, claim, self.one_leader.is_deposed(claim.token));
        self.record(result);
        let result = self.one_leader.leads(id, claim, now);
        self.record(result);
    }

    /// An application may act as the leader for longer.
    pub(super) fn extended(&mut self, id: ContenderId, now: Instant, end: Instant) {
        let result = self.one_leader.extended(id, now, end);
        self.record(result);
    }

    /// An application may act as the leader for less time.
    pub(super) fn shortened(&mut self, id: ContenderId, end: Instant) {
        self.one_leader.shortened(id, end);
    }

    /// An application knows that it no longer leads, or is dead.
    pub(super) fn ended(&mut self, id: ContenderId) {
        self.one_leader.ended(id);
    }

    /// A contender's process has died.
    pub(super) fn died(&mut self, id: ContenderId) {
        self.one_leader.ended(id);
        self.work.died(id);
    }

    /// A client has closed its session.
    pub(super) fn closed(&mut self, session: SessionId) {
        let result = self.work.closed(session);
        self.record(result);
    }

    /// A process has opened or resumed this session.
    pub(super) fn session_belongs(&mut self, session: SessionId, process: usize, life: u32) {
        self.own_znodes.session_belongs(session, process, life);
    }

    /// A znode has been deleted.
    pub(super) fn deleted(&mut self, deletion: &Deletion, now: Instant) {
        if deletion.by.raw() == OPERATOR.raw() {
            self.wakeups.dropped(&deletion.path);
        }
        match self.own_znodes.deleted(deletion) {
            Ok(DeletedBy::Own) => {
                let result = self.work.removed(deletion.token, now);
                self.record(result);
            }
            Ok(DeletedBy::Other) => self.one_leader.deleted(deletion.token, now),
            Err(violation) => self.record(Err(violation)),
        }
    }

    /// A guarded write has been carried out.
    pub(super) fn written(&mut self, election: usize, token: FencingToken) {
        let deposed = self.one_leader.is_deposed(token);
        let result = guarded_writes::check(election, token, self.tokens.last(), deposed);
        self.record(result);
    }

    /// Compares the reports since the last time with the znodes.
    pub(super) fn compare(&mut self, truth: &Replica) {
        let result = self.wakeups.count(truth);
        self.record(result);
        let result = self.assurances.check(truth);
        self.record(result);
    }

    /// How often a contender's removal has deleted a successor's znode, because an operator had just deleted its own.
    pub(super) fn strays(&self) -> u32 {
        self.own_znodes.strays()
    }

    /// How often an operator's deletion made two leaders, until the deposed leader's lease ended.
    pub(super) fn overlaps(&self) -> u32 {
        self.one_leader.overlaps()
    }

    pub(super) fn leaderships(&self) -> u32 {
        self.tokens.leaderships()
    }
}
