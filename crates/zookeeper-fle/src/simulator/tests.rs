//! What the simulation itself promises: the same run for the same seed, connections as TCP and the servers have them.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn majority(servers: i64) -> Quorum {
    Quorum::majority((1..=servers).map(ServerId))
}

/// A run with everything in it.
fn eventful(seed: u64) -> Simulation {
    let delay = Duration::from_millis(1)..=Duration::from_millis(150);
    let network = Network { delay, loss: 0.05, handshake: 2 };
    let mut ensemble = Simulation::new(majority(5), seed).with_network(network);
    for id in 1..=5 {
        ensemble.start_after(ServerId(id), Duration::from_millis(40) * id as u32);
    }
    ensemble.run_for(SECOND);
    ensemble.crash(ServerId(5));
    ensemble.run_for(SECOND);
    ensemble.partition(&[&[1, 2].map(ServerId), &[3, 4, 5].map(ServerId)]);
    ensemble.start(ServerId(5));
    ensemble.run_for(SECOND);
    ensemble.heal();
    ensemble.run_for(SECOND);
    ensemble
}

#[test]
fn the_same_seed_gives_the_same_happenings_and_another_one_others() {
    assert_eq!(eventful(7).trace(), eventful(7).trace());
    assert_ne!(eventful(7).trace(), eventful(8).trace());
}

/// The votes that one server hears of another, each time.
fn heard(ensemble: &Simulation, by: i64, of: i64) -> Vec<(u128, i64)> {
    let hears = |it: &TraceEvent| match &it.kind {
        EventKind::Received { from, notification, .. }
            if it.server == ServerId(by) && *from == ServerId(of) =>
        {
            Some((it.at.as_millis(), notification.vote.leader.0))
        }
        _ => None,
    };
    ensemble.trace().iter().filter_map(hears).collect()
}

/// Ten milliseconds from each server to each other one.
fn even(servers: i64, handshake: u32) -> Simulation {
    let delay = Duration::from_millis(10)..=Duration::from_millis(10);
    Simulation::new(majority(servers), 0).with_network(Network { delay, loss: 0.0, handshake })
}

#[test]
fn one_message_waits_for_a_connection_the_newest() {
    // The connection to 3 takes 20 ms, in which the vote of 1 changes to 2.
    let mut ensemble = even(3, 2);
    ensemble.set_delay(ServerId(1), ServerId(3), Duration::from_millis(30));
    ensemble.start(ServerId(1));
    ensemble.start(ServerId(2));
    ensemble.run_for(Duration::from_millis(35));
    assert_eq!(heard(&ensemble, 1, 2).first(), Some(&(30, 2)));
    ensemble.start(ServerId(3));
    ensemble.run_for(Duration::from_millis(100));
    // The first vote of 1, for itself, was not delivered and never is.
    assert_eq!(heard(&ensemble, 3, 1).first().map(|it| it.1), Some(2));
}

#[test]
fn messages_of_one_server_to_another_keep_their_order() {
    for seed in 0..200 {
        let delay = Duration::ZERO..=Duration::from_millis(150);
        let mut ensemble =
            Simulation::new(majority(5), seed).with_network(Network { delay, ..Network::default() });
        (1..=5).for_each(|id| ensemble.start(ServerId(id)));
        ensemble.run_for(SECOND);
        for (by, of) in (1..=5).flat_map(|by| (1..=5).map(move |of| (by, of))).filter(|(by, of)| by != of) {
            // They only rise within a round, so they are heard rising.
            let votes: Vec<i64> = heard(&ensemble, by, of).into_iter().map(|it| it.1).collect();
            assert!(votes.is_sorted(), "seed {seed}: {by} of {of}: {votes:?}");
        }
    }
}

#[test]
fn a_new_connection_carries_the_last_message_once_more() {
    let mut ensemble = even(3, 0);
    (1..=3).for_each(|id| ensemble.start(ServerId(id)));
    assert!(ensemble.run_until(SECOND, Simulation::is_settled));
    let before = heard(&ensemble, 1, 2).len();
    ensemble.partition(&[&[1, 3].map(ServerId), &[2].map(ServerId)]);
    ensemble.heal();
    ensemble.run_for(Duration::from_millis(10));
    let again = &heard(&ensemble, 1, 2)[before..];
    assert_eq!(
        again.iter().map(|it| it.1).collect::<Vec<_>>(),
        [3],
        "its vote from the election, though it follows"
    );
}

