//! One server's part in the election.
//!
//! ```text
//!               look(now, history)
//!                       |
//!                       v        Notification: a vote         a quorum agrees with the proposal
//!   +---------------------------------------------------+    -------------------------------->   +-------------+
//!   | looking: own proposal, round, the votes of others |                                        | finalizing  |
//!   +---------------------------------------------------+    <--------------------------------   +-------------+
//!     |     ^ Tick: nobody wrote; the proposal again,             Notification: a better vote           |
//!     |     | and twice the patience                                                                    | Tick:
//!     |     +---+                                                                                       | silence
//!     |                                                                                                 v
//!     |   a quorum has settled on a leader, who says so itself                                   +-------------+
//!     +--------------------------------------------------------------------------------------->  |   settled   |
//!                                                                                                +-------------+
//!   From settled there is one way back: look(), when whoever runs this has lost the leader or its followers.
//! ```
//!
//! In come [`look`](Elector::look) and [`Event`]s, out go [`Action`]s, to be carried out in their order. Time is an
//! argument: any that only grows, the same for all calls.

use std::time::Duration;

use super::notification::{Format, Notification};
use super::quorum::Quorum;
use super::search::Search;
use super::vote::{Epoch, Round, ServerId, ServerState, Vote, Zxid};

/// What a server has on its disk, and is elected by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct History {
    /// The epoch of the last leader that it was in step with.
    pub epoch: Epoch,
    /// Its last transaction.
    pub zxid: Zxid,
}

/// What happens to an [`Elector`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A server has sent a notification.
    Notification {
        /// Who, as its connection tells.
        from: ServerId,
        /// What.
        notification: Notification,
    },
    /// What was last sent to this server could not be delivered, and waits for a connection. Whoever is heard afterwards
    /// counts as having got it.
    Undelivered {
        /// To whom.
        to: ServerId,
    },
    /// The time has come that [`Action::WaitUntil`] named. One that comes too early is ignored.
    Tick,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send this to every other server that has a vote. What was to be sent to it before and was not is dropped.
    Broadcast(Notification),
    /// Send this to one server; likewise.
    Send {
        /// To whom.
        to: ServerId,
        /// What.
        notification: Notification,
    },
    /// Nothing could be delivered to anybody: connect to every other server that has a vote, and send what is left.
    Connect,
    /// Send [`Event::Tick`] at this time. It replaces the time named before.
    WaitUntil(Duration),
    /// The server's state changes to that of the decision. No [`Event::Tick`] is wanted any more.
    Decided(Decision),
}

/// What an election ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Decision {
    /// What the server does from now on: it leads, follows or observes.
    pub state: ServerState,
    /// The vote that it has settled on. Its zxid is the leader's at the time of the election.
    pub vote: Vote,
    /// The round in which it was decided: of a server that came late, the round of those that it joins.
    pub round: Round,
}

/// One server's part in the election: its rounds, its proposal, the votes that it knows, what it has settled on.
#[derive(Clone, Debug)]
pub struct Elector {
    server: Server,
    state: ServerState,
    /// The logical clock, but for a search that is under way.
    round: Round,
    /// What it has settled on last, or its first vote.
    current: Vote,
    /// While it looks.
    search: Option<Search>,
}

/// What does not change about a server.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) id: ServerId,
    pub(super) quorum: Quorum,
    format: Format,
}

impl Elector {
    /// The part of this server, which neither hears nor answers anybody before it [looks](Self::look) for the first time.
    /// It is an observer if it has no vote.
    #[must_use]
    pub fn new(id: ServerId, quorum: Quorum) -> Self {
        let server = Server { id, quorum, format: Format::Numbered };
        let state = ServerState::Looking;
        Self { server, state, round: Round(0), current: Vote::NONE, search: None }
    }

    /// Lets it send the configuration of the ensemble with every vote, as servers do since ZooKeeper 3.5.
    #[must_use]
    pub fn announcing(mut self, config: impl Into<String>) -> Self {
        self.server.format = Format::Configured(config.into());
        self
    }

    /// Begins an election, in a round of its own: at the start of the server, and whenever it has lost its leader or, as
    /// leader, its followers.
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

    /// Takes in what has happened, and says what is to be done.
    pub fn handle(&mut self, now: Duration, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        let decision = match (event, &mut self.search) {
            (Event::Notification { from, notification }, _) => {
                self.hear(now, from, &notification, &mut actions)
            }
            (Event::Undelivered { to }, Some(search)) => {
                search.miss(to);
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

    /// The leader that it has settled on is established, in this epoch, which is what it tells others from now on.
    ///
    /// This comes from Zab, which gives every leadership an epoch of its own before it serves anybody.
    pub fn established(&mut self, epoch: Epoch) {
        self.current.epoch = epoch;
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> ServerId {
        self.server.id
    }

    /// What it does.
    #[must_use]
    pub fn state(&self) -> ServerState {
        self.state
    }

    /// Its round; 0 before the first.
    #[must_use]
    pub fn round(&self) -> Round {
        self.search.as_ref().map_or(self.round, Search::round)
    }

    /// What it puts forward, while it looks.
    #[must_use]
    pub fn proposal(&self) -> Option<Vote> {
        self.search.as_ref().map(Search::proposal)
    }

    /// Whether a quorum agrees with its proposal, and it only waits for a better one.
    #[must_use]
    pub fn is_finalizing(&self) -> bool {
        self.search.as_ref().is_some_and(Search::is_finalizing)
    }

    /// What it has settled on last, or, before that, a vote for itself. Whoever has no vote and asks a server that looks
    /// is told this, not the proposal.
    #[must_use]
    pub fn current(&self) -> Vote {
        self.current
    }

    /// The votes of this round that it knows, its own among them, while it looks.
    pub fn votes(&self) -> impl Iterator<Item = (ServerId, Vote)> {
        self.search.iter().flat_map(Search::votes)
    }

    fn hear(
        &mut self,
        now: Duration,
        from: ServerId,
        heard: &Notification,
        actions: &mut Vec<Action>,
    ) -> Option<Decision> {
        if self.round() == Round(0) {
            return None;
        }
        let voter = self.server.quorum.is_voter(from);
        // Who has no vote asks, whatever it says. A voter that looks is told on whom the others have settled.
        let asks = !voter || (self.search.is_none() && heard.state == ServerState::Looking);
        if asks {
            let notification = self.server.notification(self.state, self.current, self.round());
            actions.push(Action::Send { to: from, notification });
        }
        let search = self.search.as_mut().filter(|_| voter)?;
        search.hear(&self.server, now, from, heard, actions)
    }
}

impl Server {
    /// A notification of this server.
    pub(super) fn notification(&self, state: ServerState, vote: Vote, round: Round) -> Notification {
        Notification { state, vote, round, format: self.format.clone() }
    }

    /// What it decides when it has settled on this vote.
    pub(super) fn decision(&self, vote: Vote, round: Round) -> Decision {
        let state = if vote.leader == self.id {
            ServerState::Leading
        } else if self.quorum.is_voter(self.id) {
            ServerState::Following
        } else {
            ServerState::Observing
        };
        Decision { state, vote, round }
    }
}

#[cfg(test)]
mod tests;
