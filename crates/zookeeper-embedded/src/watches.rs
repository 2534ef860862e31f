//! Watches: which connection wants to hear of which paths.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::engine::ConnectionId;
use crate::path;
use crate::reply::EventKind;
use crate::request::WhichWatches;

/// How long a watch lasts, and what it covers.
///
/// A connection has one watch on a path in each table. Setting another one replaces it, as in ZooKeeper 3.8.0
/// (ZOOKEEPER-4466): one that is left by reading replaces one that was to stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lasting {
    /// For one event, at the path itself.
    Once,
    /// Until it is removed, for events at the path itself.
    Persistent,
    /// Until it is removed, for events at the path and everything below, but not of changed children.
    Recursive,
}

/// Tells a connection what happened at a path.
pub(crate) trait Tell: FnMut(ConnectionId, EventKind, &str) {}

impl<T: FnMut(ConnectionId, EventKind, &str)> Tell for T {}

/// All watches of all connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watches {
    /// Left by reading data or by looking for a znode.
    data: Table,
    /// Left by reading children.
    children: Table,
}

impl Watches {
    /// A watch on a znode's existence and data.
    pub(crate) fn watch_data(&mut self, path: &str, connection: ConnectionId) {
        self.data.add(path, connection, Lasting::Once);
    }

    /// A watch on a znode's children.
    pub(crate) fn watch_children(&mut self, path: &str, connection: ConnectionId) {
        self.children.add(path, connection, Lasting::Once);
    }

    /// A watch that stays, on everything.
    pub(crate) fn watch_for_ever(&mut self, path: &str, connection: ConnectionId, lasting: Lasting) {
        self.data.add(path, connection, lasting);
        self.children.add(path, connection, lasting);
    }

    /// Removes watches of a connection, and tells whether there were any.
    pub(crate) fn remove(&mut self, path: &str, connection: ConnectionId, which: WhichWatches) -> bool {
        let children = which != WhichWatches::Data && self.children.remove(path, connection);
        let data = which != WhichWatches::Children && self.data.remove(path, connection);
        children || data
    }

    /// Whether a connection has such watches.
    pub(crate) fn contains(&self, path: &str, connection: ConnectionId, which: WhichWatches) -> bool {
        which != WhichWatches::Data && self.children.contains(path, connection)
            || which != WhichWatches::Children && self.data.contains(path, connection)
    }

    /// Removes all watches of a connection.
    pub(crate) fn forget(&mut self, connection: ConnectionId) {
        self.data.forget(connection);
        self.children.forget(connection);
    }

    /// Who is to hear that the znode was created: of it, and then of its parent's changed children.
    pub(crate) fn created(&mut self, path: &str, mut tell: impl Tell) {
        self.data.trigger(path, EventKind::Created, |to| tell(to, EventKind::Created, path));
        self.parent_changed(path, tell);
    }

    /// Who is to hear that the znode was deleted; a connection hears it once, whatever it watches.
    pub(crate) fn deleted(&mut self, path: &str, mut tell: impl Tell) {
        let mut told = HashSet::new();
        for table in [&mut self.data, &mut self.children] {
            table.trigger(path, EventKind::Deleted, |to| {
                if told.insert(to) {
                    tell(to, EventKind::Deleted, path);
                }
            });
        }
        self.parent_changed(path, tell);
    }

    /// Who is to hear that the znode's data was set.
    pub(crate) fn data_set(&mut self, path: &str, mut tell: impl Tell) {
        self.data.trigger(path, EventKind::DataChanged, |to| tell(to, EventKind::DataChanged, path));
    }

    fn parent_changed(&mut self, path: &str, mut tell: impl Tell) {
        let parent = path::split(path).0;
        let kind = EventKind::ChildrenChanged;
        self.children.trigger(parent, kind, |to| tell(to, kind, parent));
    }

    /// The paths whose existence and data are watched, and the connections that watch each.
    pub(crate) fn of_data(&self) -> impl Iterator<Item = (&str, impl Iterator<Item = ConnectionId>)> {
        self.data.by_path.iter().map(|(path, watchers)| (path.as_str(), watchers.keys().copied()))
    }

    /// All watches, of data and of children.
    pub(crate) fn len(&self) -> usize {
        self.data.len() + self.children.len()
    }

    /// Connections that watch data, paths that they watch, and pairs of both.
    pub(crate) fn summary(&self) -> (usize, usize, usize) {
        (self.data.by_connection.len(), self.data.by_path.len(), self.data.len())
    }
}

/// Watches of one kind.
#[derive(Clone, Debug, Default)]
struct Table {
    by_path: HashMap<String, BTreeMap<ConnectionId, Lasting>>,
    by_connection: HashMap<ConnectionId, HashSet<String>>,
    /// The number of recursive watches: without any, nobody looks at the parents of a path.
    recursive: usize,
}

impl Table {
    fn len(&self) -> usize {
        self.by_connection.values().map(HashSet::len).sum()
    }

