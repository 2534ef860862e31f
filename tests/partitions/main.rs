//! Partitions: three real servers and the contenders, each in a network namespace of its own, with a router in between
//! that drops what the test says. Contenders are processes that write down each of their acts as leaders; after each
//! fault the records of all of them are judged: never two leaders at once, tokens that only grow.
//!
//! It takes root, `ip` and `nft`. `ROUNDS` sets how often each test does what it does; with `KEEP_JOURNALS` set, what
//! the contenders wrote down stays.

#[path = "../support/mod.rs"]
mod support;

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
use std::io::Write as _;
use std::panic::resume_unwind;
use std::thread;
use std::time::Duration;

use support::network::{Host, Network};

/// Where a test runs: the network, and the host of its own threads.
struct Place {
    network: Network,
    observer: Host,
}

impl Place {
    fn new() -> Result<Self, String> {
        let mut network = Network::new()?;
        let observer = network.host()?;
        Ok(Self { network, observer })
    }
}

/// Runs a test in a network of its own. Where there can be none it says so, and fails if `CI` is `true`.
fn on_a_network<F: Future<Output = ()>>(test: impl FnOnce(Network) -> F + Send + 'static) {
    let name = thread::current().name().unwrap_or("a test").to_owned();
    let Place { network, observer } = match Place::new() {
        Ok(place) => place,
        Err(reason) => {
            let in_ci = env::var("CI").is_ok_and(|value| value == "true");
            assert!(!in_ci, "NOT RUN: {name} needs root, ip and nft: {reason}");
            // Not `eprintln`: the test framework shows that only of tests that fail.
            let _ = writeln!(std::io::stderr(), "NOT RUN: {name} needs root, ip and nft: {reason}");
            return;
        }
    };
    // Threads of their own, as a thread that has entered a namespace stays there.
    let run = move || {
        observer.namespace.enter();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .on_thread_start(move || observer.namespace.enter())
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(test(network));
    };
    let thread = thread::Builder::new().name(name).spawn(run).expect("a thread");
    thread.join().unwrap_or_else(|panic| resume_unwind(panic));
}

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
