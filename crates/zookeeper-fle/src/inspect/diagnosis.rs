//! What the answers of an ensemble's servers mean.
//!
//! In come the outcomes of an inspection and the newest configuration among them, out go the findings. Servers are
//! counted by id, each once, however many of its addresses answered. Answers that contradict each other are all kept.

use std::collections::{BTreeMap, BTreeSet};

use super::super::config::{EnsembleConfig, Member};
use super::super::quorum::Quorum;
use super::super::vote::{ServerId, ServerState, Vote, Zxid};
use super::finding::{Finding, Who};
use super::inspection::{Answer, InspectedServer, Silence};

/// The configuration with the highest version among the answers; the first of them.
pub(super) fn newest(servers: &[InspectedServer]) -> Option<&EnsembleConfig> {
    let configs = servers.iter().filter_map(|server| server.outcome.as_ref().ok()?.readable_config());
    configs.reduce(|newest, other| if other.version > newest.version { other } else { newest })
}

/// What these outcomes mean, the main thing first.
pub(super) fn diagnose(servers: &[InspectedServer], config: Option<&EnsembleConfig>) -> Vec<Finding> {
    let ensemble = Ensemble::of(servers, config);
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

/// The answers, each server's once unless it contradicts itself, and how they are counted.
struct Ensemble<'a> {
    voices: Vec<Voice<'a>>,
    /// `None` where no configuration is known: then the majority of those who were asked counts.
    quorum: Option<Quorum>,
    asked: usize,
}

/// A server that answers.
struct Voice<'a> {
    id: Option<ServerId>,
    address: &'a str,
    /// By its address where another voice has the same id.
    who: Who,
    answer: &'a Answer,
}

impl<'a> Ensemble<'a> {
    fn of(servers: &'a [InspectedServer], config: Option<&EnsembleConfig>) -> Self {
        let mut voices: Vec<Voice<'a>> = Vec::new();
        for server in servers {
            let Ok(answer) = &server.outcome else { continue };
            let voice = Voice { id: server.id, address: &server.address, who: server.who(), answer };
            if !voices.iter().any(|it| it.is_same_server(&voice) && it.says_the_same(&voice)) {
                voices.push(voice);
            }
        }
        let ids: Vec<Option<ServerId>> = voices.iter().map(|voice| voice.id).collect();
        for voice in voices.iter_mut().filter(|voice| voice.id.is_some()) {
            if ids.iter().filter(|id| **id == voice.id).count() > 1 {
                voice.who = Who::At(voice.address.into());
            }
        }
        Self { voices, quorum: config.map(Quorum::of), asked: servers.len() }
    }

