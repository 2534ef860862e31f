//! Draws conclusions from the answers of an ensemble's servers.
//!
//! The input is the result for each server and the newest configuration, the output are the findings. A server counts once,
//! by its id, even if several of its addresses answered. Contradictory answers are all kept.

use std::collections::{BTreeMap, BTreeSet};

use super::answer::{Answer, InspectedServer};
use super::finding::Finding;
use super::no_answer::NoAnswer;
use super::server_ref::ServerRef;
use crate::config::{EnsembleConfig, Member};
use crate::quorum::Quorum;
use crate::vote::{ServerId, ServerState, Vote, Zxid};

/// The findings, the main one first.
pub(super) fn diagnose(servers: &[InspectedServer], config: Option<&EnsembleConfig>) -> Vec<Finding> {
    let ensemble = AnsweringServers::of(servers, config);
    let mut findings = vec![ensemble.verdict()];
    findings.extend(ensemble.contradictions());
    match findings[0] {
        Finding::Settled { .. } | Finding::LeaderUnconfirmed { .. } => findings.extend(ensemble.not_joined()),
        Finding::NoQuorum { .. } | Finding::Unsettled { .. } => findings.extend(ensemble.next()),
        _ => {}
    }
    findings.extend(ensemble.follow_no_leader());
    findings.extend(ensemble.configs());
    findings.extend(ensemble.silent(servers));
    findings.extend(config.and_then(|config| not_asked(config, servers)));
    findings.extend(ensemble.unknown(config));
    findings
}

/// The servers that answer. A server that contradicts itself is in it once for each different answer.
struct AnsweringServers<'a> {
    answering: Vec<AnsweringServer<'a>>,
    /// `None` if no configuration is known. Then a majority of the servers asked is a quorum.
    quorum: Option<Quorum>,
    asked: usize,
}

/// A server that answers.
struct AnsweringServer<'a> {
    id: Option<ServerId>,
    address: &'a str,
    /// By its address if another answer came from the same id.
    server_ref: ServerRef,
    answer: &'a Answer,
}

impl<'a> AnsweringServers<'a> {
    fn of(servers: &'a [InspectedServer], config: Option<&EnsembleConfig>) -> Self {
        let mut answering: Vec<AnsweringServer<'a>> = Vec::new();
        for server in servers {
            let Ok(answer) = &server.outcome else { continue };
            let server = AnsweringServer {
                id: server.id,
                address: &server.address,
                server_ref: server.server_ref(),
                answer,
            };
            if !answering.iter().any(|it| it.is_same_server(&server) && it.says_the_same(&server)) {
                answering.push(server);
            }
        }
        let ids: Vec<Option<ServerId>> = answering.iter().map(|server| server.id).collect();
        for server in answering.iter_mut().filter(|server| server.id.is_some()) {
            if ids.iter().filter(|id| **id == server.id).count() > 1 {
                server.server_ref = ServerRef::At(server.address.into());
            }
        }
        Self { answering, quorum: config.map(Quorum::of), asked: servers.len() }
    }

    /// The main finding.
    fn verdict(&self) -> Finding {
        if self.answering.is_empty() {
            return Finding::Nobody;
        }
        match self.leaders()[..] {
            [] => self.without_leader(),
            [leading] => self.led_by(leading),
            ref leaders => {
                let leaders = leaders.iter().map(|it| (it.vote().leader, it.vote().epoch));
                Finding::SeveralLeaders { leaders: leaders.collect() }
            }
        }
    }

