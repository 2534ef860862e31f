//! Asserts that only three files do I/O, by reading the sources: the compiler cannot.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The files that do I/O.
const IO: &[&str] = &["inspect/inspector.rs", "inspect/question.rs", "inspect/resolve.rs"];

/// Names that all other files must not contain: tasks, clocks, sockets, threads, random numbers without a seed.
const FORBIDDEN: &[&str] = &[
    "tokio::",
    "futures_util::",
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
fn only_the_inspector_does_io_and_the_election_does_not_know_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut seen = BTreeSet::new();
    for path in sources(&root) {
        let file = path.strip_prefix(&root).unwrap();
        if file == Path::new("purity.rs") {
            continue;
        }
        if let Some(io) = IO.iter().find(|io| file == Path::new(io)) {
            seen.insert(*io);
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let code = code.join("\n");
        for name in FORBIDDEN {
            assert!(!code.contains(name), "{} contains {name}", file.display());
        }
        if !file.starts_with("inspect") && file != Path::new("lib.rs") {
            assert!(!code.contains("inspect::"), "{} uses the inspector", file.display());
        }
    }
    assert_eq!(seen.len(), IO.len(), "only {seen:?} are left of {IO:?}");
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let (directories, files): (Vec<PathBuf>, Vec<PathBuf>) = paths.partition(|path| path.is_dir());
    let files = files.into_iter().filter(|path| path.extension().is_some_and(|it| it == "rs"));
    files.chain(directories.iter().flat_map(|it| sources(it))).collect()
}
