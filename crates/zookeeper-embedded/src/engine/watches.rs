//! The watches of all connections.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::engine::connection_id::ConnectionId;
use crate::engine::path;
use crate::protocol::reply::EventKind;
use crate::protocol::request::WatcherType;

/// How long a watch lasts, and which paths it covers (ZooKeeper's `WatcherMode`).
///
/// A connection has one watch on a path in each table. Setting another one replaces it, as in ZooKeeper 3.8.0: a watch
/// that is set by a read replaces a persistent one (ZOOKEEPER-4466).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WatchMode {
    /// For one event at the path.
    Standard,
    /// For all events at the path until the watch is removed.
    Persistent,
    /// For all events at the path and its descendants until the watch is removed, except `ChildrenChanged`.
    Recursive,
}

/// Sends an event of a path to a connection.
pub(crate) trait EventSink: FnMut(ConnectionId, EventKind, &str) {}

impl<T: FnMut(ConnectionId, EventKind, &str)> EventSink for T {}

/// All watches of all connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watches {
    /// Watches on existence and data.
    data: Table,
    /// Watches on lists of children.
    children: Table,
}

impl Watches {
    /// Sets a watch on a znode's existence and data.
    pub(crate) fn watch_data(&mut self, path: &str, connection: ConnectionId) {
        self.data.add(path, connection, WatchMode::Standard);
    }

    /// Sets a watch on a znode's list of children.
    pub(crate) fn watch_children(&mut self, path: &str, connection: ConnectionId) {
        self.children.add(path, connection, WatchMode::Standard);
    }

    /// Sets a persistent watch on existence, data and children.
    pub(crate) fn watch_persistently(&mut self, path: &str, connection: ConnectionId, mode: WatchMode) {
        self.data.add(path, connection, mode);
        self.children.add(path, connection, mode);
    }

    /// Removes the watches of this kind; false if there are none.
    pub(crate) fn remove(&mut self, path: &str, connection: ConnectionId, kind: WatcherType) -> bool {
        let children = kind != WatcherType::Data && self.children.remove(path, connection);
        let data = kind != WatcherType::Children && self.data.remove(path, connection);
        children || data
    }

    /// Whether a connection has watches of this kind.
    pub(crate) fn contains(&self, path: &str, connection: ConnectionId, kind: WatcherType) -> bool {
        kind != WatcherType::Data && self.children.contains(path, connection)
            || kind != WatcherType::Children && self.data.contains(path, connection)
    }

    /// Removes all watches of a connection.
    pub(crate) fn forget(&mut self, connection: ConnectionId) {
        self.data.forget(connection);
        self.children.forget(connection);
    }

    /// Fires the watches for the creation of a znode, then those for the changed children of its parent.
    pub(crate) fn created(&mut self, path: &str, mut send: impl EventSink) {
        self.data.trigger(path, EventKind::Created, |to| send(to, EventKind::Created, path));
        self.parent_changed(path, send);
    }

    /// Fires the watches for the deletion of a znode. A connection with several watches on the path gets one event.
    pub(crate) fn deleted(&mut self, path: &str, mut send: impl EventSink) {
        let mut notified = HashSet::new();
        for table in [&mut self.data, &mut self.children] {
            table.trigger(path, EventKind::Deleted, |to| {
                if notified.insert(to) {
                    send(to, EventKind::Deleted, path);
                }
            });
        }
        self.parent_changed(path, send);
    }

    /// Fires the watches for new data of a znode.
    pub(crate) fn data_set(&mut self, path: &str, mut send: impl EventSink) {
        self.data.trigger(path, EventKind::DataChanged, |to| send(to, EventKind::DataChanged, path));
    }

    fn parent_changed(&mut self, path: &str, mut send: impl EventSink) {
        let parent = path::split(path).0;
        let kind = EventKind::ChildrenChanged;
        self.children.trigger(parent, kind, |to| send(to, kind, parent));
    }

    /// The paths with watches on existence and data, and the connections that watch each.
    pub(crate) fn of_data(&self) -> impl Iterator<Item = (&str, impl Iterator<Item = ConnectionId>)> {
        self.data.by_path.iter().map(|(path, watchers)| (path.as_str(), watchers.keys().copied()))
    }

    /// The number of watches, on data and on children.
    pub(crate) fn len(&self) -> usize {
        self.data.len() + self.children.len()
    }

    /// The number of connections with watches on data, of watched paths, and of pairs of both.
    pub(crate) fn summary(&self) -> (usize, usize, usize) {
        (self.data.by_connection.len(), self.data.by_path.len(), self.data.len())
    }
}

/// The watches of one kind.
#[derive(Clone, Debug, Default)]
struct Table {
    by_path: HashMap<String, BTreeMap<ConnectionId, WatchMode>>,
    by_connection: HashMap<ConnectionId, HashSet<String>>,
    /// The number of recursive watches. If it is 0, the ancestors of a path are not searched.
    recursive: usize,
}

