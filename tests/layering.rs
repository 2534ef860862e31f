//! Which room of the crate may use which, and which rooms are pure. Checked by reading the sources, because Cargo knows
//! only crates.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use testkit::purity::{self, IMPURE, names_none_of};

/// Each room, and the rooms that it may use: only rooms further up, so that there is no circle.
/// `zookeeper_client` stands for the crate of that name.
const ALLOWED: &[(&str, &str)] = &[
    ("backoff", ""),
    ("error", ""),
    ("in_flight", ""),
    // Tests only: what is false everywhere else.
    ("mistakes", ""),
    ("path", ""),
    ("timestamp", ""),
    ("types", "error"),
    ("znode", "path types"),
    ("runtime", "timestamp"),
    ("lease", "mistakes timestamp"),
    ("machine", "backoff error lease mistakes path timestamp types znode"),
    ("telemetry", "error types znode"),
    (
        "session",
        "backoff error in_flight lease mistakes path runtime telemetry timestamp types znode zookeeper_client",
    ),
    ("config", "machine session zookeeper_client"),
    ("leadership", "error in_flight lease runtime session timestamp types znode"),
    (
        "driver",
        "backoff config error in_flight leadership lease machine mistakes path runtime session telemetry timestamp types znode",
    ),
    // Guarded writes and the breadcrumb have ACLs, modes, results and errors of the client in their interface.
    ("guarded", "error leadership machine mistakes path session telemetry zookeeper_client"),
    ("breadcrumb", "backoff error guarded leadership path runtime session telemetry types zookeeper_client"),
    ("resign", "breadcrumb error leadership"),
    ("queries", "config error machine path session types znode"),
    ("observer", "config error queries runtime session telemetry types"),
    (
        "election",
        "backoff breadcrumb config driver error leadership machine observer path queries runtime session \
         telemetry types          zookeeper_client",
    ),
    // Tests only: the whole library, on simulated machines.
    (
        "simulation",
        "election error guarded leadership lease mistakes path runtime session timestamp types zookeeper_client",
    ),
];

#[test]
fn each_room_uses_only_what_it_may() {
    let sources = sources();
    for (room, files) in &sources {
        if room == "lib" {
            continue;
        }
        let (_, allowed) = ALLOWED
            .iter()
            .find(|(name, _)| name == room)
            .unwrap_or_else(|| panic!("{room} is new: add it to `ALLOWED`"));
        let allows = |other: &str| allowed.split(' ').any(|name| name == other);
        for (file, text) in files {
            assert!(!text.contains("use crate::{"), "{}: one `use` for each room, please", file.display());
            for other in sources.keys().filter(|other| *other != room && *other != "lib") {
                let named =
                    text.contains(&format!("crate::{other}::")) || text.contains(&format!("crate::{other};"));
                assert!(!named || allows(other), "{} names {other}", file.display());
            }
            let client = text.contains("zookeeper_client::") || text.contains("use zookeeper_client");
            assert!(!client || allows("zookeeper_client"), "{} names the client", file.display());
        }
    }
}

#[test]
fn rooms_have_no_circle() {
    for (index, (room, allowed)) in ALLOWED.iter().enumerate() {
        for other in allowed.split_whitespace().filter(|other| *other != "zookeeper_client") {
            let above = ALLOWED[..index].iter().any(|(name, _)| *name == other);
            assert!(above, "{room} may use {other}, which is not further up in the list");
        }
    }
}

#[test]
fn the_decisions_are_pure() {
    let sources = sources();
    let beats = sources["session"].iter().filter(|(file, _)| file.ends_with("heartbeat/beats.rs"));
    let mut count = 0;
    for (file, text) in sources["machine"].iter().chain(&sources["lease"]).chain(beats) {
        names_none_of(IMPURE, file, text);
        count += 1;
    }
    assert!(count > 10, "only {count} files");
}

/// A simulated run has simulated time and seeded randomness. `simulation/tests.rs`, which starts many runs, may use threads.
#[test]
fn the_simulation_is_pure() {
    for (file, text) in &sources()["simulation"] {
        if !file.ends_with("simulation/tests.rs") {
            // Futures and channels that do no I/O, an `Instant` of its own, and random numbers after a seed.
            let allowed = ["tokio::", "futures_util::", "Instant", "fastrand::u", "fastrand::f"];
            let names: Vec<&str> = IMPURE.iter().copied().filter(|name| !allowed.contains(name)).collect();
            names_none_of(&names, file, text);
            let timers_and_tasks =
                ["std::time::Instant", "Instant::now", "std::net", "tokio::time", "tokio::spawn"];
            names_none_of(&timers_and_tasks, file, text);
        }
    }
}

/// The sources of each room: the files below `src/<room>/`, or `src/<room>.rs`.
fn sources() -> BTreeMap<String, Vec<(PathBuf, String)>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut rooms: BTreeMap<String, Vec<(PathBuf, String)>> = BTreeMap::new();
    for (path, code) in purity::sources(&root) {
        let below = path.strip_prefix(&root).unwrap();
        let first = below.components().next().unwrap().as_os_str().to_str().unwrap();
        rooms.entry(first.trim_end_matches(".rs").to_owned()).or_default().push((path, code));
    }
    rooms
}
