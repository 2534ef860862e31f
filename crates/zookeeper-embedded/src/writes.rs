//! Requests that change the tree: looking whether all of a transaction is possible, doing it, and telling the watchers.

use std::sync::Arc;
use std::time::Duration;

use crate::acl::{self, Acl};
use crate::code::Code;
use crate::draft::{Change, Draft};
use crate::engine::{ConnectionId, Engine, Output, tell};
use crate::path;
use crate::reply::{Body, EventKind, Outcome};
use crate::request::{CreateAnswer, Write};
use crate::session_id::SessionId;
use crate::tree::Stamp;
use crate::watches::{Tell, Watches};

impl Engine {
    /// One write, as a transaction of its own.
    pub(super) fn write(
        &mut self,
        now: Duration,
        connection: ConnectionId,
        session: SessionId,
        write: Write,
        out: &mut Vec<Output>,
    ) -> Result<Body, Code> {
        let stamp = self.next_stamp(now);
        let change = Draft::new(&self.tree, session, self.ids(connection)).add(write)?;
        Ok(match self.apply(change, stamp, out) {
            Outcome::Created(path) => Body::Path(path),
            Outcome::CreatedWithStat(path, stat) => Body::PathAndStat(path, stat),
            Outcome::Set(stat) => Body::Stat(stat),
            _ => Body::Empty,
        })
    }

    /// Several writes as one transaction.
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
        let mut draft = Draft::new(&self.tree, session, self.ids(connection));
        let mut changes = Vec::new();
        for write in writes {
            match draft.add(write) {
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
            Change::Create { path, data, acl, owner, answer } => {
                self.tree.create(&path, data, acl, owner, stamp);
                let stat = self.tree.node(&path).map(|node| node.stat()).unwrap_or_default();
                let (watches, tell) = self.tell_readers(&path, out);
                watches.created(&path, tell);
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
                let (watches, tell) = self.tell_readers(&path, out);
                watches.data_set(&path, tell);
                self.set(&path)
            }
            Change::SetAcl { path, acl, version } => {
                self.tree.set_acl(&path, acl, version);
                self.set(&path)
            }
            Change::Check => Outcome::Checked,
        }
    }

    fn set(&self, path: &str) -> Outcome {
        Outcome::Set(self.tree.node(path).map(|node| node.stat()).unwrap_or_default())
    }

    /// Deletes a znode and tells those who watch it.
    pub(super) fn delete(&mut self, path: &str, stamp: Stamp, out: &mut Vec<Output>) {
        let acl = self.tree.delete(path, stamp);
        let (watches, tell) = self.tell_readers_of(path, acl, out);
        watches.deleted(path, tell);
    }

    /// The watches, and what puts out an event of this znode or its parent to a connection that may read it.
    fn tell_readers<'a>(&'a mut self, path: &str, out: &'a mut Vec<Output>) -> (&'a mut Watches, impl Tell) {
        let acl = self.tree.node(path).map(|node| node.acl().clone());
        self.tell_readers_of(path, acl, out)
    }

    /// The same for a znode that has, or had, this ACL. (CVE-2024-23944: a watch told whoever left it.)
    fn tell_readers_of<'a>(
        &'a mut self,
        path: &str,
        acl: Option<Arc<[Acl]>>,
        out: &'a mut Vec<Output>,
    ) -> (&'a mut Watches, impl Tell) {
        let Self { tree, watches, connections, .. } = self;
        let parent = tree.node(path::split(path).0).map(|parent| parent.acl().clone());
        let mut tell = tell(out);
        let tell_readers = move |to, kind, path: &str| {
            let acl = if kind == EventKind::ChildrenChanged { &parent } else { &acl };
            let ids = connections.get(&to).map_or(&[][..], |connection| &connection.ids);
            if acl::check(acl.as_deref().unwrap_or_default(), acl::READ, ids).is_ok() {
                tell(to, kind, path);
            }
        };
        (watches, tell_readers)
    }
}
