//! The election as one server sees it: a state machine.
//!
//! ```text
//!               look(now, history)
//!                       |
//!                       v        Notification: a vote         a quorum agrees with the proposal
//!   +---------------------------------------------------+    -------------------------------->   +-------------+
//!   | looking: own proposal, round, the votes of others |                                        | finalizing  |
//!   +---------------------------------------------------+    <--------------------------------   +-------------+
//!     |     ^ Tick: no message came; the proposal again,          Notification: a better vote           |
//!     |     | and twice the time-out                                                                    | Tick:
//!     |     +---+                                                                                       | no message
//!     |                                                                                                 v
//!     |   a quorum follows a leader, and that leader leads                                       +-------------+
//!     +--------------------------------------------------------------------------------------->  |   settled   |
//!                                                                                                +-------------+
//!   There is one way back from settled: the caller calls look() when it has lost the leader or its followers.
//! ```
//!
//! The inputs are [`look`](Elector::look) and [`Event`]s. The outputs are [`Action`]s, to be carried out in order. Time
//! is an argument: any duration that only grows, on the same clock for all calls.

mod event;
mod local;
mod search;

use std::time::Duration;

use crate::notification::{Format, Notification};
use crate::quorum::Quorum;
use crate::vote::{Epoch, Round, ServerId, ServerState, Vote};

pub use self::event::{Action, Decision, Event, History};
pub use self::search::{FINALIZE_WAIT, LONGEST_WAIT};

use self::local::LocalServer;
use self::search::Search;

/// One server's election: its round, its proposal, the votes that it has received, the vote that it settled on.
#[derive(Clone, Debug)]
pub struct Elector {
    server: LocalServer,
    state: ServerState,
    /// The round of the last decision. During a search, the search has the current round.
    round: Round,
    /// The vote that it settled on last; before that, its first own vote.
    current: Vote,
    /// Only while it is looking.
    search: Option<Search>,
}

impl Elector {
    /// An elector for this server, which is an observer if the quorum does not name it. It ignores all messages before
    /// the first [`look`](Self::look).
    #[must_use]
    pub fn new(id: ServerId, quorum: Quorum) -> Self {
        let server = LocalServer { id, quorum, format: Format::Numbered };
        let state = ServerState::Looking;
        Self { server, state, round: Round(0), current: Vote::NONE, search: None }
    }

    /// Sends this configuration of the ensemble with every vote, as servers do since ZooKeeper 3.5.
    #[must_use]
    pub fn announcing(mut self, config: impl Into<String>) -> Self {
        self.server.format = Format::Configured(config.into());
        self
    }

    /// Begins an election in a new round: when the server starts, when a follower has lost its leader, and when a leader
    /// has lost its followers.
    pub fn look(&mut self, now: Duration, history: History) -> Vec<Action> {
        let id = self.server.id;
        let own = Vote { epoch: history.epoch, zxid: history.zxid, leader: id };
        if self.current == Vote::NONE {
            self.current = own;
        }
        self.state = ServerState::Looking;
        let initial = if self.server.quorum.is_voter(id) { own } else { Vote::NONE };
        let mut actions = Vec::new();
        let round = self.round().next();
        self.search = Some(Search::begin(&self.server, now, round, initial, &mut actions));
        actions
    }

    /// Handles an event, and returns the actions that follow from it.
    pub fn handle(&mut self, now: Duration, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        let decision = match (event, &mut self.search) {
            (Event::Notification { from, notification }, _) => {
                self.receive(now, from, &notification, &mut actions)
            }
            (Event::Undelivered { to }, Some(search)) => {
                search.mark_undelivered(to);
                None
            }
            (Event::Tick, Some(search)) => search.tick(&self.server, now, &mut actions),
            (Event::Undelivered { .. } | Event::Tick, None) => None,
        };
        if let Some(decision) = decision {
            (self.state, self.current, self.round) = (decision.state, decision.vote, decision.round);
            self.search = None;
            actions.push(Action::Decided(decision));
        }
        actions
    }

    /// Tells the elector that its leader is established in this epoch. Its notifications carry the epoch from now on.
    ///
    /// The epoch comes from Zab, which gives every leadership a new one before the leader serves clients.
    pub fn established(&mut self, epoch: Epoch) {
        self.current.epoch = epoch;
    }

    /// The server's id.
    #[must_use]
    pub fn id(&self) -> ServerId {
        self.server.id
    }

    /// The server's state.
    #[must_use]
    pub fn state(&self) -> ServerState {
        self.state
    }

    /// The server's round; 0 before the first election.
    #[must_use]
    pub fn round(&self) -> Round {
        self.search.as_ref().map_or(self.round, Search::round)
    }

    /// The vote that the server proposes; `None` unless it is looking.
    #[must_use]
    pub fn proposal(&self) -> Option<Vote> {
        self.search.as_ref().map(Search::proposal)
    }

    /// Whether a quorum agrees with the proposal, so that the server only waits for a better vote.
    #[must_use]
    pub fn is_finalizing(&self) -> bool {
        self.search.as_ref().is_some_and(Search::is_finalizing)
    }

    /// The vote that the server settled on last; before its first decision, its vote for itself. A looking server answers
    /// non-voters with this vote, not with its proposal.
    #[must_use]
    pub fn current(&self) -> Vote {
        self.current
    }

    /// The votes of the current round, the server's own included; none unless it is looking.
    pub fn votes(&self) -> impl Iterator<Item = (ServerId, Vote)> {
        self.search.iter().flat_map(Search::votes)
    }

    fn receive(
        &mut self,
        now: Duration,
        from: ServerId,
        notification: &Notification,
        actions: &mut Vec<Action>,
    ) -> Option<Decision> {
        if self.round() == Round(0) {
            return None;
        }
        let voter = self.server.quorum.is_voter(from);
        // A non-voter is answered always, a looking voter once this server has settled.
        if !voter || (self.search.is_none() && notification.state == ServerState::Looking) {
            let answer = self.server.notification(self.state, self.current, self.round());
            actions.push(Action::Send { to: from, notification: answer });
        }
        let search = self.search.as_mut().filter(|_| voter)?;
        search.receive(&self.server, now, from, notification, actions)
    }
}

#[cfg(test)]
mod tests;