impl Table {
    fn len(&self) -> usize {
        self.by_connection.values().map(HashSet::len).sum()
    }

    fn add(&mut self, path: &str, connection: ConnectionId, mode: WatchMode) {
        let replaced = self.by_path.entry(path.to_owned()).or_default().insert(connection, mode);
        self.by_connection.entry(connection).or_default().insert(path.to_owned());
        self.recursive += usize::from(mode == WatchMode::Recursive);
        self.recursive -= usize::from(replaced == Some(WatchMode::Recursive));
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

    /// Removes an entry from `by_path`. The caller removes it from `by_connection`.
    fn unlist(&mut self, path: &str, connection: ConnectionId) {
        if let Some(watchers) = self.by_path.get_mut(path) {
            let removed = watchers.remove(&connection);
            self.recursive -= usize::from(removed == Some(WatchMode::Recursive));
            if watchers.is_empty() {
                self.by_path.remove(path);
            }
        }
    }

    /// Fires the watches that cover an event at this path: calls `send` once for each connection, in the order of their
    /// ids.
    fn trigger(&mut self, path: &str, kind: EventKind, mut send: impl FnMut(ConnectionId)) {
        let mut watchers: Vec<(ConnectionId, WatchMode)> = Vec::new();
        if let Some(here) = self.by_path.get(path) {
            watchers.extend(here.iter().map(|(connection, mode)| (*connection, *mode)));
        }
        for (connection, mode) in &watchers {
            if *mode == WatchMode::Standard {
                self.remove(path, *connection);
            }
        }
        let of_children = kind == EventKind::ChildrenChanged;
        watchers.retain(|(_, mode)| *mode != WatchMode::Recursive || !of_children);
        if self.recursive > 0 && !of_children {
            let mut above = path;
            while above != "/" {
                above = path::split(above).0;
                let set_above = self.by_path.get(above).into_iter().flatten();
                let covering = set_above.filter(|(_, mode)| **mode == WatchMode::Recursive);
                watchers.extend(covering.map(|(connection, mode)| (*connection, *mode)));
            }
        }
        watchers.sort_unstable_by_key(|(connection, _)| *connection);
        watchers.dedup_by_key(|(connection, _)| *connection);
        watchers.iter().for_each(|(connection, _)| send(*connection));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Sink<'a> = &'a mut dyn FnMut(ConnectionId, EventKind, &str);

    fn events(watches: &mut Watches, act: fn(&mut Watches, Sink<'_>)) -> Vec<String> {
        let mut events = Vec::new();
        act(watches, &mut |to, kind, path| events.push(format!("{to} {kind:?} {path}")));
        events
    }

    fn connection(number: u64) -> ConnectionId {
        ConnectionId::new(number)
    }

    #[test]
    fn a_watch_of_a_read_fires_once() {
        let mut watches = Watches::default();
        watches.watch_data("/a", connection(1));
        watches.watch_children("/", connection(2));
        let created = |watches: &mut Watches, sink: Sink<'_>| watches.created("/a", sink);
        assert_eq!(events(&mut watches, created), ["1 Created /a", "2 ChildrenChanged /"]);
        assert!(events(&mut watches, created).is_empty());
        assert_eq!(watches.summary(), (0, 0, 0));
    }

    #[test]
    fn a_connection_that_watches_data_and_children_gets_one_event_of_a_deletion() {
        let mut watches = Watches::default();
        watches.watch_data("/a", connection(1));
        watches.watch_children("/a", connection(1));
        assert_eq!(events(&mut watches, |watches, sink| watches.deleted("/a", sink)), ["1 Deleted /a"]);
        assert!(!watches.contains("/a", connection(1), WatcherType::Any));
    }

    #[test]
    fn a_recursive_watch_covers_descendants_but_not_changed_children() {
        let mut watches = Watches::default();
        watches.watch_persistently("/a", connection(1), WatchMode::Recursive);
        for _ in 0..2 {
            let events = events(&mut watches, |watches, sink| {
                watches.created("/a/b/c", &mut *sink);
                watches.data_set("/a/b", &mut *sink);
                watches.data_set("/ab", sink);
            });
            assert_eq!(events, ["1 Created /a/b/c", "1 DataChanged /a/b"]);
        }
        assert!(watches.remove("/a", connection(1), WatcherType::Any));
        assert!(!watches.remove("/a", connection(1), WatcherType::Any));
    }

    #[test]
    fn a_closed_connection_gets_no_events() {
        let mut watches = Watches::default();
        watches.watch_persistently("/a", connection(1), WatchMode::Persistent);
        watches.watch_data("/a", connection(2));
        watches.forget(connection(1));
        assert_eq!(events(&mut watches, |watches, sink| watches.data_set("/a", sink)), ["2 DataChanged /a"]);
    }
}