    /// The main thing.
    fn verdict(&self) -> Finding {
        if self.voices.is_empty() {
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

    /// Those who lead. With an equal vote it is the same leader, asked before and after a reconfiguration, say.
    fn leaders(&self) -> Vec<&Voice<'a>> {
        let mut leaders: Vec<&Voice<'a>> = Vec::new();
        for voice in self.voices.iter().filter(|voice| voice.leads()) {
            if leaders.iter().all(|it| it.vote() != voice.vote()) {
                leaders.push(voice);
            }
        }
        leaders
    }

    /// Whether a quorum confirms the only leader.
    fn led_by(&self, leading: &Voice<'_>) -> Finding {
        let agrees = |voice: &Voice<'_>| voice.is_settled() && voice.is_of_the_leadership_of(leading);
        // Who contradicts itself about that confirms nothing.
        let supports = |voice: &&Voice<'_>| {
            agrees(voice) && self.voices.iter().filter(|it| it.is_same_server(voice)).all(agrees)
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

    /// Whether those who answer could elect a leader.
    fn without_leader(&self) -> Finding {
        if self.suffice(self.voters()) {
            return Finding::Unsettled { looking: all(self.in_state(ServerState::Looking)) };
        }
        let (answering, voters, needed) = self.sizes();
        let voting = self.quorum.iter().flat_map(Quorum::voters);
        let missing = voting.filter(|id| !self.answers(*id)).collect();
        Finding::NoQuorum { answering, voters, needed, missing }
    }

    /// How many voters answer, how many there are, and how many a quorum takes at least.
    fn sizes(&self) -> (usize, usize, usize) {
        match &self.quorum {
            Some(quorum) => (self.counted(self.voters()).len(), quorum.voters().count(), quorum.smallest()),
            None => (self.voters().count(), self.asked, self.asked / 2 + 1),
        }
    }

    /// Ids by which different answers came.
    fn contradictions(&self) -> impl Iterator<Item = Finding> {
        let mut addresses: BTreeMap<ServerId, Vec<String>> = BTreeMap::new();
        for voice in &self.voices {
            if let Some(id) = voice.id {
                addresses.entry(id).or_default().push(voice.address.into());
            }
        }
        let several = addresses.into_iter().filter(|(_, addresses)| addresses.len() > 1);
        several.map(|(id, addresses)| Finding::Contradiction { id, addresses })
    }

    /// Whom those who answer would elect, where nobody has a leader.
    fn next(&self) -> Option<Finding> {
        if self.voices.iter().any(Voice::is_settled) {
            return None;
        }
        let (own, others): (Vec<_>, Vec<_>) = self.voters().partition(|voice| voice.votes_for_itself());
        if !others.is_empty() {
            let (showing, unidentified): (Vec<_>, Vec<_>) =
                others.into_iter().partition(|voice| voice.id.is_some());
            let (showing, unidentified) = (all(showing.into_iter()), all(unidentified.into_iter()));
            return Some(Finding::NextUnknown { showing, unidentified });
        }
        let eligible = |id| self.quorum.as_ref().is_some_and(|quorum| quorum.is_eligible(id));
        let votes = self.voters().map(Voice::vote).filter(|vote| eligible(vote.leader));
        let vote = votes.filter(|vote| vote.zxid != Zxid::UNINITIALISED).max()?;
        let unsure = all(own.into_iter().filter(|voice| !voice.shows_its_own_history()));
        Some(Finding::WouldElect { vote, unsure })
    }

    /// Those who still look for a leader, although there is one.
    fn not_joined(&self) -> Option<Finding> {
        let looking = all(self.in_state(ServerState::Looking));
        (!looking.is_empty()).then_some(Finding::NotJoined { looking })
    }

    /// Leaderships that have followers only.
    fn follow_no_leader(&self) -> Vec<Finding> {
        let mut leaderless: BTreeMap<_, Vec<Who>> = BTreeMap::new();
        for voice in self.voices.iter().filter(|voice| voice.is_settled()) {
            let led = |leading: &Voice<'_>| voice.is_of_the_leadership_of(leading);
            if !self.voices.iter().filter(|voice| voice.leads()).any(led) {
                let leadership = (voice.vote().leader, voice.vote().epoch);
                leaderless.entry(leadership).or_default().push(voice.who.clone());
            }
        }
        let finding = |((leader, epoch), followers)| {
            let itself = self.voices.iter().find(|voice| voice.id == Some(leader));
            let says = itself.map(|voice| voice.answer.ballot.state);
            Finding::FollowsNoLeader { leader, epoch, says, followers }
        };
        leaderless.into_iter().map(finding).collect()
    }

    /// Configurations that differ or that cannot be read.
    fn configs(&self) -> Vec<Finding> {
        let mut differing: Vec<(&EnsembleConfig, Vec<Who>)> = Vec::new();
        let mut findings = Vec::new();
        for voice in &self.voices {
            match &voice.answer.config {
                None => {}
                Some(Ok(config)) => match differing.iter_mut().find(|it| is_same_ensemble(it.0, config)) {
                    Some((_, who)) => who.push(voice.who.clone()),
                    None => differing.push((config, vec![voice.who.clone()])),
                },
                Some(Err(error)) => {
                    findings.push(Finding::ConfigUnreadable { who: voice.who.clone(), error: error.clone() })
                }
            }
        }
        if differing.len() > 1 {
            let versions = differing.into_iter().map(|(config, who)| (config.version, who)).collect();
            findings.insert(0, Finding::ConfigsDiffer { versions });
        }
        findings
    }

    /// Those who say nothing, unless they answer at another address.
    fn silent(&self, servers: &[InspectedServer]) -> Vec<Finding> {
        let (mut deaf, mut closed, mut findings) = (Vec::new(), Vec::new(), Vec::new());
        for server in servers.iter().filter(|server| !server.id.is_some_and(|id| self.answers(id))) {
            let who = server.who();
            match &server.outcome {
                Ok(_) => {}
                Err(Silence::Deaf) => deaf.push(who),
                Err(Silence::Closed) => closed.push(who),
                Err(Silence::NotTheProtocol(error)) => {
                    findings.push(Finding::Foreign { who, error: error.clone() });
                }
                Err(why) => findings.push(Finding::NotReached { who, why: why.clone() }),
            }
        }
        findings.extend((!deaf.is_empty()).then_some(Finding::Deaf { who: deaf }));
        findings.extend((!closed.is_empty()).then_some(Finding::Closed { who: closed }));
        findings
    }

    /// What the inspection could not know.
    fn unknown(&self, config: Option<&EnsembleConfig>) -> Option<Finding> {
        let unidentified = all(self.voices.iter().filter(|voice| voice.id.is_none()));
        if self.voices.iter().all(|voice| voice.answer.config.is_none()) {
            return (!self.voices.is_empty()).then_some(Finding::NoConfig);
        }
        (config.is_some() && !unidentified.is_empty()).then_some(Finding::Unidentified { who: unidentified })
    }

    fn in_state(&self, state: ServerState) -> impl Iterator<Item = &Voice<'a>> {
        self.voices.iter().filter(move |voice| voice.answer.ballot.state == state)
    }

    /// Those who answer and have a vote. Where it is not known who it is, its state and its vote show an observer, unless
    /// it looks for a leader again.
    fn voters(&self) -> impl Iterator<Item = &Voice<'a>> {
        self.voices.iter().filter(|voice| match (&self.quorum, voice.id) {
            (Some(quorum), Some(id)) => quorum.is_voter(id),
            _ => voice.answer.ballot.state != ServerState::Observing && voice.vote() != Vote::NONE,
        })
    }

