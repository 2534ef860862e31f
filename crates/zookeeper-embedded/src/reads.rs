//! Requests that change nothing in the tree: reading, and leaving or removing watches.

use crate::acl;
use crate::code::Code;
use crate::engine::{ConnectionId, Engine, Output, tell};
use crate::reply::{Body, EventKind, Outcome};
use crate::request::{Read, Request, SetWatches};
use crate::session_id::SessionId;
use crate::tree::{self, Node};
use crate::watches::Lasting;

/// About how many bytes several reads at once may return, far beyond what clients accept: without a limit, a request
/// of 1 MB could ask for gigabytes.
const LONGEST: usize = 16 << 20;

impl Engine {
    /// Answers a request that is no write.
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
                // No permission is needed (from 3.8.4 on ZooKeeper wants one), and a znode that is missing can be
                // watched.
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
                let acl = if whole { node.acl().clone() } else { acl::masked(node.acl()) };
                Ok(Body::Acl(acl, node.stat()))
            }
            Request::MultiRead(reads) => {
                let mut left = LONGEST;
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
                Ok(Body::Identities(ids.map(|id| (id.scheme.clone(), id.user().to_owned())).collect()))
            }
            Request::AddWatch { path, recursive } => {
                let lasting = if recursive { Lasting::Recursive } else { Lasting::Persistent };
                self.watches.watch_for_ever(&path, connection, lasting);
                Ok(Body::Done)
            }
            Request::CheckWatches { path, which } => {
                let there = self.watches.contains(&path, connection, which);
                if there { Ok(Body::Empty) } else { Err(Code::NO_WATCHER) }
            }
            Request::RemoveWatches { path, which } => {
                let removed = self.watches.remove(&path, connection, which);
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

    /// A znode that the client may read.
    fn readable(&self, connection: ConnectionId, path: &str) -> Result<&Node, Code> {
        let node = self.tree.node(path).ok_or(Code::NO_NODE)?;
        self.permit(connection, node.acl(), acl::READ)?;
        Ok(node)
    }

    /// Leaves the watches again that a client had on its last connection; those whose event was missed fire now.
    fn set_watches(&mut self, connection: ConnectionId, watches: &SetWatches, out: &mut Vec<Output>) {
        let mut tell = tell(out);
        for path in &watches.data {
            match self.tree.node(path).map(Node::stat) {
                None => tell(connection, EventKind::Deleted, path),
                Some(stat) if stat.mzxid > watches.seen => tell(connection, EventKind::DataChanged, path),
                Some(_) => self.watches.watch_data(path, connection),
            }
        }
        for path in &watches.exists {
            match self.tree.node(path) {
                Some(_) => tell(connection, EventKind::Created, path),
                None => self.watches.watch_data(path, connection),
            }
        }
        for path in &watches.children {
            match self.tree.node(path).map(Node::stat) {
                None => tell(connection, EventKind::Deleted, path),
                Some(stat) if stat.pzxid > watches.seen => tell(connection, EventKind::ChildrenChanged, path),
                Some(_) => self.watches.watch_children(path, connection),
            }
        }
        for (paths, lasting) in
            [(&watches.persistent, Lasting::Persistent), (&watches.recursive, Lasting::Recursive)]
        {
            for path in paths {
                self.watches.watch_for_ever(path, connection, lasting);
            }
        }
    }
}
