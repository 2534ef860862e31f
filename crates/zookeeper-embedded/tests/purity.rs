//! `src/engine` and `src/protocol` are pure: the same inputs have the same outputs.

use std::path::Path;

use testkit::purity::{self, IMPURE, sources};

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
    for (file, code) in files {
        assert!(!code.contains("use crate::{"), "{}: one `use` for each module, please", file.display());
        purity::names_none_of(IMPURE, &file, &code);
        purity::names_none_of(rooms, &file, &code);
    }
}