    fn answers(&self, id: ServerId) -> bool {
        self.voices.iter().any(|voice| voice.id == Some(id))
    }

    /// The voters that these are. Those whose id is not known are taken for voters of whom there is no other answer, as far
    /// as there are any.
    fn counted<'b>(&self, voices: impl Iterator<Item = &'b Voice<'a>>) -> BTreeSet<ServerId>
    where
        'a: 'b,
    {
        let (known, unknown): (Vec<_>, Vec<_>) =
            voices.map(|voice| voice.id).partition(|id: &Option<ServerId>| id.is_some());
        let others = self.quorum.iter().flat_map(Quorum::voters).filter(|id| !self.answers(*id));
        known.into_iter().flatten().chain(others.take(unknown.len())).collect()
    }

    /// Whether these are enough to elect a leader.
    fn suffice<'b>(&self, voices: impl Iterator<Item = &'b Voice<'a>>) -> bool
    where
        'a: 'b,
    {
        match &self.quorum {
            Some(quorum) => quorum.is_quorum(&self.counted(voices)),
            None => voices.count() > self.asked / 2,
        }
    }
}

impl Voice<'_> {
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

    /// Whether it says that it leads. For a moment after its election a leader still shows its vote before that.
    fn leads(&self) -> bool {
        self.answer.ballot.state == ServerState::Leading && self.id.is_none_or(|id| id == self.vote().leader)
    }

    fn votes_for_itself(&self) -> bool {
        self.id == Some(self.vote().leader)
    }

    /// Whether a vote for itself is certainly what its sender had on disk when it started. If not, then maybe the vote by
    /// which it became leader: the epoch of that is the one which began with its leadership, after the zxid.
    fn shows_its_own_history(&self) -> bool {
        self.vote().zxid.epoch() == self.vote().epoch
    }
}

/// Servers of the configuration of which there is neither an answer nor a reason why not.
fn not_asked(config: &EnsembleConfig, servers: &[InspectedServer]) -> Option<Finding> {
    let is_asked = |id: &ServerId| servers.iter().any(|server| server.id == Some(*id));
    let missing: Vec<ServerId> = config.servers.keys().copied().filter(|id| !is_asked(id)).collect();
    (!missing.is_empty()).then_some(Finding::NotAsked { servers: missing })
}

/// Names of these, in their order.
fn all<'a, 'b: 'a>(voices: impl Iterator<Item = &'a Voice<'b>>) -> Vec<Who> {
    voices.map(|voice| voice.who.clone()).collect()
}

/// Whether two configurations mean the same. A server that is to listen on all its addresses is configured as `0.0.0.0` on
/// its own machine, and by its name on the others: that is no difference. Where clients are served is its own business.
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
