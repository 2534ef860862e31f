//! Turns the trace of a simulation into sentences.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use zookeeper_fle::simulator::{Effect, EventKind, Network, Reason, Simulation, TraceEvent};
use zookeeper_fle::{
    Elector, Epoch, History, Notification, Quorum, Round, ServerId, ServerState, Vote, Zxid,
};

use crate::table::Table;

/// Runs an ensemble and narrates its trace.
pub(crate) struct Teller {
    pub(crate) ensemble: Simulation,
    text: String,
    table: Table,
    /// The number of trace events narrated so far.
    told: usize,
    /// The state of each server's election after the last sentence about it.
    known: BTreeMap<ServerId, Known>,
    /// The servers of which the text says that they try again, since their round began.
    repeats: BTreeSet<ServerId>,
}

/// The state of a server's election.
#[derive(Clone, Copy, Default)]
struct Known {
    proposal: Option<Vote>,
    round: Option<Round>,
    saw_quorum: bool,
}

impl Teller {
    /// An ensemble of this many servers, none of which runs. A message takes 10 ms, or with a seed 1 to 30 ms.
    pub(crate) fn new(servers: i64, seed: Option<u64>) -> Self {
        let milliseconds = if seed.is_some() { 1..=30 } else { 10..=10 };
        let (shortest, longest) = (*milliseconds.start(), *milliseconds.end());
        let delay = Duration::from_millis(shortest)..=Duration::from_millis(longest);
        let quorum = Quorum::majority((1..=servers).map(ServerId));
        let network = Network { delay, ..Network::default() };
        Self {
            ensemble: Simulation::new(quorum, seed.unwrap_or(0)).with_network(network),
            text: String::new(),
            table: Table::default(),
            told: 0,
            known: BTreeMap::new(),
            repeats: BTreeSet::new(),
        }
    }

    /// Adds a remark between the events.
    pub(crate) fn say(&mut self, text: &str) {
        let _ = writeln!(self.text, "\n  {text}\n");
    }

    pub(crate) fn start(&mut self, ids: impl IntoIterator<Item = i64>) {
        ids.into_iter().for_each(|id| self.ensemble.start(ServerId(id)));
        self.run_for(Duration::ZERO);
    }

    pub(crate) fn crash(&mut self, id: i64) {
        self.ensemble.crash(ServerId(id));
        self.run_for(Duration::ZERO);
    }

    /// Lets time pass, and narrates the events.
    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.ensemble.now() + time;
        loop {
            let (left, told) = (end - self.ensemble.now(), self.told);
            if !self.ensemble.run_until(left, |it| it.trace().len() > told) {
                return;
            }
            // Events of the same time are narrated together.
            self.ensemble.run_for(Duration::ZERO);
            self.tell_moment();
        }
    }

    /// The story, with its tables.
    pub(crate) fn end(self) -> String {
        format!("{}\n{}", self.text, self.table.render())
    }

    fn tell_moment(&mut self) {
        let trace = self.ensemble.trace()[self.told..].to_vec();
        self.told += trace.len();
        let mut of: BTreeMap<ServerId, Vec<&EventKind>> = BTreeMap::new();
        for TraceEvent { server, kind, .. } in &trace {
            of.entry(*server).or_default().push(kind);
        }
        let now = self.ensemble.now().as_millis();
        for (server, kinds) in of {
            let sentences = self.sentences(server, &kinds);
            if !sentences.is_empty() {
                self.write(&format!("{now:>8} ms  Server {server} {}", sentences.join(" ")));
            }
        }
        trace.iter().for_each(|it| self.table.take(it));
    }

    /// Adds a line, broken where it gets too long.
    fn write(&mut self, line: &str) {
        let mut width = 0;
        for word in line.split_inclusive(' ') {
            if width + word.trim_end().len() > 110 {
                self.text.truncate(self.text.trim_end().len());
                self.text.push_str("\n             ");
                width = 13;
            }
            self.text.push_str(word);
            width += word.len();
        }
        self.text.push('\n');
    }

    /// The sentences about a server's events of one time. The first continues after the server's name.
    fn sentences(&mut self, server: ServerId, kinds: &[&EventKind]) -> Vec<String> {
        let Known { mut proposal, saw_quorum, .. } = self.known.get(&server).copied().unwrap_or_default();
        let (mut sentences, mut no_better) = (Vec::new(), Vec::new());
        for kind in kinds {
            if let EventKind::Received { from, notification, effect: Effect::NotBetter | Effect::TooLate } =
                kind
            {
                no_better.push(format!("{from} for {}", notification.vote.leader));
                continue;
            }
            if let Some(sentence) = self.sentence(server, kind, &mut proposal) {
                sentences.push(sentence);
            }
        }
        if !no_better.is_empty() {
            sentences.push(format!("hears {}.", listed(&no_better)));
        }
        let elector = self.ensemble.server(server).and_then(|it| it.elector());
        let sees_quorum = elector.is_some_and(Elector::is_finalizing);
        if let (Some(elector), true, false) = (elector, sees_quorum, saw_quorum) {
            sentences.push(quorum(elector));
        }
        let round = elector.map(Elector::round);
        let proposal = elector.and_then(Elector::proposal);
        self.known.insert(server, Known { proposal, round, saw_quorum: sees_quorum });
        let mut said = BTreeSet::new();
        sentences.retain(|it| said.insert(it.clone()));
        // "It" from the second on; the first stands after the name.
        for sentence in sentences.iter_mut().skip(1).filter(|it| it.starts_with(char::is_lowercase)) {
            *sentence = format!("It {sentence}");
        }
        sentences
    }

    fn sentence(
        &mut self,
        server: ServerId,
        kind: &EventKind,
        proposal: &mut Option<Vote>,
    ) -> Option<String> {
        let sentence = match kind {
            EventKind::Started(history) => format!("starts {}.", with(*history)),
            EventKind::Crashed => "crashes.".into(),
            EventKind::RoundStarted { round, vote } => {
                *proposal = Some(*vote);
                self.repeats.remove(&server);
                format!("begins round {round} and votes for itself.")
            }
            EventKind::Broadcast(_) | EventKind::Connecting => return self.repetition(server, kind),
            EventKind::Received { from, notification, effect } => {
                let sentence =
                    hears(*from, notification, *effect, *proposal, self.ensemble.server(server)?.elector()?);
                if *effect == Effect::Adopted {
                    *proposal = Some(notification.vote);
                }
                sentence?
            }
            EventKind::Decided { decision, reason: Reason::Votes }
                if decision.state == ServerState::Leading =>
            {
                "has heard nothing better: it leads.".into()
            }
            EventKind::Decided { decision, reason: Reason::Votes } => {
                format!("has heard nothing better: it follows {}.", decision.vote.leader)
            }
            EventKind::Established { epoch } => format!("has a quorum of followers: epoch {epoch} begins."),
            EventKind::Refused { by } => format!("gives up: {by} knows more."),
            EventKind::LeaderLost { leader } => format!("has lost its leader {leader}."),
            EventKind::FollowersLost => "gives up: no quorum follows it.".into(),
            _ => return None,
        };
        Some(sentence)
    }

    /// The sentence about the first repetition of a vote in a round.
    fn repetition(&mut self, server: ServerId, kind: &EventKind) -> Option<String> {
        let known = self.known.get(&server)?;
        let again = match kind {
            EventKind::Broadcast(said) => {
                known.proposal == Some(said.vote) && known.round == Some(said.round)
            }
            _ => true,
        };
        let first = again && self.repeats.insert(server);
        first.then(|| "has heard nobody for a while: it tries again, and less and less often.".into())
    }
}