    /// The servers that claim leadership. Equal votes are from the same leader, asked twice during a reconfiguration, for
    /// example.
    fn leaders(&self) -> Vec<&AnsweringServer<'a>> {
        let mut leaders: Vec<&AnsweringServer<'a>> = Vec::new();
        for server in self.answering.iter().filter(|server| server.leads()) {
            if leaders.iter().all(|it| it.vote() != server.vote()) {
                leaders.push(server);
            }
        }
        leaders
    }

    /// Whether a quorum confirms the only leader.
    fn led_by(&self, leading: &AnsweringServer<'_>) -> Finding {
        let agrees =
            |server: &AnsweringServer<'_>| server.is_settled() && server.is_of_the_leadership_of(leading);
        // A server that contradicts itself about the leader does not confirm it.
        let supports = |server: &&AnsweringServer<'_>| {
            agrees(server) && self.answering.iter().filter(|it| it.is_same_server(server)).all(agrees)
        };
        let Vote { leader, epoch, .. } = leading.vote();
        if self.suffice(self.voters().filter(supports)) {
            let followers = self.voters().filter(supports).filter(|it| !it.is_same_server(leading));
            return Finding::Settled { leader, epoch, followers: all(followers) };
        }
        let supporters = all(self.voters().filter(supports));
        let (answering, voters, needed) = self.sizes();
        Finding::LeaderUnconfirmed { leader, epoch, supporters, answering, voters, needed }
    }

    /// The main finding if no server claims leadership.
    fn without_leader(&self) -> Finding {
        if self.suffice(self.voters()) {
            return Finding::Unsettled { looking: all(self.in_state(ServerState::Looking)) };
        }
        let (answering, voters, needed) = self.sizes();
        let voting = self.quorum.iter().flat_map(Quorum::voters);
        let missing = voting.filter(|id| !self.answers(*id)).collect();
        Finding::NoQuorum { answering, voters, needed, missing }
    }

    /// The number of voters that answer, of all voters, and of the smallest quorum.
    fn sizes(&self) -> (usize, usize, usize) {
        match &self.quorum {
            Some(quorum) => (self.counted(self.voters()).len(), quorum.voters().count(), quorum.smallest()),
            None => (self.voters().count(), self.asked, self.asked / 2 + 1),
        }
    }

    /// The ids that gave different answers.
    fn contradictions(&self) -> impl Iterator<Item = Finding> {
        let mut addresses: BTreeMap<ServerId, Vec<String>> = BTreeMap::new();
        for server in &self.answering {
            if let Some(id) = server.id {
                addresses.entry(id).or_default().push(server.address.into());
            }
        }
        let several = addresses.into_iter().filter(|(_, addresses)| addresses.len() > 1);
        several.map(|(id, addresses)| Finding::Contradiction { id, addresses })
    }

    /// The winner if the servers that answer held an election now, unless one of them has a leader.
    fn next(&self) -> Option<Finding> {
        if self.answering.iter().any(AnsweringServer::is_settled) {
            return None;
        }
        let (own, others): (Vec<_>, Vec<_>) = self.voters().partition(|server| server.votes_for_itself());
        if !others.is_empty() {
            let (old_votes, unidentified): (Vec<_>, Vec<_>) =
                others.into_iter().partition(|server| server.id.is_some());
            let (old_votes, unidentified) = (all(old_votes.into_iter()), all(unidentified.into_iter()));
            return Some(Finding::NextUnknown { old_votes, unidentified });
        }
        let eligible = |id| self.quorum.as_ref().is_some_and(|quorum| quorum.is_eligible(id));
        let votes = self.voters().map(AnsweringServer::vote).filter(|vote| eligible(vote.leader));
        let vote = votes.filter(|vote| vote.zxid != Zxid::UNINITIALISED).max()?;
        let unsure = all(own.into_iter().filter(|server| !server.shows_its_own_history()));
        Some(Finding::WouldElect { vote, unsure })
    }

    /// The servers that are looking although there is a leader.
    fn not_joined(&self) -> Option<Finding> {
        let looking = all(self.in_state(ServerState::Looking));
        (!looking.is_empty()).then_some(Finding::NotJoined { looking })
    }

    /// Leaderships that have followers and no leader.
    fn follow_no_leader(&self) -> Vec<Finding> {
        let mut leaderless: BTreeMap<_, Vec<ServerRef>> = BTreeMap::new();
        for server in self.answering.iter().filter(|server| server.is_settled()) {
            let led = |leading: &AnsweringServer<'_>| server.is_of_the_leadership_of(leading);
            if !self.answering.iter().filter(|server| server.leads()).any(led) {
                let leadership = (server.vote().leader, server.vote().epoch);
                leaderless.entry(leadership).or_default().push(server.server_ref.clone());
            }
        }
        let finding = |((leader, epoch), followers)| {
            let itself = self.answering.iter().find(|server| server.id == Some(leader));
            let state = itself.map(|server| server.answer.ballot.state);
            Finding::FollowsNoLeader { leader, epoch, state, followers }
        };
        leaderless.into_iter().map(finding).collect()
    }

    /// Configurations that differ or are not valid.
    fn configs(&self) -> Vec<Finding> {
        let mut differing: Vec<(&EnsembleConfig, Vec<ServerRef>)> = Vec::new();
        let mut findings = Vec::new();
        for server in &self.answering {
            match &server.answer.config {
                None => {}
                Some(Ok(config)) => match differing.iter_mut().find(|it| is_same_ensemble(it.0, config)) {
                    Some((_, servers)) => servers.push(server.server_ref.clone()),
                    None => differing.push((config, vec![server.server_ref.clone()])),
                },
                Some(Err(error)) => findings.push(Finding::ConfigUnreadable {
                    server: server.server_ref.clone(),
                    error: error.clone(),
                }),
            }
        }
        if differing.len() > 1 {
            let versions = differing.into_iter().map(|(config, servers)| (config.version, servers)).collect();
            findings.insert(0, Finding::ConfigsDiffer { versions });
        }
        findings
    }

    /// The servers without an answer, unless they answer at another address.
    fn silent(&self, servers: &[InspectedServer]) -> Vec<Finding> {
        let (mut deaf, mut closed, mut findings) = (Vec::new(), Vec::new(), Vec::new());
        for server in servers.iter().filter(|server| !server.id.is_some_and(|id| self.answers(id))) {
            let server_ref = server.server_ref();
            match &server.outcome {
                Ok(_) => {}
                Err(NoAnswer::Deaf) => deaf.push(server_ref),
                Err(NoAnswer::Closed) => closed.push(server_ref),
                Err(NoAnswer::NotTheProtocol(error)) => {
                    findings.push(Finding::Foreign { server: server_ref, error: error.clone() });
                }
                Err(reason) => {
                    findings.push(Finding::NotReached { server: server_ref, reason: reason.clone() })
                }
            }
        }
        findings.extend((!deaf.is_empty()).then_some(Finding::Deaf { servers: deaf }));
        findings.extend((!closed.is_empty()).then_some(Finding::Closed { servers: closed }));
        findings
    }

    /// The limits of the inspection.
    fn unknown(&self, config: Option<&EnsembleConfig>) -> Option<Finding> {
        let unidentified = all(self.answering.iter().filter(|server| server.id.is_none()));
        if self.answering.iter().all(|server| server.answer.config.is_none()) {
            return (!self.answering.is_empty()).then_some(Finding::NoConfig);
        }
        (config.is_some() && !unidentified.is_empty())
            .then_some(Finding::Unidentified { servers: unidentified })
    }

    fn in_state(&self, state: ServerState) -> impl Iterator<Item = &AnsweringServer<'a>> {
        self.answering.iter().filter(move |server| server.answer.ballot.state == state)
    }

    /// The voters that answer. Without a known id, an observer is recognised by its state and its vote, unless it is looking
    /// again.
    fn voters(&self) -> impl Iterator<Item = &AnsweringServer<'a>> {
        self.answering.iter().filter(|server| match (&self.quorum, server.id) {
            (Some(quorum), Some(id)) => quorum.is_voter(id),
            _ => server.answer.ballot.state != ServerState::Observing && server.vote() != Vote::NONE,
        })
    }

    fn answers(&self, id: ServerId) -> bool {
        self.answering.iter().any(|server| server.id == Some(id))
    }

    /// The ids of these voters. A voter of unknown id takes the place of one that gives no other answer, while there is one.
    fn counted<'b>(&self, answering: impl Iterator<Item = &'b AnsweringServer<'a>>) -> BTreeSet<ServerId>
    where
        'a: 'b,
    {
        let (known, unknown): (Vec<_>, Vec<_>) =
            answering.map(|server| server.id).partition(|id: &Option<ServerId>| id.is_some());
        let others = self.quorum.iter().flat_map(Quorum::voters).filter(|id| !self.answers(*id));
        known.into_iter().flatten().chain(others.take(unknown.len())).collect()
    }

    /// Whether these are a quorum.
    fn suffice<'b>(&self, answering: impl Iterator<Item = &'b AnsweringServer<'a>>) -> bool
    where
        'a: 'b,
    {
        match &self.quorum {
            Some(quorum) => quorum.is_quorum(&self.counted(answering)),
            None => answering.count() > self.asked / 2,
        }
    }
}

