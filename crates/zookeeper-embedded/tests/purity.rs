//! `src/engine` and `src/protocol` are pure: the same inputs have the same outputs.

use std::path::{Path, PathBuf};

/// Names of tasks, clocks, sockets, threads, logs, and of random numbers without a seed.
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
fn the_engine_is_pure() {
    names_none_of("engine", &["crate::server"]);
}

#[test]
fn the_protocol_is_pure() {
    names_none_of("protocol", &["crate::server", "crate::engine"]);
}

fn names_none_of(directory: &str, rooms: &[&str]) {
    let files = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(directory));
    assert!(files.len() > 1, "src/{directory} has moved");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(!text.contains("use crate::{"), "{}: one `use` for each module, please", file.display());
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for line in code {
            for name in IMPURE.iter().chain(rooms) {
                assert!(!line.contains(name), "{} names {name}: {line}", file.display());
            }
        }
    }
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