fn hears(
    from: ServerId,
    heard: &Notification,
    effect: Effect,
    proposal: Option<Vote>,
    after: &Elector,
) -> Option<String> {
    let Notification { vote, round, state, .. } = heard;
    let leader = vote.leader;
    let does = if *state == ServerState::Leading { "leads".into() } else { format!("follows {leader}") };
    Some(match effect {
        Effect::Adopted => {
            let reason =
                proposal.map_or_else(String::new, |proposal| format!(": {}", better(*vote, proposal)));
            format!("hears {from} vote for {leader}{reason}. It votes for {leader} too.")
        }
        Effect::LaterRound => {
            let own = after.proposal().map_or_else(|| "nobody".into(), |it| it.leader.to_string());
            format!(
                "hears that {from} is in round {round} already, with a vote for {leader}. It forgets its own round and all votes, \
                 goes over, and votes for {own}."
            )
        }
        Effect::EarlierRound => format!("hears that {from} is still in round {round}, and tells it better."),
        Effect::Recorded => format!("learns that {from} {does} already."),
        Effect::Joined => {
            format!("learns that {from} {does} already, as a quorum does: it follows {leader} at once.")
        }
        Effect::Replied => {
            let current = after.current().leader;
            let own = if current == after.id() { "it leads".into() } else { format!("it follows {current}") };
            format!("hears {from} look for a leader, and answers that {own}.")
        }
        _ => return None,
    })
}

fn quorum(elector: &Elector) -> String {
    let Some(proposal) = elector.proposal() else { return String::new() };
    let voters = elector.votes().filter(|(_, vote)| *vote == proposal);
    let voters: Vec<String> = voters.map(|(id, _)| id.to_string()).collect();
    format!("{} want {}: a quorum. It waits 200 ms for a better vote.", listed(&voters), proposal.leader)
}

/// The reason why a vote beats another.
fn better(vote: Vote, over: Vote) -> String {
    if vote.epoch != over.epoch {
        format!("a later epoch, {} against {}", vote.epoch, over.epoch)
    } else if vote.zxid != over.zxid {
        format!("a later transaction, {} against {}", vote.zxid, over.zxid)
    } else {
        "as good a history, and the greater id".into()
    }
}

fn with(History { epoch, zxid }: History) -> String {
    if (epoch, zxid) == (Epoch(0), Zxid(0)) {
        "without any history".into()
    } else {
        format!("with epoch {epoch} and transaction {zxid}")
    }
}

/// `1, 2 and 3`.
fn listed(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
