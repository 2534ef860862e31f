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
    ("machine", "backoff error path types"),
    ("telemetry", "error session types"),
    ("session", "backoff error path telemetry types zookeeper_client"),
    ("driver", "clock error leadership machine path session telemetry types zookeeper_client"),
    ("leadership", "clock driver error machine types"),
    ("roster", "driver error machine path session types"),
    ("observer", "driver error roster session telemetry types"),
    (
        "election",
        "backoff driver error leadership machine observer path roster session telemetry types zookeeper_client",
    ),
];

/// What the pure part must not name: tasks, clocks, sockets, threads, randomness without a seed.
const IMPURE: &[&str] = &[
    "tokio::",
    "futures_util::",
    "tracing::",
    "Instant",
    "SystemTime",
    "std::net",
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
fn the_machine_is_pure() {
    for (file, text) in &sources()["machine"] {
        for impure in IMPURE {
            assert!(!text.contains(impure), "{} names {impure}", file.display());
        }
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
