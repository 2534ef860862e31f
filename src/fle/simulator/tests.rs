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
    assert_eq!(eventful(7).happenings(), eventful(7).happenings());
    assert_ne!(eventful(7).happenings(), eventful(8).happenings());
}