impl AnsweringServer<'_> {
    fn is_same_server(&self, other: &Self) -> bool {
        std::ptr::eq(self, other) || self.id.is_some() && self.id == other.id
    }

    fn says_the_same(&self, other: &Self) -> bool {
        (self.answer.ballot, &self.answer.config) == (other.answer.ballot, &other.answer.config)
    }

    fn vote(&self) -> Vote {
        self.answer.ballot.vote
    }

    fn is_settled(&self) -> bool {
        self.answer.ballot.state != ServerState::Looking
    }

    fn is_of_the_leadership_of(&self, leading: &Self) -> bool {
        self.answer.ballot.is_same_leadership(&leading.answer.ballot)
    }

    /// Whether it claims leadership. For a moment after its election a leader still shows its vote from before.
    fn leads(&self) -> bool {
        self.answer.ballot.state == ServerState::Leading && self.id.is_none_or(|id| id == self.vote().leader)
    }

    fn votes_for_itself(&self) -> bool {
        self.id == Some(self.vote().leader)
    }

    /// Whether its vote for itself is certainly the history from its start. Otherwise it may be the vote by which it became
    /// leader, whose epoch began with its leadership and is higher than the zxid's.
    fn shows_its_own_history(&self) -> bool {
        self.vote().zxid.epoch() == self.vote().epoch
    }
}