    fn add(&mut self, path: &str, connection: ConnectionId, lasting: Lasting) {
        let replaced = self.by_path.entry(path.to_owned()).or_default().insert(connection, lasting);
        self.by_connection.entry(connection).or_default().insert(path.to_owned());
        self.recursive += usize::from(lasting == Lasting::Recursive);
        self.recursive -= usize::from(replaced == Some(Lasting::Recursive));
    }

    fn remove(&mut self, path: &str, connection: ConnectionId) -> bool {
        let Some(paths) = self.by_connection.get_mut(&connection) else {
            return false;
        };
        if !paths.remove(path) {
            return false;
        }
        if paths.is_empty() {
            self.by_connection.remove(&connection);
        }
        self.unlist(path, connection);
        true
    }

    fn contains(&self, path: &str, connection: ConnectionId) -> bool {
        self.by_path.get(path).is_some_and(|watchers| watchers.contains_key(&connection))
    }

    fn forget(&mut self, connection: ConnectionId) {
        for path in self.by_connection.remove(&connection).unwrap_or_default() {
            self.unlist(&path, connection);
        }
    }

    /// Removes one side of an entry; the other side is the caller's.
    fn unlist(&mut self, path: &str, connection: ConnectionId) {
        if let Some(watchers) = self.by_path.get_mut(path) {
            let removed = watchers.remove(&connection);
            self.recursive -= usize::from(removed == Some(Lasting::Recursive));
            if watchers.is_empty() {
                self.by_path.remove(path);
            }
        }
    }

    /// Tells each connection once whose watch covers an event at this path, in the order of their ids.
    fn trigger(&mut self, path: &str, kind: EventKind, mut tell: impl FnMut(ConnectionId)) {
        let mut watchers: Vec<(ConnectionId, Lasting)> = Vec::new();
        if let Some(here) = self.by_path.get(path) {
            watchers.extend(here.iter().map(|(connection, lasting)| (*connection, *lasting)));
        }
        for (connection, lasting) in &watchers {
            if *lasting == Lasting::Once {
                self.remove(path, *connection);
            }
        }
        let of_children = kind == EventKind::ChildrenChanged;
        watchers.retain(|(_, lasting)| *lasting != Lasting::Recursive || !of_children);
        if self.recursive > 0 && !of_children {
            let mut above = path;
            while above != "/" {
                above = path::split(above).0;
                let there = self.by_path.get(above).into_iter().flatten();
                let covering = there.filter(|(_, lasting)| **lasting == Lasting::Recursive);
                watchers.extend(covering.map(|(connection, lasting)| (*connection, *lasting)));
            }
        }
        watchers.sort_unstable_by_key(|(connection, _)| *connection);
        watchers.dedup_by_key(|(connection, _)| *connection);
        watchers.iter().for_each(|(connection, _)| tell(*connection));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Teller<'a> = &'a mut dyn FnMut(ConnectionId, EventKind, &str);

    fn told(watches: &mut Watches, act: fn(&mut Watches, Teller<'_>)) -> Vec<String> {
        let mut told = Vec::new();
        act(watches, &mut |to, kind, path| told.push(format!("{to} {kind:?} {path}")));
        told
    }

    fn connection(number: u64) -> ConnectionId {
        ConnectionId::new(number)
    }

    #[test]
    fn a_watch_left_by_reading_fires_once() {
        let mut watches = Watches::default();
        watches.watch_data("/a", connection(1));
        watches.watch_children("/", connection(2));
        let created = |watches: &mut Watches, tell: Teller<'_>| watches.created("/a", tell);
        assert_eq!(told(&mut watches, created), ["1 Created /a", "2 ChildrenChanged /"]);
        assert!(told(&mut watches, created).is_empty());
        assert_eq!(watches.summary(), (0, 0, 0));
    }

    #[test]
    fn whoever_watches_data_and_children_hears_of_a_deletion_once() {
        let mut watches = Watches::default();
        watches.watch_data("/a", connection(1));
        watches.watch_children("/a", connection(1));
        assert_eq!(told(&mut watches, |watches, tell| watches.deleted("/a", tell)), ["1 Deleted /a"]);
        assert!(!watches.contains("/a", connection(1), WhichWatches::Any));
    }

    #[test]
    fn a_recursive_watch_covers_what_is_below_but_not_changed_children() {
        let mut watches = Watches::default();
        watches.watch_for_ever("/a", connection(1), Lasting::Recursive);
        for _ in 0..2 {
            let told = told(&mut watches, |watches, tell| {
                watches.created("/a/b/c", &mut *tell);
                watches.data_set("/a/b", &mut *tell);
                watches.data_set("/ab", tell);
            });
            assert_eq!(told, ["1 Created /a/b/c", "1 DataChanged /a/b"]);
        }
        assert!(watches.remove("/a", connection(1), WhichWatches::Any));
        assert!(!watches.remove("/a", connection(1), WhichWatches::Any));
    }

    #[test]
    fn a_connection_that_is_gone_is_not_told() {
        let mut watches = Watches::default();
        watches.watch_for_ever("/a", connection(1), Lasting::Persistent);
        watches.watch_data("/a", connection(2));
        watches.forget(connection(1));
        assert_eq!(told(&mut watches, |watches, tell| watches.data_set("/a", tell)), ["2 DataChanged /a"]);
    }
}
