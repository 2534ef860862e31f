//! The search for a leader: the rounds, the ballot box, the votes of those who have settled, the wait for a better vote.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::election::{Action, Decision, Server};
use super::notification::Notification;
use super::quorum::Quorum;
use super::vote::{Ballot, Round, ServerId, ServerState, Vote, Zxid};

/// How long a server that has a quorum behind its proposal waits for a better vote; and how long one that looks waits at
/// first before it repeats its own.
pub const FINALIZE_WAIT: Duration = Duration::from_millis(200);

/// The longest that a server that looks waits before it repeats its vote.
pub const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A search for a leader, from its beginning to the decision.
#[derive(Clone, Debug)]
pub(super) struct Search {
    /// What it began with: a vote for itself.
    initial: Vote,
    /// The best vote of this round that it has heard of.
    proposal: Vote,
    round: Round,
    /// The votes of this round.
    votes: BallotBox,
    /// The votes of servers that have settled, in whatever round.
    settled: BallotBox,
    /// A quorum agrees with the proposal, and a better one is waited for.
    finalizing: bool,
    /// How long the next silence may last before the proposal is repeated.
    patience: Duration,
    deadline: Duration,
    /// Who has not got what was last sent, as far as is known.
    undelivered: BTreeSet<ServerId>,
}

/// The last vote of each server.
#[derive(Clone, Debug, Default)]
struct BallotBox(BTreeMap<ServerId, Ballot>);

impl Search {
    /// Begins one with the server's initial vote: itself, or, of an observer, [`Vote::NONE`].
    pub(super) fn begin(
        server: &Server,
        now: Duration,
        round: Round,
        initial: Vote,
        actions: &mut Vec<Action>,
    ) -> Self {
        let mut search = Self {
            initial,
            proposal: initial,
            round,
            votes: BallotBox::default(),
            settled: BallotBox::default(),
            finalizing: false,
            patience: FINALIZE_WAIT,
            deadline: now,
            undelivered: BTreeSet::new(),
        };
        search.propose(server, initial, actions);
        search.count(&server.quorum);
        search.wait(now, actions);
        search
    }

    pub(super) fn round(&self) -> Round {
        self.round
    }

    pub(super) fn proposal(&self) -> Vote {
        self.proposal
    }

    pub(super) fn is_finalizing(&self) -> bool {
        self.finalizing
    }

    pub(super) fn votes(&self) -> impl Iterator<Item = (ServerId, Vote)> {
        self.votes.0.iter().map(|(from, ballot)| (*from, ballot.vote))
    }

    /// What was last sent to this server could not be delivered.
    pub(super) fn miss(&mut self, to: ServerId) {
        self.undelivered.insert(to);
    }

    /// A voter has sent this.
    pub(super) fn hear(
        &mut self,
        server: &Server,
        now: Duration,
        from: ServerId,
        heard: &Notification,
        actions: &mut Vec<Action>,
    ) -> Option<Decision> {
        // There is a connection, so that what waited has gone.
        self.undelivered.remove(&from);
        if heard.state == ServerState::Looking && heard.round < self.round {
            // It learns so which round the others are in.
            let notification = server.notification(ServerState::Looking, self.proposal, self.round);
            actions.push(Action::Send { to: from, notification });
        }
        if self.finalizing {
            if !beats(&server.quorum, heard.vote, self.proposal) {
                // As long as there is no better vote the decision stands. Whatever this is, it only puts it off.
                self.wait(now, actions);
                return None;
            }
            self.finalizing = false;
        }
        let decision = match heard.state {
            _ if !server.quorum.is_voter(heard.vote.leader) => None,
            ServerState::Looking => {
                self.hear_proposal(server, from, heard, actions);
                None
            }
            ServerState::Following | ServerState::Leading => self.hear_settled(server, from, heard),
            ServerState::Observing => None,
        };
        if decision.is_none() {
            self.wait(now, actions);
        }
        decision
    }

    /// Time has passed.
    pub(super) fn tick(
        &mut self,
        server: &Server,
        now: Duration,
        actions: &mut Vec<Action>,
    ) -> Option<Decision> {
        if now < self.deadline {
            return None;
        }
        if self.finalizing {
            return Some(server.decision(self.proposal, self.round));
        }
        let mut others = server.quorum.voters().filter(|id| *id != server.id);
        if others.all(|id| self.undelivered.contains(&id)) {
            self.undelivered.clear();
            actions.push(Action::Connect);
        } else {
            self.propose(server, self.proposal, actions);
            // It hears itself as well: a quorum that it has lost sight of is found again.
            self.count(&server.quorum);
        }
        self.patience = (self.patience * 2).min(LONGEST_WAIT);
        self.wait(now, actions);
        None
    }

