//! What holds under all faults, read from what happened.

use super::faults::FaultyRun;
use super::*;

const SEEDS: std::ops::Range<u64> = 0..3000;

/// What has been said so far in a run.
#[derive(Default)]
struct SentVotes {
    /// With what each server began its election.
    initial: BTreeMap<ServerId, Vote>,
    /// What each server put forward last since it began: the round and the vote.
    last: BTreeMap<ServerId, (Round, Vote)>,
    /// Who ever put forward this vote in this round, and the best history that such a server began with.
    supporters: BTreeMap<(Round, Vote), (BTreeSet<ServerId>, History)>,
    /// Who has ever settled on this server.
    settled: BTreeMap<ServerId, BTreeSet<ServerId>>,
    /// Who has ever led.
    led: BTreeSet<ServerId>,
}

impl SentVotes {
    /// Goes through a run; `check` sees what was said before each happening, and says whether it applies to it. Says to
    /// how many it applied.
    fn check(run: &FaultyRun, check: impl Fn(&Self, &TraceEvent) -> bool) -> usize {
        let mut said = Self::default();
        let trace = run.ensemble.trace().iter();
        trace.filter(|event| said.check_and_take(event, &check)).count()
    }

    fn check_and_take(&mut self, event: &TraceEvent, check: impl Fn(&Self, &TraceEvent) -> bool) -> bool {
        let server = event.server;
        if let EventKind::Broadcast(notification) = &event.kind {
            let Notification { vote, round, .. } = *notification;
            let initial = self.initial[&server];
            let initial = History { epoch: initial.epoch, zxid: initial.zxid };
            let (supporters, best) =
                self.supporters.entry((round, vote)).or_insert((BTreeSet::new(), initial));
            supporters.insert(server);
            *best = initial.max(*best);
        }
        let applies = check(self, event);
        match event.kind {
            EventKind::RoundStarted { vote, .. } => {
                self.initial.insert(server, vote);
                self.last.remove(&server);
            }
            EventKind::Broadcast(Notification { vote, round, .. }) => {
                self.last.insert(server, (round, vote));
            }
            EventKind::Decided { decision, .. } => {
                self.settled.entry(decision.vote.leader).or_default().insert(server);
                if decision.state == ServerState::Leading {
                    self.led.insert(server);
                }
            }
            _ => {}
        }
        applies
    }

    fn supporters(&self, decision: &Decision) -> (BTreeSet<ServerId>, Option<History>) {
        match self.supporters.get(&(decision.round, decision.vote)) {
            Some((supporters, best)) => (supporters.clone(), Some(*best)),
            None => (BTreeSet::new(), None),
        }
    }
}

/// Checks whatever the check applies to in many runs, and that this is not too little to show anything.
fn for_all_faults(at_least: usize, check: impl Fn(&FaultyRun, &SentVotes, &TraceEvent) -> bool) {
    let mut applied = 0;
    for seed in SEEDS {
        let run = FaultyRun::of(seed);
        applied += SentVotes::check(&run, |said, event| check(&run, said, event));
    }
    assert!(applied >= at_least, "{applied} are too few to show anything");
}

/// Of all who have put the winner forward none knows more than it. Who has settled on it may know more: it has joined.
#[test]
fn the_winner_s_history_is_at_least_that_of_each_supporter() {
    for_all_faults(10_000, |run, said, event| {
        let EventKind::Decided { decision, reason: Reason::Votes } = &event.kind else { return false };
        let Vote { epoch, zxid, .. } = decision.vote;
        let (_, best) = said.supporters(decision);
        let at_least = best.is_some_and(|best| History { epoch, zxid } >= best);
        assert!(at_least, "seed {}: {event}, supported from {best:?}", run.seed);
        true
    });
}

/// As with ZooKeeper, who has settled on the winner counts too if it says the same vote in the same round, though it may
/// never have put it forward but have joined.
#[test]
fn a_decision_by_votes_has_had_a_quorum() {
    for_all_faults(10_000, |run, said, event| {
        let EventKind::Decided { decision, reason: Reason::Votes } = &event.kind else { return false };
        let (mut with, _) = said.supporters(decision);
        with.extend(said.settled.get(&decision.vote.leader).into_iter().flatten());
        assert!(run.members.is_quorum(&with), "seed {}: {event} with {with:?}", run.seed);
        true
    });
}

#[test]
fn who_joins_a_leader_joins_a_quorum_and_one_who_has_led() {
    for_all_faults(700, |run, said, event| {
        let EventKind::Decided { decision, reason: Reason::Joining } = &event.kind else { return false };
        let leader = decision.vote.leader;
        let (mut with, _) = said.supporters(decision);
        with.extend(said.settled.get(&leader).into_iter().flatten());
        assert!(run.members.is_quorum(&with), "seed {}: {event} with {with:?}", run.seed);
        let led = leader == event.server || said.led.contains(&leader);
        assert!(led, "seed {}: {event}, who never led", run.seed);
        true
    });
}

#[test]
fn proposals_and_rounds_only_rise_while_a_server_looks() {
    for_all_faults(25_000, |run, said, event| {
        let EventKind::Broadcast(Notification { vote, round, .. }) = &event.kind else { return false };
        let Some(last) = said.last.get(&event.server) else { return false };
        let risen = *round > last.0 || (*round == last.0 && *vote >= last.1);
        assert!(risen, "seed {}: {event} after {last:?}", run.seed);
        true
    });
}

/// The first server to send a vote sends the history that it started with, until another server sends the same vote. Later a server may take over
/// even a vote for itself: if it has crashed, and come back with less, from those who still vote for what it was.
#[test]
fn who_is_proposed_in_a_round_has_proposed_itself_in_that_round_with_that_history() {
    for_all_faults(40_000, |run, said, event| {
        let EventKind::Broadcast(Notification { vote, round, .. }) = &event.kind else { return false };
        let (supporters, _) = &said.supporters[&(*round, *vote)];
        assert!(supporters.contains(&vote.leader), "seed {}: {event}, alone", run.seed);
        let first = supporters.len() > 1 || said.initial[&event.server] == *vote;
        assert!(first, "seed {}: {event}, but began otherwise", run.seed);
        true
    });
}

/// With the stand-in for Zab, and by what it refuses: the election alone does not give that.
#[test]
fn an_epoch_is_established_once_and_with_all_that_was_written() {
    let (mut written, mut in_step) = (0, 0);
    for seed in SEEDS {
        let run = FaultyRun::of(seed);
        written += run.written.len();
        let mut epochs = BTreeSet::new();
        for (index, event) in run.ensemble.trace().iter().enumerate() {
            match event.kind {
                EventKind::Established { epoch } => assert!(epochs.insert(epoch), "seed {seed}: {event}"),
                EventKind::Synchronised { history } => {
                    let before = run.written.iter().filter(|(before, _)| *before <= index).map(|(_, it)| it);
                    let lost = before.max().filter(|last| **last > history);
                    assert_eq!(lost, None, "seed {seed}: {event}");
                    in_step += 1;
                }
                _ => {}
            }
        }
    }
    assert!(
        written > 2000 && in_step > 5000,
        "{written} writes, {in_step} in step: too few to show anything"
    );
}
