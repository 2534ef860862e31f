//! The search for a leader: rounds, received votes, and the wait for a better vote (`lookForLeader` in ZooKeeper).

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::elector::event::{Action, Decision};
use crate::elector::local::LocalServer;
use crate::notification::Notification;
use crate::quorum::Quorum;
use crate::vote::{Ballot, Round, ServerId, ServerState, Vote, Zxid};

/// How long a server waits for a better vote once a quorum agrees with its proposal. Also the first time-out after which
/// a looking server repeats its vote.
pub const FINALIZE_WAIT: Duration = Duration::from_millis(200);

/// The longest time-out after which a looking server repeats its vote.
pub const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A search for a leader, from the start of a round to the decision.
#[derive(Clone, Debug)]
pub(super) struct Search {
    /// The vote that the search began with: for the server itself.
    initial: Vote,
    /// The best vote of this round so far.
    proposal: Vote,
    round: Round,
    /// The votes of this round.
    votes: ReceivedVotes,
    /// The votes of servers that have settled, of any round.
    settled: ReceivedVotes,
    /// A quorum agrees with the proposal, and the server waits for a better vote.
    finalizing: bool,
    /// After this time without a message the proposal is repeated.
    timeout: Duration,
    deadline: Duration,
    /// The servers to which the last message could not be delivered.
    undelivered: BTreeSet<ServerId>,
}

/// The last vote of each server.
#[derive(Clone, Debug, Default)]
struct ReceivedVotes(BTreeMap<ServerId, Ballot>);

