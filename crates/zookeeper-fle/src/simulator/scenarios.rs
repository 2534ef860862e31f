//! The worked examples, and what the election alone does not prevent.

use super::*;
use crate::elector::{FINALIZE_WAIT, LONGEST_WAIT};

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

fn server(id: i64) -> ServerId {
    ServerId(id)
}

fn fresh(servers: i64, seed: u64) -> Simulation {
    Simulation::new(Quorum::majority((1..=servers).map(ServerId)), seed)
}

const fn history(epoch: i64, zxid: i64) -> History {
    History { epoch: Epoch(epoch), zxid: Zxid(zxid) }
}

fn state(ensemble: &Simulation, id: i64) -> Option<ServerState> {
    ensemble.server(server(id)).and_then(SimulatedServer::state)
}

fn elector(ensemble: &Simulation, id: i64) -> &Elector {
    ensemble.server(server(id)).and_then(SimulatedServer::elector).expect("it runs")
}

fn proposed(ensemble: &Simulation, id: i64) -> Option<i64> {
    elector(ensemble, id).proposal().map(|vote| vote.leader.0)
}

fn round(ensemble: &Simulation, id: i64) -> i64 {
    elector(ensemble, id).round().0
}

fn start(ensemble: &mut Simulation, ids: impl IntoIterator<Item = i64>) {
    ids.into_iter().for_each(|id| ensemble.start(server(id)));
}

fn settles(ensemble: &mut Simulation) -> i64 {
    assert!(ensemble.run_until(SECOND * 10, Simulation::is_settled));
    ensemble.leader().expect("all follow one").0
}

#[test]
fn of_five_fresh_servers_started_one_by_one_the_third_leads() {
    for seed in 0..50 {
        let mut ensemble = fresh(5, seed);
        start(&mut ensemble, [1]);
        ensemble.run_for(SECOND * 5);
        assert_eq!(proposed(&ensemble, 1), Some(1));
        start(&mut ensemble, [2]);
        ensemble.run_for(SECOND * 5);
        assert_eq!([1, 2].map(|id| proposed(&ensemble, id)), [Some(2); 2]);
        for (id, leader) in [(3, 3), (4, 3), (5, 3)] {
            start(&mut ensemble, [id]);
            assert_eq!(settles(&mut ensemble), leader, "seed {seed}");
        }
        assert_eq!((1..=5).map(|id| round(&ensemble, id)).max(), Some(1));
    }
}

#[test]
fn of_three_fresh_servers_started_one_by_one_the_second_leads() {
    for seed in 0..50 {
        let mut ensemble = fresh(3, seed);
        for (id, settled) in [(1, None), (2, Some(2)), (3, Some(2))] {
            start(&mut ensemble, [id]);
            ensemble.run_for(SECOND);
            let leader = ensemble.leader().map(|it| it.0);
            assert_eq!(leader, settled, "seed {seed}");
        }
    }
}

#[test]
fn a_higher_zxid_goes_before_a_higher_id_and_a_higher_epoch_before_a_higher_zxid() {
    for seed in 0..50 {
        let with = |first, third| {
            let second = history(1, 0x1_0000_0002);
            let histories = [(1, first), (2, second), (3, third)];
            let mut ensemble = histories
                .iter()
                .fold(fresh(3, seed), |it, (id, history)| it.with_history(server(*id), *history));
            start(&mut ensemble, 1..=3);
            settles(&mut ensemble)
        };
        assert_eq!(with(history(1, 0x1_0000_0008), history(1, 0x1_0000_0002)), 1, "seed {seed}");
        assert_eq!(with(history(2, 0x1_0000_0001), history(1, 0x1_0000_0009)), 1, "seed {seed}");
    }
}

#[test]
fn a_server_whose_round_is_behind_drops_its_votes_and_goes_over_to_the_later_round() {
    for seed in 0..50 {
        let mut ensemble = fresh(3, seed);
        start(&mut ensemble, [1, 2]);
        settles(&mut ensemble);
        ensemble.crash(server(2));
        assert!(ensemble.run_until(SECOND * 5, |it| state(it, 1) == Some(ServerState::Looking)));
        assert_eq!(round(&ensemble, 1), 2);
        // 3 begins in round 1. Its history is the worse one.
        start(&mut ensemble, [3]);
        assert_eq!(settles(&mut ensemble), 1, "seed {seed}");
        assert_eq!(round(&ensemble, 3), 2);
        let goes_over =
            |it: &&TraceEvent| matches!(it.kind, EventKind::Received { effect: Effect::LaterRound, .. });
        assert_eq!(ensemble.trace().iter().filter(goes_over).count(), 1, "seed {seed}");
    }
}

