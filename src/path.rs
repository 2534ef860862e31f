//! Paths of znodes: what ZooKeeper accepts, and their parts.

/// Splits a path into its directory and its name: `/app/x` into `/app` and `x`, `/x` into `/` and `x`.
pub(crate) fn split(path: &str) -> (&str, &str) {
    match path.rsplit_once('/') {
        Some(("", name)) => ("/", name),
        Some(parts) => parts,
        None => ("/", path),
    }
}

/// The path of a child: the inverse of [`split`].
pub(crate) fn join(dir: &str, name: &str) -> String {
    if dir == "/" { format!("/{name}") } else { format!("{dir}/{name}") }
}

/// Checks a path by ZooKeeper's own rules (`PathUtils.validatePath`).
pub(crate) fn check(path: &str) -> Result<(), &'static str> {
    let Some(below_root) = path.strip_prefix('/') else {
        return Err(if path.is_empty() { "it is empty" } else { "it does not begin with a slash" });
    };
    if below_root.is_empty() {
        return Ok(());
    }
    if path.ends_with('/') {
        return Err("it ends in a slash");
    }
    for name in below_root.split('/') {
        match name {
            "" => return Err("it has two slashes in a row"),
            "." | ".." => return Err("it is relative"),
            name => check_name(name)?,
        }
    }
    Ok(())
}

/// Checks the characters of one part of a path.
pub(crate) fn check_name(name: &str) -> Result<(), &'static str> {
    // Characters beyond U+FFFF are forbidden, because ZooKeeper checks UTF-16 units and forbids surrogates.
    let forbidden = |c: char| matches!(c, '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..);
    if name.contains(forbidden) {
        return Err("it contains a character that ZooKeeper does not allow");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_split_and_join() {
        for path in ["/a", "/a/b", "/a/b/c"] {
            let (dir, name) = split(path);
            assert_eq!(join(dir, name), path);
        }
    }

    #[test]
    fn paths_that_zookeeper_accepts_pass() {
        for path in ["/a", "/app/leader_election", "/a.b/..c", "/größe/選挙", "/zookeeper-election"] {
            assert_eq!(check(path), Ok(()), "{path}");
        }
    }

    #[test]
    fn other_paths_are_refused() {
        for path in
            ["", "a", "a/b", "/a/", "//a", "/a//b", "/a/./b", "/a/..", "/a\0", "/a\u{f000}", "/a\u{1f600}"]
        {
            assert!(check(path).is_err(), "{path:?}");
        }
    }
}
