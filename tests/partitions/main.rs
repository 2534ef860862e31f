//! Partitions: three real servers and the contenders, each in a network namespace of its own, with a router in between
//! that drops what the test says. Contenders are processes that write down each of their acts as leaders; after each
//! fault the records of all of them are judged: never two leaders at once, tokens that only grow.
//!
//! It takes root, `ip` and `nft`; without them the tests fail. `ROUNDS` sets how often each test does what it does; with
//! `KEEP_JOURNALS` set, what the contenders wrote down stays.

mod checker;
mod faults;
mod journal;
mod lost_packets;
mod outages;
mod pauses;
mod recorder;
mod runner;
mod soak;
mod stage;

use std::env;
use std::time::Duration;

use testkit::network::on_a_network;

/// How often a test does what it does.
fn rounds() -> usize {
    setting("ROUNDS").unwrap_or(1)
}

/// The session timeout of a test that does not ask for a certain one.
fn session_timeout(default: Duration) -> Duration {
    setting("SESSION_TIMEOUT_MS").map_or(default, Duration::from_millis)
}

/// A number from the environment.
fn setting<T: std::str::FromStr>(name: &str) -> Option<T> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text}: a number, please")))
}
