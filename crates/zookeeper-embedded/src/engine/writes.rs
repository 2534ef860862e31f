//! Requests that change the tree: check all writes of a transaction, apply them, and send events to watchers.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::Engine;
use crate::engine::access;
use crate::engine::connection_id::ConnectionId;
use crate::engine::output::{Output, event_sink};
use crate::engine::path;
use crate::engine::prep::{Change, Prep};
use crate::engine::tree::Stamp;
use crate::engine::watches::{EventSink, Watches};
use crate::protocol::acl::{self, Acl};
use crate::protocol::code::Code;
use crate::protocol::reply::{Body, EventKind, Outcome};
use crate::protocol::request::{CreateAnswer, Write};
use crate::session_id::SessionId;

impl Engine {
    /// Handles one write as a transaction of its own.
    pub(super) fn write(
        &mut self,
        now: Duration,
        connection: ConnectionId,
        session: SessionId,
        write: Write,
        out: &mut Vec<Output>,
    ) -> Result<Body, Code> {
        let stamp = self.next_stamp(now);
        let change = Prep::new(&self.tree, session, self.ids(connection)).add(write)?;
        Ok(match self.apply(change, stamp, out) {
            Outcome::Created(path) => Body::Path(path),
            Outcome::CreatedWithStat(path, stat) => Body::PathAndStat(path, stat),
            Outcome::Set(stat) => Body::Stat(stat),
            _ => Body::Empty,
        })
    }

    /// Handles several writes as one transaction.
    pub(super) fn multi(
        &mut self,
        now: Duration,
        connection: ConnectionId,
        session: SessionId,
        writes: Vec<Write>,
        out: &mut Vec<Output>,
    ) -> Result<Body, Code> {
        let stamp = self.next_stamp(now);
        let count = writes.len();
        let mut prep = Prep::new(&self.tree, session, self.ids(connection));
        let mut changes = Vec::new();
        for write in writes {
            match prep.add(write) {
                Ok(change) => changes.push(change),
                Err(Code::MARSHALLING_ERROR) => return Err(Code::MARSHALLING_ERROR),
                Err(code) => {
                    let mut outcomes = vec![Outcome::Failed(Some(Code::RUNTIME_INCONSISTENCY)); count];
                    outcomes[..changes.len()].fill(Outcome::Failed(None));
                    outcomes[changes.len()] = Outcome::Failed(Some(code));
                    return Ok(Body::Multi(outcomes));
                }
            }
        }
        Ok(Body::Multi(changes.into_iter().map(|change| self.apply(change, stamp, out)).collect()))
    }

    fn apply(&mut self, change: Change, stamp: Stamp, out: &mut Vec<Output>) -> Outcome {
        match change {
            Change::Create { path, data, acl, lifetime, answer } => {
                self.tree.create(&path, data, acl, lifetime, stamp);
                let stat = self.tree.node(&path).map(|node| node.stat()).unwrap_or_default();
                let (watches, sink) = self.events_to_readers(&path, out);
                watches.created(&path, sink);
                match answer {
                    CreateAnswer::Path => Outcome::Created(path),
                    CreateAnswer::PathAndStat | CreateAnswer::PathAndStatOfContainer => {
                        Outcome::CreatedWithStat(path, stat)
                    }
                }
            }
            Change::Delete { path } => {
                self.delete(&path, stamp, out);
                Outcome::Deleted
            }
            Change::SetData { path, data, version } => {
                self.tree.set_data(&path, data, version, stamp);
                let (watches, sink) = self.events_to_readers(&path, out);
                watches.data_set(&path, sink);
                self.stat_after_set(&path)
            }
            Change::SetAcl { path, acl, version } => {
                self.tree.set_acl(&path, acl, version);
                self.stat_after_set(&path)
            }
            Change::Check => Outcome::Checked,
        }
    }

    fn stat_after_set(&self, path: &str) -> Outcome {
        Outcome::Set(self.tree.node(path).map(|node| node.stat()).unwrap_or_default())
    }

    /// Deletes a znode, and sends events to its watchers.
    pub(super) fn delete(&mut self, path: &str, stamp: Stamp, out: &mut Vec<Output>) {
        let acl = self.tree.delete(path, stamp);
        let (watches, sink) = self.events_to_readers_by(path, acl, out);
        watches.deleted(path, sink);
    }

    /// The watches, and a sink for events of this znode and its parent that drops events to clients without READ
    /// permission, as servers do since the fix of CVE-2024-23944.
    fn events_to_readers<'a>(
        &'a mut self,
        path: &str,
        out: &'a mut Vec<Output>,
    ) -> (&'a mut Watches, impl EventSink) {
        let acl = self.tree.node(path).map(|node| node.acl().clone());
        self.events_to_readers_by(path, acl, out)
    }

    /// The same for a znode that has, or had before its deletion, this ACL.
    fn events_to_readers_by<'a>(
        &'a mut self,
        path: &str,
        acl: Option<Arc<[Acl]>>,
        out: &'a mut Vec<Output>,
    ) -> (&'a mut Watches, impl EventSink) {
        let Self { tree, watches, connections, .. } = self;
        let parent = tree.node(path::split(path).0).map(|parent| parent.acl().clone());
        let mut send = event_sink(out);
        let sink = move |to, kind, path: &str| {
            let acl = if kind == EventKind::ChildrenChanged { &parent } else { &acl };
            let ids = connections.get(&to).map_or(&[][..], |connection| &connection.ids);
            if access::check(acl.as_deref().unwrap_or_default(), acl::READ, ids).is_ok() {
                send(to, kind, path);
            }
        };
        (watches, sink)
    }
}
