//! What the tests of this workspace share: ZooKeeper on loopback, real and embedded, a proxy that breaks connections, and
//! networks of namespaces that lose packets.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{sleep, timeout};

mod control;
mod ensemble;
mod frames;
pub mod handmade;
pub mod install;
mod link;
mod member;
pub mod namespace;
pub mod network;
pub mod ports;
pub mod process;
mod proxy;
pub mod purity;
mod server;
mod zookeeper;

pub use ensemble::{Ensemble, EnsembleBuilder};
pub use frames::OpCode;
pub use proxy::{Direction, Fault, How, On, Proxy, When};
pub use server::{Mode, Server};
pub use zookeeper::ZooKeeper;

/// How long a test waits for what must happen, on a machine that does other things as well.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The session timeout of tests that wait for an expiry; four ticks of the test's servers.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(2);

/// Polls `check` every 20 ms until it returns a value; panics, naming `what`, when it has not within `limit`.
pub async fn eventually<T>(what: &str, limit: Duration, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let polling = async {
        loop {
            if let Some(value) = check().await {
                return value;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    match timeout(limit, polling).await {
        Ok(value) => value,
        Err(_) => panic!("not within {limit:?}: {what}"),
    }
}

/// A node path that no other test uses: `/test/<test>-<random>`.
pub fn unique_path(test: &str) -> String {
    format!("/test/{test}-{:016x}", random())
}

/// A random number, from the seed of the standard library's hash maps.
pub fn random() -> u64 {
    RandomState::new().hash_one(())
}

/// The path of an example's program, beside the test's own.
pub fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test's path");
    let directory = test.parent().and_then(|deps| deps.parent()).expect("target/<profile>");
    let program = directory.join("examples").join(name);
    assert!(program.exists(), "{} is missing: cargo build --examples", program.display());
    program
}