#[test]
fn the_votes_of_the_earlier_round_are_dropped() {
    for seed in 0..50 {
        let mut ensemble = fresh(5, seed);
        start(&mut ensemble, 1..=3);
        settles(&mut ensemble);
        ensemble.crash(server(3));
        // 1 and 2 are in round 2, 4 and 5 in round 1, where both have come to vote for 5.
        ensemble.partition(&[&[1, 2].map(ServerId), &[4, 5].map(ServerId)]);
        start(&mut ensemble, [4, 5]);
        ensemble.run_for(SECOND);
        assert_eq!(
            [1, 2, 4, 5].map(|id| (round(&ensemble, id), proposed(&ensemble, id))),
            [(2, Some(2)), (2, Some(2)), (1, Some(5)), (1, Some(5))]
        );
        ensemble.heal();
        let goes_over = |it: &TraceEvent| match it.kind {
            EventKind::Received { from, effect: Effect::LaterRound, .. } => Some((it.server, from)),
            _ => None,
        };
        assert!(ensemble.run_until(SECOND, |it| it.trace().iter().any(|it| goes_over(it).is_some())));
        let (id, from) = ensemble.trace().iter().find_map(goes_over).unwrap();
        // Nothing is left but the vote that it has heard, which is now its own.
        let votes: Vec<_> = elector(&ensemble, id.0).votes().map(|(id, vote)| (id, vote.leader)).collect();
        assert_eq!(votes, [(from, server(2)), (id, server(2))], "seed {seed}");
        assert_eq!(settles(&mut ensemble), 2, "seed {seed}");
    }
}

#[test]
fn a_round_can_go_backwards() {
    for seed in 0..50 {
        let mut ensemble = fresh(3, seed);
        start(&mut ensemble, 1..=3);
        assert_eq!(settles(&mut ensemble), 3);
        // 1 is alone, has lost its leader, and looks for another one in round 2.
        ensemble.partition(&[&[server(2), server(3)]]);
        ensemble.run_for(SECOND * 2);
        assert_eq!((state(&ensemble, 1), round(&ensemble, 1)), (Some(ServerState::Looking), 2));
        // The others have stayed in round 1, and there it joins them.
        ensemble.heal();
        assert_eq!(settles(&mut ensemble), 3);
        assert_eq!(round(&ensemble, 1), 1, "seed {seed}");
    }
}

/// How the election alone ends with two leaders in one round. All times are in milliseconds.
///
/// - 0: the servers 1, 2 and 3 of five start. Messages between 1 and 2 take 60, those between them and 3 take 10.
/// - 10: 1 and 2 hear the vote of 3, take it over, and say so.
/// - 20: 3 hears that. 1, 2 and 3 are a quorum: it begins to wait for a better vote.
/// - 70: 1 and 2 hear each other's vote for 3. Only now they see the quorum, and begin to wait.
/// - 200: 4 and 5 start. Their messages take 25, but those to 3 take 100.
/// - 220: for 200 nobody has written to 3: it leads, by a quorum of votes that were all given.
/// - 225: 1 and 2, which still wait, hear the better vote of 5, and take it over. 4 does so too.
/// - then 1, 2, 4 and 5 vote for 5: a quorum, and after its wait 5 leads too, in the same round.
///
/// Nobody follows 3. Zab's stand-in lets it give up after `init_limit`; it looks again, and joins 5. In between it
/// could not do harm: to serve anybody, a leader needs a quorum that follows it. The wait of 200 makes this unlikely
/// and does not exclude it.
#[test]
fn two_servers_can_lead_in_one_round_until_one_of_them_notices_that_nobody_follows() {
    let mut ensemble = fresh(5, 0);
    let delay = |a: i64, b: i64| match (a, b) {
        (1, 2) | (2, 1) => 60,
        (1..=3, 1..=3) => 10,
        (4 | 5, 3) => 100,
        _ => 25,
    };
    for (a, b) in ensemble.pairs().into_iter().flat_map(|(a, b)| [(a, b), (b, a)]) {
        ensemble.set_delay(a, b, MILLISECOND * delay(a.0, b.0));
    }
    start(&mut ensemble, 1..=3);
    for id in [4, 5] {
        ensemble.start_after(server(id), FINALIZE_WAIT);
    }
    let leading = |it: &Simulation| -> Vec<i64> {
        let leads = |it: &SimulatedServer| it.state() == Some(ServerState::Leading);
        it.servers().filter(|(_, it)| leads(it)).map(|(id, _)| id.0).collect()
    };
    assert!(ensemble.run_until(SECOND, |it| leading(it) == [3]));
    assert_eq!(ensemble.now(), MILLISECOND * 20 + FINALIZE_WAIT);
    assert_eq!(
        [1, 2].map(|id| (state(&ensemble, id), proposed(&ensemble, id))),
        [(Some(ServerState::Looking), Some(3)); 2]
    );

    assert!(ensemble.run_until(SECOND, |it| leading(it) == [3, 5]));
    assert_eq!([3, 5].map(|id| round(&ensemble, id)), [1, 1]);
    assert!(ensemble.run_until(SECOND, |it| (1..=5).all(|id| state(it, id) != Some(ServerState::Looking))));
    assert_eq!(leading(&ensemble), [3, 5]);

    assert_eq!(settles(&mut ensemble), 5);
    let lost = |it: &TraceEvent| it.server == server(3) && it.kind == EventKind::FollowersLost;
    assert_eq!(ensemble.trace().iter().filter(|it| lost(it)).count(), 1);
    let established = |it: &&TraceEvent| matches!(it.kind, EventKind::Established { .. });
    assert!(ensemble.trace().iter().filter(established).all(|it| it.server == server(5)));
}

