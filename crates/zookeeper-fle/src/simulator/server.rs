//! One server of a simulation: its disk, its election, and what it does after it.

use std::time::Duration;

use super::super::election::{Decision, Elector, History};
use super::super::vote::{Epoch, ServerId, ServerState};

/// A server of a [`Simulation`](super::Simulation).
#[derive(Clone, Debug)]
pub struct SimulatedServer {
    pub(super) history: History,
    /// While it is up.
    pub(super) elector: Option<Elector>,
    /// While it has settled on a leader.
    pub(super) tenure: Option<Tenure>,
    /// Where in the agenda its next tick is.
    pub(super) tick: Option<(Duration, u64)>,
}

/// What a server does once it has settled on a leader, or on itself.
#[derive(Clone, Debug)]
pub(super) struct Tenure {
    pub(super) leader: ServerId,
    /// Of a leader: the number of its leadership, unique in the simulation. Of a follower: that of the leadership
    /// which has taken it in.
    pub(super) leadership: Option<u64>,
    /// When it last was in touch: a leader with a quorum of its followers, a follower with its leader.
    pub(super) contact: Duration,
    /// The epoch of the leadership, once it has one.
    pub(super) epoch: Option<Epoch>,
}

impl SimulatedServer {
    pub(super) fn new(history: History) -> Self {
        Self { history, elector: None, tenure: None, tick: None }
    }

    /// What it has on its disk.
    #[must_use]
    pub fn history(&self) -> History {
        self.history
    }

    /// Whether it runs.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.elector.is_some()
    }

    /// Its election: state, round, proposal, votes. `None` if it does not run.
    #[must_use]
    pub fn elector(&self) -> Option<&Elector> {
        self.elector.as_ref()
    }

    /// What it does. `None` if it does not run.
    #[must_use]
    pub fn state(&self) -> Option<ServerState> {
        self.elector.as_ref().map(Elector::state)
    }

    /// On whom it has settled, maybe itself. `None` while it looks, and if it does not run.
    #[must_use]
    pub fn leader(&self) -> Option<ServerId> {
        self.tenure.as_ref().map(|tenure| tenure.leader)
    }

    /// The epoch of the leadership that it is part of, once it is established.
    #[must_use]
    pub fn established(&self) -> Option<Epoch> {
        self.tenure.as_ref().and_then(|tenure| tenure.epoch)
    }
}

impl Tenure {
    /// As it begins with a decision; `leadership` is its number if the decision is to lead.
    pub(super) fn begin(now: Duration, decision: &Decision, leadership: u64) -> Self {
        let leads = decision.state == ServerState::Leading;
        Self {
            leader: decision.vote.leader,
            leadership: leads.then_some(leadership),
            contact: now,
            epoch: None,
        }
    }
}
