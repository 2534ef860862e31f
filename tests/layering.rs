//! Who may use whom inside the crate, kept by reading the sources.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Each part, and the parts that it may name. `zookeeper_client` stands for the crate.
const ALLOWED: &[(&str, &str)] = &[
    ("backoff", ""),
    ("clock", "types"),
    ("path", ""),
    ("types", "error path"),
    ("error", ""),
    ("lease", "types"),
    ("work", ""),
    ("machine", "backoff error lease path types"),
    ("telemetry", "error session types"),
    ("session", "backoff clock error lease path telemetry types work zookeeper_client"),
    (
        "driver",
        "backoff clock error leadership lease machine path session telemetry types work zookeeper_client",
    ),
    // Guarded writes speak of the client's own types: its ACLs, modes, results and errors.
    ("guarded", "error leadership machine path session telemetry zookeeper_client"),
    ("breadcrumb", "backoff error guarded leadership path session telemetry types zookeeper_client"),
    ("leadership", "breadcrumb clock driver error guarded lease session types work"),
    ("roster", "driver error machine path session types"),
    ("observer", "driver error roster session telemetry types"),
    (
        "election",
        "backoff breadcrumb driver error leadership machine observer path roster session telemetry types zookeeper_client",
    ),
    // Tests only: the pure parts, put together.
    ("simulation", "error lease machine path types"),
];

/// What the pure parts must not name: tasks, clocks, sockets, threads, randomness without a seed.
const IMPURE: &[&str] = &[
    "tokio::",
    "futures_util::",
    "tracing::",
    "Instant",
    "SystemTime",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "ToSocketAddrs",
    "std::thread",
    "fastrand::u",
    "fastrand::f",
];

#[test]
fn each_part_uses_only_what_it_may() {
    let sources = sources();
    for (part, files) in &sources {
        if part == "lib" {
            continue;
        }
        let (_, allowed) = ALLOWED
            .iter()
            .find(|(name, _)| name == part)
            .unwrap_or_else(|| panic!("{part} is new: say in this test what it may use"));
        let allows = |other: &str| allowed.split(' ').any(|name| name == other);
        for (file, text) in files {
            assert!(!text.contains("use crate::{"), "{}: one `use` for each part, please", file.display());
            for other in sources.keys().filter(|other| *other != part && *other != "lib") {
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
fn the_machine_and_the_lease_are_pure() {
    let sources = sources();
    for (file, text) in sources["machine"].iter().chain(&sources["lease"]) {
        names_none_of(IMPURE, file, text);
    }
}

/// Whoever plays the whole world has neither the time nor the luck of this one. What runs many worlds may have threads.
#[test]
fn the_simulation_is_pure() {
    for (file, text) in &sources()["simulation"] {
        if !file.ends_with("simulation/mod.rs") {
            // Futures that wait for nothing outside, and instants of its own.
            let allowed = ["futures_util::", "Instant"];
            let names: Vec<&str> = IMPURE.iter().copied().filter(|name| !allowed.contains(name)).collect();
            names_none_of(&names, file, text);
            names_none_of(&["std::time::Instant", "Instant::now", "std::net"], file, text);
        }
    }
}

fn names_none_of(names: &[&str], file: &Path, text: &str) {
    for name in names {
        assert!(!text.contains(name), "{} names {name}", file.display());
    }
}

/// The sources of each part, without comments: what a file below `src/<part>/` or `src/<part>.rs` says.
fn sources() -> BTreeMap<String, Vec<(PathBuf, String)>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources: BTreeMap<String, Vec<(PathBuf, String)>> = BTreeMap::new();
    let mut directories = vec![root.clone()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let below = path.strip_prefix(&root).unwrap();
                let first = below.components().next().unwrap().as_os_str().to_str().unwrap();
                let text = std::fs::read_to_string(&path).unwrap();
                let code: Vec<&str> =
                    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
                let part = first.trim_end_matches(".rs").to_owned();
                sources.entry(part).or_default().push((path, code.join("\n")));
            }
        }
    }
    sources
}
