//! What random requests are made of.

use crate::operations::{Acl, AclEntry, Data};

/// The names of nodes.
pub const NAMES: &[&str] = &["a", "b", "c"];

/// What nodes hold.
pub const DATA: &[Data] =
    &[None, Some(""), Some("x"), Some("yy"), Some("a longer text, of more than one word")];

/// Paths that are special or wrong, mostly in the subtree `top`.
///
/// Below `/zookeeper/quota` ZooKeeper counts nodes, which is another matter.
pub fn odd_paths(top: &str) -> Vec<String> {
    let mut paths: Vec<String> = ["", "a", "/", "//", "/zookeeper", "/zookeeper/config", "/zookeeper/quota"]
        .iter()
        .chain(&["/zookeeper/a", "/nowhere/a", "/."])
        .map(|path| (*path).to_owned())
        .collect();
    let names =
        ["", "/a", ".", "..", "...", ".a", "./a", "a/", "a/.", "a/..", "a/../b", "a//b", "a/b/", "a b"];
    // The first and last characters of the forbidden ranges, and their neighbours.
    let characters = ["\0", "a\0", "\u{1}", "\u{1f}", "\u{20}", "\u{7e}", "\u{7f}", "\u{9f}", "\u{a0}", "é"]
        .iter()
        .chain(&[
            "\u{d7ff}", "\u{e000}", "\u{f8ff}", "\u{f900}", "\u{ffef}", "\u{fff0}", "\u{fffd}", "\u{ffff}",
        ])
        .chain(&["\u{10000}", "😀"]);
    paths.extend(names.iter().chain(characters).map(|name| format!("{top}/{name}")));
    paths
}

/// Authentication schemes and credentials. A failure closes the connection.
pub const CREDENTIALS: &[(&str, Data)] = &[
    ("digest", Some("alice:secret")),
    ("digest", Some("alice:secret")),
    ("digest", Some("alice:secret")),
    ("digest", Some("bob:secret")),
    ("digest", Some("bob:secret")),
    ("digest", Some("carol:secret")),
    ("digest", Some("carol:another:secret")),
    ("digest", Some("carol")),
    ("digest", Some("")),
    ("digest", None),
    ("ip", Some("")),
    ("ip", Some("10.0.0.1")),
    ("world", Some("anyone")),
    ("nonsense", Some("alice:secret")),
];

/// Makes an access control list.
pub type MakeAcl = fn() -> Acl;

/// The access control list that grants everything to every client.
pub const OPEN: MakeAcl = || list(&[(ALL, "world", "anyone")]);

/// Access control lists, and how often each is used.
pub const ACLS: &[(u32, MakeAcl)] = &[
    (900, OPEN),
    (20, || list(&[(ALL, "auth", "")])),
    (20, || list(&[(ALL, "auth", "whoever"), (READ, "world", "anyone")])),
    (20, || list(&[(ALL, "digest", ALICE)])),
    (20, || list(&[(ALL, "digest", ALICE), (READ | WRITE, "digest", BOB), (READ, "world", "anyone")])),
    (20, || list(&[(ALL, "digest", BOB), (READ, "digest", ALICE)])),
    (20, || list(&[(ALL & !READ, "world", "anyone"), (READ, "digest", CAROL)])),
    (20, || list(&[(READ, "world", "anyone")])),
    (10, || list(&[(READ | WRITE | CREATE, "world", "anyone")])),
    (10, || list(&[(CREATE | DELETE, "world", "anyone"), (ADMIN, "digest", BOB)])),
    (10, || list(&[(ALL, "ip", "127.0.0.1")])),
    (10, || list(&[(ALL, "ip", "127.0.0.0/8")])),
    (10, || list(&[(ALL, "ip", "126.1.2.3/7"), (READ, "ip", "10.0.0.0/0")])),
    (10, || list(&[(ALL, "ip", "10.0.0.1"), (READ, "ip", "127.0.0.2/31")])),
    (10, || list(&[(0, "world", "anyone")])),
    (10, || list(&[(64 | ALL, "world", "anyone"), (-1, "digest", ALICE)])),
    // The same twice, and the same user with different permissions.
    (10, || list(&[(ALL, "world", "anyone"), (ALL, "world", "anyone")])),
    (10, || list(&[(READ, "digest", BOB), (ALL, "auth", ""), (READ, "digest", BOB), (ALL, "digest", BOB)])),
    // Digests that are valid in form.
    (5, || list(&[(ALL, "digest", ":hash"), (ALL, "world", "anyone")])),
    (5, || list(&[(ALL, "digest", "user:hash:"), (ALL, "world", "anyone")])),
    // Invalid ones.
    (10, || None),
    (10, || list(&[])),
    (5, || list(&[(ALL, "digest", "")])),
    (5, || list(&[(ALL, "digest", "alice")])),
    (5, || list(&[(ALL, "digest", "alice:")])),
    (5, || list(&[(ALL, "digest", "a:b:c")])),
    (5, || list(&[(ALL, "ip", "localhost")])),
    (5, || list(&[(ALL, "ip", "127.0.0.256")])),
    (5, || list(&[(ALL, "ip", "127.0.0.1/33")])),
    (5, || list(&[(ALL, "ip", "127.0.0.1/")])),
    (5, || list(&[(ALL, "ip", "127.0.0")])),
    (5, || list(&[(ALL, "world", "nobody")])),
    (5, || list(&[(ALL, "super", "")])),
    (5, || list(&[(ALL, "nonsense", "anyone")])),
    (5, || list(&[(ALL, "world", "anyone"), (ALL, "", "")])),
    (5, || Some(vec![AclEntry { permissions: ALL, scheme: None, id: Some("anyone") }])),
    (5, || Some(vec![AclEntry { permissions: ALL, scheme: Some("world"), id: None }])),
    (5, || Some(vec![AclEntry { permissions: ALL, scheme: Some("digest"), id: None }])),
    (5, || Some(vec![AclEntry { permissions: ALL, scheme: Some("ip"), id: None }])),
];

/// Access control lists for the root: everybody can create and delete there, and change the list.
pub const ROOT_ACLS: &[MakeAcl] = &[
    OPEN,
    OPEN,
    || list(&[(CREATE | DELETE | ADMIN, "world", "anyone")]),
    || list(&[(ALL & !READ, "world", "anyone"), (ALL, "auth", "")]),
    || list(&[(ALL & !WRITE, "world", "anyone"), (WRITE, "digest", ALICE)]),
];

const READ: i32 = 1;
const WRITE: i32 = 2;
const CREATE: i32 = 4;
const DELETE: i32 = 8;
const ADMIN: i32 = 16;
const ALL: i32 = 31;

// The users' names and the base64 of the SHA-1 of `<name>:secret`.
const ALICE: &str = "alice:aYXlLOpEooaV1cRAvUL1fp9Qt7E=";
const BOB: &str = "bob:fyVmFCwVbTJYrznoSu1koqYEYF0=";
const CAROL: &str = "carol:jtnODfqZfOMu7mWFjLLprKJk7Wo=";

fn list(entries: &[(i32, &'static str, &'static str)]) -> Acl {
    let entry = |&(permissions, scheme, id)| AclEntry { permissions, scheme: Some(scheme), id: Some(id) };
    Some(entries.iter().map(entry).collect())
}
