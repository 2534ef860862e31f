//! How much memory a server takes.

use std::fs;

use crate::clients::{IN_FLIGHT, connect, create, make_directory};

const SESSIONS: usize = 1000;
const ZNODES: usize = 10_000;

/// What [`measure`] returns.
pub(crate) const WHAT: [&str; 4] = [
    "after the start",
    "growth by 1000 sessions",
    "growth by 10000 znodes of 64 bytes",
    "in all, 1000 sessions and 10000 znodes",
];

/// What a server's process has in memory, in MiB. It has one session before the first reading, which pays for what is
/// needed once.
pub(crate) async fn measure(address: &str, pid: u32) -> [f64; 4] {
    let client = connect(address).await;
    make_directory(&client).await;
    let start = resident(pid);
    let mut clients = Vec::new();
    for _ in 0..SESSIONS {
        clients.push(connect(address).await);
    }
    let with_sessions = resident(pid);
    create(&client, ZNODES, IN_FLIGHT).await;
    let with_both = resident(pid);
    drop(clients);
    [start, with_sessions - start, with_both - with_sessions, with_both]
}

fn resident(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()).expect("VmRSS");
    number.parse::<f64>().expect("VmRSS, a number") / 1024.0
}
