//! Whom a network without faults settles on, and that it settles.

use super::faults::FaultyRun;
use super::*;
use crate::elector::FINALIZE_WAIT;

/// Together: the time between the first start and the last, and the longest message, are less than the wait for a
/// better vote.
#[test]
fn servers_that_start_together_settle_on_the_best_of_them() {
    for seed in 0..2000 {
        let mut rng = Rng::with_seed(seed);
        let members = Members::random(&mut rng);
        let span = up_to(FINALIZE_WAIT - MILLISECOND, &mut rng);
        let longest = up_to(FINALIZE_WAIT - MILLISECOND - span, &mut rng);
        let network = Network { delay: Duration::ZERO..=longest, ..Network::default() };
        let mut ensemble = with_random_histories(&members, seed, &mut rng).with_network(network);
        let started = members.some_quorum(&mut rng);
        for id in &started {
            ensemble.start_after(*id, up_to(span, &mut rng));
        }
        ensemble.run_for(span);
        assert!(ensemble.run_until(Duration::from_secs(10), Simulation::is_settled), "seed {seed}");
        let candidates = started.iter().copied().filter(|id| members.can_lead(*id));
        let best = candidates.max_by_key(|id| (first_history(&ensemble, *id), *id));
        assert_eq!(ensemble.leader(), best, "seed {seed}");
        let decided: Vec<_> = decisions(&ensemble).map(|(id, ..)| id).collect();
        assert_eq!(decided.len(), started.len(), "seed {seed}: everybody decides once: {decided:?}");
    }
}

#[test]
fn when_the_faults_are_over_everybody_settles() {
    for seed in 0..1000 {
        let mut run = FaultyRun::of(seed);
        assert!(run.calm(), "seed {seed}");
    }
}

#[test]
fn a_late_server_deposes_nobody_even_with_a_better_history() {
    for seed in 0..1000 {
        let mut rng = Rng::with_seed(seed);
        let members = Members::majority(rng.i64(3..=7));
        let mut ensemble = with_random_histories(&members, seed, &mut rng);
        let late = ServerId(rng.i64(1..=members.members.len() as i64));
        for id in members.ids().filter(|id| *id != late) {
            ensemble.start(id);
        }
        assert!(ensemble.run_until(Duration::from_secs(10), Simulation::is_settled), "seed {seed}");
        let leader = ensemble.leader();
        let epoch = ensemble.server(leader.unwrap()).unwrap().established();
        let before = ensemble.trace().len();

        let history = History { epoch: Epoch(9), zxid: Zxid(Epoch(9).first_zxid().0 + 9) };
        let better = rng.bool();
        if better {
            ensemble = ensemble.with_history(late, history);
        }
        ensemble.start(late);
        ensemble.run_for(Duration::from_secs(10));
        for event in &ensemble.trace()[before..] {
            let unsettles = event.server != late
                && matches!(
                    event.kind,
                    EventKind::Decided { .. }
                        | EventKind::RoundStarted { .. }
                        | EventKind::LeaderLost { .. }
                        | EventKind::FollowersLost
                );
            assert!(!unsettles, "seed {seed}: {event}");
        }
        let now = ensemble.server(leader.unwrap()).unwrap().established();
        assert_eq!((ensemble.server(late).unwrap().leader(), now), (leader, epoch), "seed {seed}, {better}");
    }
}

/// With random groups and weights too. The network may lose what it wants.
#[test]
fn who_is_cut_off_from_any_quorum_before_the_round_never_decides() {
    let mut cut_off = 0;
    for seed in 0..2000 {
        let mut rng = Rng::with_seed(seed);
        let members = Members::random(&mut rng);
        let minority = members.some(0.4, &mut rng);
        if members.is_quorum(&minority) {
            continue;
        }
        cut_off += usize::from(!minority.is_empty());
        let delay = Duration::ZERO..=MILLISECOND * 100;
        let network = Network { delay, loss: [0.0, 0.1][rng.usize(0..2)], handshake: 0 };
        let mut ensemble = with_random_histories(&members, seed, &mut rng).with_network(network);
        let (few, many): (Vec<_>, Vec<_>) = members.ids().partition(|id| minority.contains(id));
        ensemble.partition(&[&few, &many]);
        for id in members.ids() {
            ensemble.start_after(id, up_to(MILLISECOND * 500, &mut rng));
        }
        for _ in 0..5 {
            ensemble.run_for(up_to(Duration::from_secs(2), &mut rng));
            let id = few.get(rng.usize(0..members.members.len())).copied();
            if let Some(id) = id {
                ensemble.crash(id);
                ensemble.start(id);
            }
        }
        let decided = decisions(&ensemble).find(|(id, ..)| minority.contains(id));
        assert_eq!(decided, None, "seed {seed}: {members:?}");
    }
    assert!(cut_off > 1000, "{cut_off} minorities are too few to show anything");
}

/// What a server had on its disk when it started first.
fn first_history(ensemble: &Simulation, id: ServerId) -> History {
    let started = ensemble.trace().iter().find_map(|it| match it.kind {
        EventKind::Started(history) if it.server == id => Some(history),
        _ => None,
    });
    started.expect("it started")
}