impl Search {
    /// Begins a search with the server's initial vote: for itself, or [`Vote::NONE`] if it is an observer.
    pub(super) fn begin(
        server: &LocalServer,
        now: Duration,
        round: Round,
        initial: Vote,
        actions: &mut Vec<Action>,
    ) -> Self {
        let mut search = Self {
            initial,
            proposal: initial,
            round,
            votes: ReceivedVotes::default(),
            settled: ReceivedVotes::default(),
            finalizing: false,
            timeout: FINALIZE_WAIT,
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

    /// The last message to this server could not be delivered.
    pub(super) fn mark_undelivered(&mut self, to: ServerId) {
        self.undelivered.insert(to);
    }

    /// Handles a notification from a voter.
    pub(super) fn receive(
        &mut self,
        server: &LocalServer,
        now: Duration,
        from: ServerId,
        notification: &Notification,
        actions: &mut Vec<Action>,
    ) -> Option<Decision> {
        // There is a connection, so the waiting message has been sent.
        self.undelivered.remove(&from);
        if notification.state == ServerState::Looking && notification.round < self.round {
            // The answer tells it the current round.
            let answer = server.notification(ServerState::Looking, self.proposal, self.round);
            actions.push(Action::Send { to: from, notification: answer });
        }
        if self.finalizing {
            if !beats(&server.quorum, notification.vote, self.proposal) {
                // Only a better vote changes the decision. Any other message delays it.
                self.wait(now, actions);
                return None;
            }
            self.finalizing = false;
        }
        let decision = match notification.state {
            _ if !server.quorum.is_voter(notification.vote.leader) => None,
            ServerState::Looking => {
                self.receive_proposal(server, from, notification, actions);
                None
            }
            ServerState::Following | ServerState::Leading => self.receive_settled(server, from, notification),
            ServerState::Observing => None,
        };
        if decision.is_none() {
            self.wait(now, actions);
        }
        decision
    }

    /// Handles a tick: decides, or repeats the proposal.
    pub(super) fn tick(
        &mut self,
        server: &LocalServer,
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
            // A server receives its own broadcasts: this finds a quorum that a message without effect had hidden.
            self.count(&server.quorum);
        }
        self.timeout = (self.timeout * 2).min(LONGEST_WAIT);
        self.wait(now, actions);
        None
    }

    /// Handles the vote of a looking server.
    fn receive_proposal(
        &mut self,
        server: &LocalServer,
        from: ServerId,
        notification: &Notification,
        actions: &mut Vec<Action>,
    ) {
        if [self.initial.zxid, notification.vote.zxid].contains(&Zxid::UNINITIALISED) {
            return;
        }
        match notification.round.cmp(&self.round) {
            Ordering::Less => return,
            Ordering::Equal => {
                if beats(&server.quorum, notification.vote, self.proposal) {
                    self.propose(server, notification.vote, actions);
                }
            }
            Ordering::Greater => {
                // Nothing from this round counts in the other one, the own proposal included.
                self.round = notification.round;
                self.votes = ReceivedVotes::default();
                let better = beats(&server.quorum, notification.vote, self.initial);
                self.propose(server, if better { notification.vote } else { self.initial }, actions);
            }
        }
        self.votes.put(from, notification.ballot());
        self.count(&server.quorum);
    }

    /// Handles the vote of a server that follows or leads.
    fn receive_settled(
        &mut self,
        server: &LocalServer,
        from: ServerId,
        notification: &Notification,
    ) -> Option<Decision> {
        let ballot = notification.ballot();
        let decision = Some(server.decision(ballot.vote, ballot.round));
        if ballot.round == self.round {
            // Recorded as if it had come without a configuration, as ZooKeeper does. So within a round only the leader has
            // to agree, because some servers know the epoch of the new leadership already and others do not.
            self.votes.put(from, Ballot { configured: false, ..ballot });
            if self.votes.confirm(server, ballot, self.round) {
                return decision;
            }
        }
        self.settled.put(from, ballot);
        if self.settled.confirm(server, ballot, self.round) { decision } else { None }
    }

    /// Proposes this vote: broadcasts it, and records it as the server's own.
    fn propose(&mut self, server: &LocalServer, vote: Vote, actions: &mut Vec<Action>) {
        self.proposal = vote;
        self.undelivered.clear();
        let notification = server.notification(ServerState::Looking, vote, self.round);
        if server.quorum.is_voter(server.id) && self.initial.zxid != Zxid::UNINITIALISED {
            self.votes.put(server.id, notification.ballot());
        }
        actions.push(Action::Broadcast(notification));
    }

    /// Checks whether a quorum agrees with the proposal.
    fn count(&mut self, quorum: &Quorum) {
        let proposal =
            Ballot { vote: self.proposal, round: self.round, state: ServerState::Looking, configured: true };
        self.finalizing = quorum.is_quorum(&self.votes.supporters(proposal));
    }

    fn wait(&mut self, now: Duration, actions: &mut Vec<Action>) {
        self.deadline = now + if self.finalizing { FINALIZE_WAIT } else { self.timeout };
        actions.push(Action::WaitUntil(self.deadline));
    }
}

impl ReceivedVotes {
    fn put(&mut self, from: ServerId, ballot: Ballot) {
        self.0.insert(from, ballot);
    }

    /// The senders whose votes agree with this one.
    fn supporters(&self, ballot: Ballot) -> BTreeSet<ServerId> {
        self.0.iter().filter(|(_, other)| ballot.agrees_with(other)).map(|(from, _)| *from).collect()
    }

    /// Whether a quorum supports the leader in this vote of a settled server, and the leader itself says that it leads.
    /// Without the second condition, servers that have not noticed a leader's crash would elect it again and again. If
    /// this server is the leader named, the vote has to be of its current round.
    fn confirm(&self, server: &LocalServer, ballot: Ballot, round: Round) -> bool {
        let leader = ballot.vote.leader;
        let leads = if leader == server.id {
            ballot.round == round
        } else {
            self.0.get(&leader).is_some_and(|it| it.state == ServerState::Leading)
        };
        leads && server.quorum.is_quorum(&self.supporters(ballot))
    }
}

/// Whether a vote beats another. A vote for a voter of weight 0 never does. A vote for a non-voter can: it ends the wait for
/// a better vote, although it is not adopted. So it is in ZooKeeper with a majority quorum. (With a hierarchical quorum,
/// ZooKeeper fails at such a vote.)
fn beats(quorum: &Quorum, vote: Vote, over: Vote) -> bool {
    (quorum.is_eligible(vote.leader) || !quorum.is_voter(vote.leader)) && vote > over
}
