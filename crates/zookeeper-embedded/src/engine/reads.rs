//! Requests that do not change the tree: reads, and setting or removing watches.

use crate::engine::Engine;
use crate::engine::access;
use crate::engine::connection_id::ConnectionId;
use crate::engine::output::{Output, event_sink};
use crate::engine::tree::{self, Node};
use crate::engine::watches::WatchMode;
use crate::protocol::acl;
use crate::protocol::code::Code;
use crate::protocol::reply::{Body, EventKind, Outcome};
use crate::protocol::request::{Read, Request, SetWatches};
use crate::session_id::SessionId;

/// The most bytes, approximately, that a multi read returns; clients accept far less. Limited because a request of 1 MB
/// could otherwise ask for gigabytes.
const MAX_MULTI_READ: usize = 16 << 20;

impl Engine {
    /// Handles a request that is not a write.
    pub(super) fn read(
        &mut self,
        connection: ConnectionId,
        session: SessionId,
        request: Request,
        out: &mut Vec<Output>,
    ) -> Result<Body, Code> {
        match request {
            Request::Exists { path, watch } => {
                if path.contains('\0') {
                    return Err(Code::BAD_ARGUMENTS);
                }
                // As in ZooKeeper 3.8.0, no permission is needed (3.8.4 requires READ). A missing znode can be watched.
                if watch {
                    self.watches.watch_data(&path, connection);
                }
                self.tree.node(&path).map(|node| Body::Stat(node.stat())).ok_or(Code::NO_NODE)
            }
            Request::Data { path, watch } => {
                let node = self.readable(connection, &path)?;
                let body = Body::Data(node.data(), node.stat());
                if watch {
                    self.watches.watch_data(&path, connection);
                }
                Ok(body)
            }
            Request::Children { path, watch, with_stat } => {
                let node = self.readable(connection, &path)?;
                let (children, stat) = (node.children(), node.stat());
                if watch {
                    self.watches.watch_children(&path, connection);
                }
                Ok(if with_stat { Body::ChildrenAndStat(children, stat) } else { Body::Children(children) })
            }
            Request::Acl { path } => {
                let node = self.tree.node(&path).ok_or(Code::NO_NODE)?;
                self.permit(connection, node.acl(), acl::READ | acl::ADMIN)?;
                let whole = self.permit(connection, node.acl(), acl::ADMIN).is_ok();
                let acl = if whole { node.acl().clone() } else { access::masked(node.acl()) };
                Ok(Body::Acl(acl, node.stat()))
            }
            Request::MultiRead(reads) => {
                let mut left = MAX_MULTI_READ;
                let mut outcomes = Vec::new();
                for read in reads {
                    let outcome = self.read_one(connection, read);
                    let outcome = outcome.unwrap_or_else(|code| Outcome::Failed(Some(code)));
                    left = left.checked_sub(outcome.size()).ok_or(Code::MARSHALLING_ERROR)?;
                    outcomes.push(outcome);
                }
                Ok(Body::Multi(outcomes))
            }
            Request::Sync { path } => Ok(Body::Synced(path)),
            Request::Ephemerals { prefix } => {
                let all = matches!(prefix.trim(), "" | "/");
                let wanted = |path: &&str| all || path.starts_with(&prefix);
                Ok(Body::Children(self.tree.ephemerals(session).filter(wanted).map(str::to_owned).collect()))
            }
            Request::CountBelow { path } => {
                self.readable(connection, &path)?;
                Ok(Body::Count(tree::count(self.tree.count_below(&path))))
            }
            Request::WhoAmI => {
                let ids = self.ids(connection).iter();
                Ok(Body::Identities(ids.map(|id| (id.scheme.clone(), access::user(id).to_owned())).collect()))
            }
            Request::AddWatch { path, recursive } => {
                let mode = if recursive { WatchMode::Recursive } else { WatchMode::Persistent };
                self.watches.watch_persistently(&path, connection, mode);
                Ok(Body::Done)
            }
            Request::CheckWatches { path, kind } => {
                let is_set = self.watches.contains(&path, connection, kind);
                if is_set { Ok(Body::Empty) } else { Err(Code::NO_WATCHER) }
            }
            Request::RemoveWatches { path, kind } => {
                let removed = self.watches.remove(&path, connection, kind);
                if removed { Ok(Body::Empty) } else { Err(Code::NO_WATCHER) }
            }
            Request::SetWatches(watches) => {
                self.set_watches(connection, &watches, out);
                Ok(Body::Empty)
            }
            _ => Err(Code::MARSHALLING_ERROR),
        }
    }

    fn read_one(&self, connection: ConnectionId, read: Read) -> Result<Outcome, Code> {
        Ok(match read {
            Read::Data(path) => {
                let node = self.readable(connection, &path)?;
                Outcome::Data(node.data(), node.stat())
            }
            Read::Children(path) => Outcome::Children(self.readable(connection, &path)?.children()),
        })
    }

    /// The znode at a path if the client has READ permission.
    fn readable(&self, connection: ConnectionId, path: &str) -> Result<&Node, Code> {
        let node = self.tree.node(path).ok_or(Code::NO_NODE)?;
        self.permit(connection, node.acl(), acl::READ)?;
        Ok(node)
    }

    /// Sets the watches again that a client had on its previous connection. A watch whose event the client missed fires
    /// now.
    fn set_watches(&mut self, connection: ConnectionId, watches: &SetWatches, out: &mut Vec<Output>) {
        let mut send = event_sink(out);
        for path in &watches.data {
            match self.tree.node(path).map(Node::stat) {
                None => send(connection, EventKind::Deleted, path),
                Some(stat) if stat.mzxid > watches.seen => send(connection, EventKind::DataChanged, path),
                Some(_) => self.watches.watch_data(path, connection),
            }
        }
        for path in &watches.exists {
            match self.tree.node(path) {
                Some(_) => send(connection, EventKind::Created, path),
                None => self.watches.watch_data(path, connection),
            }
        }
        for path in &watches.children {
            match self.tree.node(path).map(Node::stat) {
                None => send(connection, EventKind::Deleted, path),
                Some(stat) if stat.pzxid > watches.seen => send(connection, EventKind::ChildrenChanged, path),
                Some(_) => self.watches.watch_children(path, connection),
            }
        }
        for (paths, mode) in
            [(&watches.persistent, WatchMode::Persistent), (&watches.recursive, WatchMode::Recursive)]
        {
            for path in paths {
                self.watches.watch_persistently(path, connection, mode);
            }
        }
    }
}
