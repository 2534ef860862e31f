//! The tree of znodes, and its changes by committed writes.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::engine::path;
use crate::protocol::acl::{self, Acl};
use crate::protocol::reply::Stat;
use crate::protocol::request::Data;
use crate::session_id::SessionId;

/// The transaction id and the time of a change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    pub(crate) zxid: i64,
    /// Milliseconds since 1970.
    pub(crate) time: i64,
}

/// The kind of znode, by its lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// Stays until it is deleted.
    Persistent,
    /// Is deleted by the server some time after its last child was deleted.
    Container,
    /// Is deleted when this session ends.
    Session(SessionId),
}

/// A znode.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    data: Data,
    acl: Arc<[Acl]>,
    lifetime: Lifetime,
    children: BTreeSet<Box<str>>,
    /// How many children were ever created: the number of the next sequential child.
    creations: i32,
    created: Stamp,
    data_set: Stamp,
    children_changed: i64,
    version: i32,
    acl_version: i32,
}

/// All znodes. The caller has checked each change before ([`prep`](super::prep)).
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    nodes: HashMap<Box<str>, Node>,
    /// The ephemeral znodes by session, in the order of their czxids.
    ephemerals: HashMap<SessionId, BTreeSet<(i64, Box<str>)>>,
    containers: BTreeSet<Box<str>>,
}

impl Tree {
    /// The tree of a new server: the root and ZooKeeper's own znodes.
    pub(crate) fn new() -> Self {
        const START: Stamp = Stamp { zxid: 0, time: 0 };
        let mut nodes = HashMap::new();
        for (path, children, permissions, acl_version) in [
            ("/", &["zookeeper"][..], acl::ALL, 0),
            ("/zookeeper", &["config", "quota"], acl::ALL, 0),
            ("/zookeeper/config", &[], acl::READ, -1),
            ("/zookeeper/quota", &[], acl::ALL, 0),
        ] {
            let mut node =
                Node::new(Some(Arc::default()), Acl::world(permissions), Lifetime::Persistent, START);
            node.children = children.iter().map(|name| Box::from(*name)).collect();
            node.acl_version = acl_version;
            nodes.insert(path.into(), node);
        }
        Self { nodes, ephemerals: HashMap::new(), containers: BTreeSet::new() }
    }

    /// The znode at a path. The empty path stands for the root too.
    pub(crate) fn node(&self, path: &str) -> Option<&Node> {
        self.nodes.get(if path.is_empty() { "/" } else { path })
    }

    /// Creates a znode.
    pub(crate) fn create(
        &mut self,
        path: &str,
        data: Data,
        acl: Arc<[Acl]>,
        lifetime: Lifetime,
        stamp: Stamp,
    ) {
        let (parent, name) = path::split(path);
        if let Some(parent) = self.nodes.get_mut(parent) {
            parent.children.insert(name.into());
            parent.creations = parent.creations.wrapping_add(1);
            parent.children_changed = stamp.zxid;
        }
        match lifetime {
            Lifetime::Persistent => {}
            Lifetime::Container => drop(self.containers.insert(path.into())),
            Lifetime::Session(session) => {
                self.ephemerals.entry(session).or_default().insert((stamp.zxid, path.into()));
            }
        }
        self.nodes.insert(path.into(), Node::new(data, acl, lifetime, stamp));
    }

    /// Deletes a znode, and returns its ACL.
    pub(crate) fn delete(&mut self, path: &str, stamp: Stamp) -> Option<Arc<[Acl]>> {
        let (parent, name) = path::split(path);
        if let Some(parent) = self.nodes.get_mut(parent) {
            parent.children.remove(name);
            parent.children_changed = stamp.zxid;
        }
        let node = self.nodes.remove(path)?;
        match node.lifetime {
            Lifetime::Persistent => {}
            Lifetime::Container => drop(self.containers.remove(path)),
            Lifetime::Session(session) => {
                if let Some(nodes) = self.ephemerals.get_mut(&session) {
                    nodes.remove(&(node.created.zxid, path.into()));
                    if nodes.is_empty() {
                        self.ephemerals.remove(&session);
                    }
                }
            }
        }
        Some(node.acl)
    }

    /// Sets a znode's data.
    pub(crate) fn set_data(&mut self, path: &str, data: Data, version: i32, stamp: Stamp) {
        if let Some(node) = self.nodes.get_mut(path) {
            node.data = data;
            node.version = version;
            node.data_set = stamp;
        }
    }

    /// Sets a znode's ACL.
    pub(crate) fn set_acl(&mut self, path: &str, acl: Arc<[Acl]>, version: i32) {
        if let Some(node) = self.nodes.get_mut(path) {
            node.acl = acl;
            node.acl_version = version;
        }
    }

    /// The ephemeral znodes of a session, in the order of their creation.
    pub(crate) fn ephemerals(&self, session: SessionId) -> impl Iterator<Item = &str> {
        self.ephemerals.get(&session).into_iter().flatten().map(|(_, path)| &**path)
    }

    /// The sessions that have ephemeral znodes.
    pub(crate) fn owners(&self) -> impl ExactSizeIterator<Item = SessionId> {
        self.ephemerals.keys().copied()
    }

    /// The containers that had children but have none now.
    pub(crate) fn empty_containers(&self) -> Vec<String> {
        let empty =
            |path: &&str| self.node(path).is_some_and(|node| node.creations > 0 && node.children.is_empty());
        self.containers.iter().map(|path| &**path).filter(empty).map(str::to_owned).collect()
    }

