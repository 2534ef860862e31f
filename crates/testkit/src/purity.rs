//! Reads sources, for tests of which files may do what: the compiler knows only crates.

use std::path::{Path, PathBuf};

/// Names that pure code must not contain: tasks, clocks, sockets, threads, logs, random numbers without a seed.
pub const IMPURE: &[&str] = &[
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

/// The Rust files below a directory, each with its code: without the lines that are comments.
pub fn sources(directory: &Path) -> Vec<(PathBuf, String)> {
    let mut sources = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources.extend(self::sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).expect("a source");
            let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            sources.push((path, code.join("\n")));
        }
    }
    sources
}

/// Panics if a file's code contains one of these names.
pub fn names_none_of(names: &[&str], file: &Path, code: &str) {
    for name in names {
        assert!(!code.contains(name), "{} names {name}", file.display());
    }
}
