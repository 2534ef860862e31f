//! The paths of znodes: validation, and their parts.

/// Splits a path into the path of the parent and the name: `/app/x` into `/app` and `x`, `/x` into `/` and `x`.
pub(super) fn split(path: &str) -> (&str, &str) {
    match path.rsplit_once('/') {
        Some(("", name)) => ("/", name),
        Some(parts) => parts,
        None => ("/", path),
    }
}

/// Whether the path is valid by the rules of ZooKeeper's `PathUtils.validatePath`.
pub(super) fn is_valid(path: &str) -> bool {
    path == "/" || path.strip_prefix('/').is_some_and(|names| names.split('/').all(is_valid_name))
}

fn is_valid_name(name: &str) -> bool {
    // Characters beyond U+FFFF are invalid, because ZooKeeper checks UTF-16 and forbids surrogates.
    let forbidden = |c: char| matches!(c, '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..);
    !matches!(name, "" | "." | "..") && !name.contains(forbidden)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_split_into_parent_and_name() {
        for (path, parts) in [("/a", ("/", "a")), ("/a/b", ("/a", "b")), ("/a/b/c", ("/a/b", "c"))] {
            assert_eq!(split(path), parts);
        }
    }

    #[test]
    fn paths_that_zookeeper_accepts_are_valid() {
        for path in ["/", "/a", "/app/some_config", "/a.b/..c", "/größe/選挙"] {
            assert!(is_valid(path), "{path}");
        }
    }

    #[test]
    fn other_paths_are_invalid() {
        for path in [
            "",
            "a",
            "a/b",
            "/a/",
            "//",
            "//a",
            "/a//b",
            "/a/./b",
            "/a/..",
            "/a\0",
            "/a\u{f000}",
            "/a\u{1f600}",
        ] {
            assert!(!is_valid(path), "{path:?}");
        }
    }
}