/// 1, 2 and 3 have settled on 3. Before it is established, 4 and 5, who know more, join it, and 1 and 2 crash. Now a
/// quorum follows 3, and with it what 4 and 5 know would be lost. The election does not see that: Zab does, and its
/// stand-in too.
#[test]
fn a_leader_that_knows_less_than_its_followers_is_refused() {
    for seed in 0..50 {
        let (known, more) = (history(1, 0x1_0000_0001), history(1, 0x1_0000_0008));
        let with = |it: Simulation, id| it.with_history(server(id), if id <= 3 { known } else { more });
        let mut ensemble = (1..=5).fold(fresh(5, seed), with);
        start(&mut ensemble, 1..=3);
        assert!(ensemble.run_until(SECOND, |it| it.leader() == Some(server(3))));
        start(&mut ensemble, [4, 5]);
        assert!(ensemble.run_until(SECOND, |it| it.leader() == Some(server(3))));
        [1, 2].into_iter().for_each(|id| ensemble.crash(server(id)));
        assert_eq!(settles(&mut ensemble), 5, "seed {seed}");
        let refused =
            |it: &TraceEvent| it.server == server(3) && matches!(it.kind, EventKind::Refused { .. });
        assert!(ensemble.trace().iter().any(refused), "seed {seed}");
    }
}

/// All five have settled on 5 when 4 and 5 are cut off, before 5 is established. The other three find that their
/// leader does not show up before 5 finds that it has no quorum, for a server that has just been elected waits for
/// longer: two seconds here. (It takes the three up to 700 ms longer to elect if one of them begins earlier than the
/// others, which still follow and do not count its vote: it has to repeat it.)
#[test]
fn two_servers_can_lead_in_different_rounds_after_a_partition() {
    for seed in 0..50 {
        let mut ensemble =
            fresh(5, seed).with_zab_timeouts(ZabTimeouts { init_limit: 40, ..ZabTimeouts::default() });
        start(&mut ensemble, 1..=5);
        assert!(ensemble.run_until(SECOND, |it| it.leader() == Some(server(5))));
        ensemble.partition(&[&[1, 2, 3].map(ServerId), &[4, 5].map(ServerId)]);
        assert!(
            ensemble.run_until(SECOND * 2, |it| state(it, 3) == Some(ServerState::Leading)),
            "seed {seed}"
        );
        assert_eq!([3, 5].map(|id| state(&ensemble, id)), [Some(ServerState::Leading); 2], "seed {seed}");
        assert_eq!([3, 5].map(|id| round(&ensemble, id)), [2, 1]);
        ensemble.run_for(SECOND * 3);
        assert_eq!(state(&ensemble, 5), Some(ServerState::Looking));
        ensemble.heal();
        assert_eq!(settles(&mut ensemble), 3, "seed {seed}");
    }
}

/// Server 3 weighs nothing and has the highest id: no vote of the others beats its own, so that it says nothing of its own
/// accord but repeats its vote now and then. To those who came late it has already said it: it waits for them to
/// answer, and makes no new connections. Then it hears of the leader.
#[test]
fn a_server_that_weighs_nothing_and_hears_no_better_vote_joins_when_it_repeats_its_own() {
    for seed in 0..50 {
        let weights = [(1, 1), (2, 1), (3, 0)].map(|(id, weight)| (server(id), 1, weight));
        let mut ensemble = Simulation::new(Quorum::hierarchical(weights), seed);
        start(&mut ensemble, [3]);
        ensemble.run_for(SECOND * 5);
        let alone = ensemble.trace().len();
        start(&mut ensemble, [1, 2]);
        assert!(ensemble.run_until(2 * LONGEST_WAIT, Simulation::is_settled), "seed {seed}");
        assert_eq!(ensemble.leader(), Some(server(2)), "seed {seed}");
        let of_third = || ensemble.trace()[alone..].iter().filter(|it| it.server == server(3));
        let connects = of_third().filter(|it| it.kind == EventKind::Connecting).count();
        let repeats = of_third().filter(|it| matches!(it.kind, EventKind::Broadcast(_))).count();
        assert_eq!((connects, repeats), (0, 1), "seed {seed}");
    }
}

#[test]
fn an_observer_follows_and_nobody_hears_its_vote() {
    for seed in 0..50 {
        let mut ensemble = fresh(3, seed).with_history(server(9), history(9, 0x9_0000_0009));
        start(&mut ensemble, [9, 1, 2]);
        assert_eq!(settles(&mut ensemble), 2, "seed {seed}");
        assert_eq!(state(&ensemble, 9), Some(ServerState::Observing));
        ensemble.crash(server(1));
        ensemble.run_for(SECOND * 2);
        assert_eq!(state(&ensemble, 9), Some(ServerState::Looking), "it is no part of a quorum");
    }
}
