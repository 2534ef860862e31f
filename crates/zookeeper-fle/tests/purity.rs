//! Only three files of `src` do I/O, and the election does not know the inspector.

use std::collections::BTreeSet;
use std::path::Path;

use testkit::purity::{IMPURE, names_none_of, sources};

/// The files that do I/O.
const IO: &[&str] = &["inspect/inspector.rs", "inspect/question.rs", "inspect/resolve.rs"];

#[test]
fn only_the_inspector_does_io_and_the_election_does_not_know_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut seen = BTreeSet::new();
    for (path, code) in sources(&root) {
        let file = path.strip_prefix(&root).unwrap();
        if let Some(io) = IO.iter().find(|io| file == Path::new(io)) {
            seen.insert(*io);
            continue;
        }
        names_none_of(IMPURE, file, &code);
        if !file.starts_with("inspect") && file != Path::new("lib.rs") {
            names_none_of(&["inspect::"], file, &code);
        }
    }
    assert_eq!(seen.len(), IO.len(), "only {seen:?} are left of {IO:?}");
}