    /// The number of descendants of the znode at this path.
    pub(crate) fn count_below(&self, path: &str) -> usize {
        if path == "/" {
            return self.nodes.len() - 1;
        }
        let below = |other: &str| other.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
        self.nodes.keys().filter(|other| below(other)).count()
    }

    /// The number of znodes, including the root.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The approximate size of paths and data in bytes.
    pub(crate) fn size(&self) -> usize {
        self.nodes
            .iter()
            .map(|(path, node)| path.len() + node.data.as_ref().map_or(0, |data| data.len()))
            .sum()
    }
}

impl Node {
    fn new(data: Data, acl: Arc<[Acl]>, lifetime: Lifetime, stamp: Stamp) -> Self {
        Self {
            data,
            acl,
            lifetime,
            children: BTreeSet::new(),
            creations: 0,
            created: stamp,
            data_set: stamp,
            children_changed: stamp.zxid,
            version: 0,
            acl_version: 0,
        }
    }

    /// The data.
    pub(crate) fn data(&self) -> Data {
        self.data.clone()
    }

    /// The names of the children, sorted.
    pub(crate) fn children(&self) -> Vec<String> {
        self.children.iter().map(|name| name.to_string()).collect()
    }

    /// The number of children.
    pub(crate) fn child_count(&self) -> usize {
        self.children.len()
    }

    /// How many children were ever created.
    pub(crate) const fn creations(&self) -> i32 {
        self.creations
    }

    /// The access control list.
    pub(crate) const fn acl(&self) -> &Arc<[Acl]> {
        &self.acl
    }

    /// The kind of znode.
    pub(crate) const fn lifetime(&self) -> Lifetime {
        self.lifetime
    }

    /// The metadata. `cversion` counts each creation and each deletion of a child.
    pub(crate) fn stat(&self) -> Stat {
        let children = count(self.children.len());
        Stat {
            czxid: self.created.zxid,
            mzxid: self.data_set.zxid,
            ctime: self.created.time,
            mtime: self.data_set.time,
            version: self.version,
            cversion: self.creations.wrapping_mul(2).wrapping_sub(children),
            aversion: self.acl_version,
            ephemeral_owner: match self.lifetime {
                Lifetime::Session(session) => session.raw(),
                Lifetime::Persistent | Lifetime::Container => 0,
            },
            data_length: self.data.as_ref().map_or(0, |data| count(data.len())),
            num_children: children,
            pzxid: self.children_changed,
        }
    }
}

/// A count as it is transmitted.
pub(crate) fn count(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: fn(i64) -> Stamp = |zxid| Stamp { zxid, time: 1000 + zxid };

    fn create(tree: &mut Tree, path: &str, lifetime: Lifetime, zxid: i64) {
        tree.create(path, None, Acl::world(acl::ALL), lifetime, AT(zxid));
    }

    #[test]
    fn a_stat_reflects_all_changes_of_a_znode() {
        let mut tree = Tree::new();
        create(&mut tree, "/a", Lifetime::Persistent, 1);
        tree.set_data("/a", Some(Arc::from(*b"abc")), 1, AT(2));
        create(&mut tree, "/a/b", Lifetime::Persistent, 3);
        create(&mut tree, "/a/c", Lifetime::Persistent, 4);
        tree.delete("/a/b", AT(5));
        let stat = tree.node("/a").unwrap().stat();
        let expected = Stat {
            czxid: 1,
            mzxid: 2,
            ctime: 1001,
            mtime: 1002,
            version: 1,
            cversion: 3,
            aversion: 0,
            ephemeral_owner: 0,
            data_length: 3,
            num_children: 1,
            pzxid: 5,
        };
        assert_eq!(stat, expected);
        assert_eq!(
            tree.node("/").unwrap().stat().cversion,
            0,
            "-1 at first, because the znode /zookeeper was not created by a transaction"
        );
    }

    #[test]
    fn ephemeral_znodes_are_listed_in_the_order_of_their_creation() {
        let mut tree = Tree::new();
        let lifetime = Lifetime::Session(SessionId::from_raw(7));
        for (zxid, path) in ["/c", "/a", "/b"].into_iter().enumerate() {
            create(&mut tree, path, lifetime, zxid as i64);
        }
        tree.delete("/a", AT(9));
        assert_eq!(tree.ephemerals(SessionId::from_raw(7)).collect::<Vec<_>>(), ["/c", "/b"]);
        assert_eq!(tree.node("/c").unwrap().stat().ephemeral_owner, 7);
    }

    #[test]
    fn a_container_is_empty_only_after_it_had_a_child() {
        let mut tree = Tree::new();
        create(&mut tree, "/box", Lifetime::Container, 1);
        assert!(tree.empty_containers().is_empty());
        create(&mut tree, "/box/a", Lifetime::Persistent, 2);
        assert!(tree.empty_containers().is_empty());
        tree.delete("/box/a", AT(3));
        assert_eq!(tree.empty_containers(), ["/box"]);
        assert_eq!(tree.node("/box").unwrap().stat().ephemeral_owner, 0);
    }

    #[test]
    fn descendants_are_counted() {
        let mut tree = Tree::new();
        for path in ["/a", "/a/b", "/a/b/c", "/ab"] {
            create(&mut tree, path, Lifetime::Persistent, 1);
        }
        assert_eq!(tree.count_below("/a"), 2);
        assert_eq!(tree.count_below("/"), 7);
        assert_eq!(tree.count_below("/none"), 0);
    }
}
