//! One server of a simulation: its disk, its election, and its state in the stand-in for Zab.

use std::time::Duration;

use crate::elector::{Decision, Elector, History};
use crate::simulator::schedule::ScheduleKey;
use crate::vote::{Epoch, ServerId, ServerState};

/// A server of a [`Simulation`](super::Simulation).
#[derive(Clone, Debug)]
pub struct SimulatedServer {
    pub(super) history: History,
    /// Only while it runs.
    pub(super) elector: Option<Elector>,
    /// Only while it has settled on a leader.
    pub(super) zab_state: Option<ZabState>,
    /// The elector's next tick in the schedule.
    pub(super) tick: Option<ScheduleKey>,
}

/// The state of a settled server in the stand-in for Zab.
#[derive(Clone, Debug)]
pub(super) struct ZabState {
    pub(super) leader: ServerId,
    /// The number of the leadership, unique in the simulation. A follower has none before the leader accepts it.
    pub(super) leadership: Option<u64>,
    /// The last time at which a leader reached a quorum of followers, or a follower reached its leader.
    pub(super) last_contact: Duration,
    /// The epoch of the leadership, once it is established.
    pub(super) epoch: Option<Epoch>,
}

impl SimulatedServer {
    pub(super) fn new(history: History) -> Self {
        Self { history, elector: None, zab_state: None, tick: None }
    }

    /// The history on its disk.
    #[must_use]
    pub fn history(&self) -> History {
        self.history
    }

    /// Whether it runs.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.elector.is_some()
    }

    /// Its elector, with state, round, proposal and votes; `None` unless it runs.
    #[must_use]
    pub fn elector(&self) -> Option<&Elector> {
        self.elector.as_ref()
    }

    /// Its state; `None` unless it runs.
    #[must_use]
    pub fn state(&self) -> Option<ServerState> {
        self.elector.as_ref().map(Elector::state)
    }

    /// The leader that it has settled on, perhaps itself; `None` while it is looking, and unless it runs.
    #[must_use]
    pub fn leader(&self) -> Option<ServerId> {
        self.zab_state.as_ref().map(|state| state.leader)
    }

    /// The epoch of its leadership, once that is established; `None` before, and while it is looking.
    #[must_use]
    pub fn established(&self) -> Option<Epoch> {
        self.zab_state.as_ref().and_then(|state| state.epoch)
    }
}

impl ZabState {
    /// The state after a decision. A decision to lead begins the leadership with this number.
    pub(super) fn after(decision: &Decision, now: Duration, leadership: u64) -> Self {
        let leads = decision.state == ServerState::Leading;
        Self {
            leader: decision.vote.leader,
            leadership: leads.then_some(leadership),
            last_contact: now,
            epoch: None,
        }
    }
}