/// Servers of the configuration without a result.
fn not_asked(config: &EnsembleConfig, servers: &[InspectedServer]) -> Option<Finding> {
    let is_asked = |id: &ServerId| servers.iter().any(|server| server.id == Some(*id));
    let missing: Vec<ServerId> = config.servers.keys().copied().filter(|id| !is_asked(id)).collect();
    (!missing.is_empty()).then_some(Finding::NotAsked { servers: missing })
}

/// How findings name these servers, in the same order.
fn all<'a, 'b: 'a>(answering: impl Iterator<Item = &'a AnsweringServer<'b>>) -> Vec<ServerRef> {
    answering.map(|server| server.server_ref.clone()).collect()
}

/// Whether two configurations mean the same ensemble. A server can have the address `0.0.0.0` in its own configuration and
/// its name in the others: that is no difference. Client addresses are not compared.
fn is_same_ensemble(one: &EnsembleConfig, other: &EnsembleConfig) -> bool {
    let is_same_member = |one: &Member, other: &Member| {
        let open = one.is_unspecified() || other.is_unspecified();
        one.role == other.role && (open || one.addresses == other.addresses)
    };
    one.version == other.version
        && one.servers.keys().eq(other.servers.keys())
        && one.servers.values().zip(other.servers.values()).all(|(one, other)| is_same_member(one, other))
        && (&one.groups, &one.weights) == (&other.groups, &other.weights)
}

#[cfg(test)]
mod tests;