    /// The vote of a server that looks as well.
    fn hear_proposal(
        &mut self,
        server: &Server,
        from: ServerId,
        heard: &Notification,
        actions: &mut Vec<Action>,
    ) {
        if [self.initial.zxid, heard.vote.zxid].contains(&Zxid::UNINITIALISED) {
            return;
        }
        match heard.round.cmp(&self.round) {
            Ordering::Less => return,
            Ordering::Equal => {
                if beats(&server.quorum, heard.vote, self.proposal) {
                    self.propose(server, heard.vote, actions);
                }
            }
            Ordering::Greater => {
                // In another round nothing counts that was said in this one, the own proposal neither.
                self.round = heard.round;
                self.votes = BallotBox::default();
                let better = beats(&server.quorum, heard.vote, self.initial);
                self.propose(server, if better { heard.vote } else { self.initial }, actions);
            }
        }
        self.votes.put(from, heard.ballot());
        self.count(&server.quorum);
    }

    /// The vote of a server that follows or leads.
    fn hear_settled(&mut self, server: &Server, from: ServerId, heard: &Notification) -> Option<Decision> {
        let ballot = heard.ballot();
        let decision = Some(server.decision(ballot.vote, ballot.round));
        if ballot.round == self.round {
            // Recorded as ZooKeeper does, as if it had come without a configuration: so that within a round the leader alone
            // has to agree, for some know the epoch of the new leadership already, and others do not.
            self.votes.put(from, Ballot { configured: false, ..ballot });
            if self.votes.elect(server, ballot, self.round) {
                return decision;
            }
        }
        self.settled.put(from, ballot);
        if self.settled.elect(server, ballot, self.round) { decision } else { None }
    }

    /// Puts this vote forward, and counts it as the own one.
    fn propose(&mut self, server: &Server, vote: Vote, actions: &mut Vec<Action>) {
        self.proposal = vote;
        self.undelivered.clear();
        let notification = server.notification(ServerState::Looking, vote, self.round);
        if server.quorum.is_voter(server.id) && self.initial.zxid != Zxid::UNINITIALISED {
            self.votes.put(server.id, notification.ballot());
        }
        actions.push(Action::Broadcast(notification));
    }

    /// Looks whether the proposal has a quorum.
    fn count(&mut self, quorum: &Quorum) {
        let proposal =
            Ballot { vote: self.proposal, round: self.round, state: ServerState::Looking, configured: true };
        self.finalizing = quorum.is_quorum(&self.votes.supporters(proposal));
    }

    fn wait(&mut self, now: Duration, actions: &mut Vec<Action>) {
        self.deadline = now + if self.finalizing { FINALIZE_WAIT } else { self.patience };
        actions.push(Action::WaitUntil(self.deadline));
    }
}

impl BallotBox {
    fn put(&mut self, from: ServerId, ballot: Ballot) {
        self.0.insert(from, ballot);
    }

    /// Whose votes agree with this one.
    fn supporters(&self, ballot: Ballot) -> BTreeSet<ServerId> {
        self.0.iter().filter(|(_, other)| ballot.agrees_with(other)).map(|(from, _)| *from).collect()
    }

    /// Whether a quorum supports the leader that a settled server names, and that leader says itself that it leads. Else
    /// those who have not noticed its end would elect it again and again. Whoever is named itself knows better than
    /// anybody else, but for what it did in another round.
    fn elect(&self, server: &Server, ballot: Ballot, round: Round) -> bool {
        let leader = ballot.vote.leader;
        let leads = if leader == server.id {
            ballot.round == round
        } else {
            self.0.get(&leader).is_some_and(|it| it.state == ServerState::Leading)
        };
        leads && server.quorum.is_quorum(&self.supporters(ballot))
    }
}

/// Whether a vote wins over another. A vote for a voter that cannot lead never does. One for a stranger may, and so puts an
/// end to the wait for a better one, though it is not adopted: as in a majority of ZooKeeper's servers. (Those of a
/// hierarchical quorum fail at such a vote.)
fn beats(quorum: &Quorum, vote: Vote, over: Vote) -> bool {
    (quorum.is_eligible(vote.leader) || !quorum.is_voter(vote.leader)) && vote > over
}