#[test]
fn what_is_under_way_is_lost_with_the_connection_and_arrives_after_a_crash() {
    let run = |interfere: &dyn Fn(&mut Simulation)| {
        let mut ensemble = even(3, 0);
        ensemble.start(ServerId(1));
        ensemble.start(ServerId(2));
        ensemble.run_for(Duration::from_millis(5));
        interfere(&mut ensemble);
        ensemble.run_for(Duration::from_millis(10));
        heard(&ensemble, 1, 2).len()
    };
    assert_eq!(run(&|_| {}), 1);
    assert_eq!(run(&|it| it.partition(&[&[ServerId(1)], &[ServerId(2)]])), 0);
    assert_eq!(run(&|it| it.crash(ServerId(2))), 1);
    assert_eq!(run(&|it| it.crash(ServerId(1))), 0);
}

#[test]
fn who_has_settled_is_quiet_and_a_run_that_is_over_ends() {
    let mut ensemble = even(3, 0);
    (1..=3).for_each(|id| ensemble.start(ServerId(id)));
    let told = std::iter::from_fn(|| ensemble.step()).take(1000).count();
    assert!(told < 1000 && ensemble.is_settled(), "{told}");
    // Nothing happens for an hour, and the leader is not taken for lost because nobody looked.
    ensemble.run_for(SECOND * 3600);
    ensemble.crash(ServerId(1));
    assert_eq!(ensemble.step().map(|it| it.kind), Some(EventKind::Crashed));
    assert_eq!(ensemble.step(), None);
    assert_eq!(ensemble.write(2), Some(Zxid(0x1_0000_0002)));
    // Two of three are a quorum, one is not.
    ensemble.crash(ServerId(2));
    assert_eq!(ensemble.write(1), None);
    assert!(ensemble.run_until(SECOND, |it| it.trace().iter().any(|it| it.kind == EventKind::FollowersLost)));
}

#[test]
fn time_ends_and_so_do_all_waits() {
    let mut ensemble =
        even(3, 0).with_zab_timeouts(ZabTimeouts { sync_limit: u32::MAX, ..ZabTimeouts::default() });
    // A message that takes for ever never arrives.
    ensemble.set_delay(ServerId(1), ServerId(2), Duration::MAX);
    (1..=3).for_each(|id| ensemble.start(ServerId(id)));
    assert!(ensemble.run_until(Duration::MAX, Simulation::is_settled));
    assert_eq!(heard(&ensemble, 2, 1), []);
    ensemble.start_after(ServerId(2), Duration::MAX);
    assert!(!ensemble.run_until(Duration::MAX, |it| it.leader() != Some(ServerId(3))));
    let happened = ensemble.trace().len();
    for time in [Duration::MAX, SECOND] {
        ensemble.run_for(time);
        assert_eq!(ensemble.now(), END);
    }
    ensemble.crash(ServerId(3));
    ensemble.start(ServerId(3));
    ensemble.run_for(SECOND);
    let after: Vec<_> = ensemble.trace()[happened..].iter().map(|it| it.at).collect();
    assert!(!after.is_empty() && after.iter().all(|at| *at == END), "{after:?}");
}

#[test]
#[should_panic(expected = "ZabTimeouts::tick is zero: write")]
fn a_tick_takes_time() {
    let _ = even(3, 0).with_zab_timeouts(ZabTimeouts { tick: Duration::ZERO, ..ZabTimeouts::default() });
}

#[test]
#[should_panic(expected = "Network::delay goes from 2s to 1s: write")]
fn delays_go_from_the_shortest_to_the_longest() {
    let inverted = SECOND * 2..=SECOND;
    let _ = even(3, 0).with_network(Network { delay: inverted, ..Network::default() });
}

#[test]
fn a_loss_is_a_probability() {
    let set = |loss| even(3, 0).set_network(Network { loss, ..Network::default() });
    [0.0, 1.0].into_iter().for_each(set);
    for loss in [f64::NAN, -0.1, 1.1, f64::INFINITY] {
        let refused = std::panic::catch_unwind(|| set(loss)).expect_err("a panic");
        let message = refused.downcast_ref::<String>().expect("a message");
        assert!(message.starts_with(&format!("Network::loss is {loss}: write")), "{message}");
    }
}
