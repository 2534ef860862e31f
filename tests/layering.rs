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
    ("path", ""),
    ("timestamp", ""),
    ("types", "error"),
    ("znode", "path types"),
    ("clock", "timestamp"),
    ("lease", "timestamp"),
    ("machine", "backoff error lease path timestamp types znode"),
    ("telemetry", "error types znode"),
    ("session", "backoff clock error in_flight lease path telemetry timestamp types znode zookeeper_client"),
    ("config", "machine session zookeeper_client"),
    ("leadership", "clock error in_flight lease session timestamp types znode"),
    (
        "driver",
        "backoff clock config error in_flight leadership lease machine path session telemetry types znode",
    ),
    // Guarded writes and the breadcrumb have ACLs, modes, results and errors of the client in their interface.
    ("guarded", "error leadership machine path session telemetry zookeeper_client"),
    ("breadcrumb", "backoff error guarded leadership path session telemetry types zookeeper_client"),
    ("resign", "breadcrumb error leadership"),
    ("queries", "config error machine path session types znode"),
    ("observer", "config error queries session telemetry types"),
    (
        "election",
        "backoff breadcrumb config driver error leadership machine observer path queries session telemetry types \
         zookeeper_client",
    ),
    // Tests only: the pure rooms, put together.
    ("simulation", "error lease machine path timestamp types znode"),
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
fn the_machine_and_the_lease_are_pure() {
    let sources = sources();
    for (file, text) in sources["machine"].iter().chain(&sources["lease"]) {
        names_none_of(IMPURE, file, text);
    }
}

/// A simulated run has simulated time and seeded randomness. `simulation/tests.rs`, which starts many runs, may use threads.
#[test]
fn the_simulation_is_pure() {
    for (file, text) in &sources()["simulation"] {
        if !file.ends_with("simulation/tests.rs") {
            // Futures that do no I/O, and an `Instant` of its own.
            let allowed = ["futures_util::", "Instant"];
            let names: Vec<&str> = IMPURE.iter().copied().filter(|name| !allowed.contains(name)).collect();
            names_none_of(&names, file, text);
            names_none_of(&["std::time::Instant", "Instant::now", "std::net"], file, text);
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
