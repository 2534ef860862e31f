//! The embedded server and a real one give the same answers and events to the same random requests.
//!
//! Several clients send valid and invalid requests to both servers in the same order. Replies and watch events must be
//! the same on each connection, in the same order and with the same zxids. Times are not compared. Session ids and
//! passwords are replaced by numbers.
//!
//! - `DIFFERENTIAL_OPS`: how many operations in total, by default 100,000; each 20,000 have fresh servers.
//! - `DIFFERENTIAL_SEED`: the first seed, by default 1; each further pair of servers has the next one.
//! - `DIFFERENTIAL_PIPELINE`: how many requests are sent without waiting in between, by default many.
//! - `DIFFERENTIAL_AGAINST=real`: takes a second real server instead of the embedded one, to test the test.

// A test binary exports nothing.
#![allow(unreachable_pub)]

mod answers;
mod connecting;
mod coverage;
mod duel;
mod generator;
mod lists;
mod operations;
mod servers;
mod side;
mod watches;
mod wire;

use std::env;
use std::time::Instant;

use coverage::Coverage;
use duel::Duel;
use servers::Servers;

/// Few enough to take less than a minute, because ZooKeeper deletes empty containers once a minute.
const OPERATIONS_A_SEED: usize = 20_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_server_behaves_like_zookeeper() {
    let operations = setting("DIFFERENTIAL_OPS").unwrap_or(100_000);
    let first_seed = setting("DIFFERENTIAL_SEED").unwrap_or(1);
    let pipeline = setting("DIFFERENTIAL_PIPELINE").unwrap_or(1000).max(1);
    let started = Instant::now();
    let mut coverage = Coverage::default();
    let seeds = operations.div_ceil(OPERATIONS_A_SEED);
    for seed in 0..seeds {
        let servers = Servers::start().await;
        let mut duel = Duel::new(servers.addresses(), (first_seed + seed) as u64, pipeline);
        duel.fight(OPERATIONS_A_SEED.min(operations - seed * OPERATIONS_A_SEED), &mut coverage).await;
    }
    let Coverage { operations, events, .. } = coverage;
    println!(
        "differential: {seeds} seeds, {operations} operations, {events} watch events, 0 differences in {:.0?}",
        started.elapsed()
    );
    coverage.assert_sufficient();
}

fn setting(name: &str) -> Option<usize> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}
