//! Looks whether writes are possible, as ZooKeeper does before it commits them: one alone, or several as a whole.

use std::collections::HashMap;
use std::sync::Arc;

use crate::acl::{self, Acl, Asked, Id};
use crate::code::Code;
use crate::path;
use crate::request::{Action, CreateAnswer, Data, Write, create};
use crate::session_id::SessionId;
use crate::tree::{Node, Owner, Tree};

/// A write that is possible: what it does to the tree.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Create { path: String, data: Data, acl: Arc<[Acl]>, owner: Owner, answer: CreateAnswer },
    Delete { path: String },
    SetData { path: String, data: Data, version: i32 },
    SetAcl { path: String, acl: Arc<[Acl]>, version: i32 },
    Check,
}

/// A transaction under preparation: the tree, and what the writes before would have changed in it.
///
/// Give it one [`Write`] after another, and apply the [`Change`]s if all of them are possible.
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    tree: &'a Tree,
    session: SessionId,
    /// Who the client has proven to be.
    ids: &'a [Id],
    /// Znodes as the writes before left them; `None` for those that they deleted.
    changed: HashMap<String, Option<Record>>,
}

/// What matters of a znode to the writes that follow.
#[derive(Clone, Debug)]
struct Record {
    acl: Arc<[Acl]>,
    owner: Owner,
    version: i32,
    acl_version: i32,
    creations: i32,
    children: usize,
}

impl<'a> Draft<'a> {
    /// Nothing yet, of a client with this session that has proven these ids.
    pub(crate) fn new(tree: &'a Tree, session: SessionId, ids: &'a [Id]) -> Self {
        Self { tree, session, ids, changed: HashMap::new() }
    }

    /// Looks whether a write is possible after those before. The order of the checks is ZooKeeper's: it decides
    /// which error a client sees of several.
    pub(crate) fn add(&mut self, write: Write) -> Result<Change, Code> {
        let Write { path, action } = write;
        match action {
            Action::Create { data, acl, flags, time_to_live, answer } => {
                let kind = Kind::of(flags, time_to_live)?;
                self.create(path.ok_or(Code::MARSHALLING_ERROR)?, data, &acl, kind, answer)
            }
            Action::Delete { version } => self.delete(path.ok_or(Code::MARSHALLING_ERROR)?, version),
            Action::SetData { data, version } => {
                let path = valid_path(path)?;
                let record = self.record(&path)?;
                acl::check(&record.acl, acl::WRITE, self.ids)?;
                let version = next_version(record.version, version)?;
                self.changed.insert(path.clone(), Some(Record { version, ..record }));
                Ok(Change::SetData { path, data, version })
            }
            Action::SetAcl { acl, version } => {
                let path = valid_path(path)?;
                let acl = acl::resolve(&acl, self.ids)?;
                let record = self.record(&path)?;
                acl::check(&record.acl, acl::ADMIN, self.ids)?;
                let version = next_version(record.acl_version, version)?;
                Ok(Change::SetAcl { path, acl, version })
            }
            Action::Check { version } => {
                let path = valid_path(path)?;
                let record = self.record(&path)?;
                acl::check(&record.acl, acl::READ, self.ids)?;
                next_version(record.version, version)?;
                Ok(Change::Check)
            }
            Action::WithoutTimeToLive => Err(Code::MARSHALLING_ERROR),
        }
    }

    fn create(
        &mut self,
        mut path: String,
        data: Data,
        acl: &[Asked],
        kind: Kind,
        answer: CreateAnswer,
    ) -> Result<Change, Code> {
        let directory = directory(&path)?;
        let acl = acl::resolve(acl, self.ids)?;
        let parent = self.record(&directory)?;
        acl::check(&parent.acl, acl::CREATE, self.ids)?;
        if kind.sequential {
            path = format!("{path}{:010}", parent.creations);
        }
        check_path(&path)?;
        if self.record(&path).is_ok() {
            return Err(Code::NODE_EXISTS);
        }
        if matches!(parent.owner, Owner::Session(_)) {
            return Err(Code::NO_CHILDREN_FOR_EPHEMERALS);
        }
        let owner = match answer {
            CreateAnswer::PathAndStatOfContainer => Owner::Container,
            _ if kind.ephemeral => Owner::Session(self.session),
            _ => Owner::Nobody,
        };
        let creations = parent.creations.wrapping_add(1);
        let children = parent.children + 1;
        self.changed.insert(directory, Some(Record { creations, children, ..parent }));
        let record =
            Record { acl: acl.clone(), owner, version: 0, acl_version: 0, creations: 0, children: 0 };
        self.changed.insert(path.clone(), Some(record));
        Ok(Change::Create { path, data, acl, owner, answer })
    }

    fn delete(&mut self, path: String, version: i32) -> Result<Change, Code> {
        if ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"].contains(&path.as_str()) {
            return Err(Code::BAD_ARGUMENTS);
        }
        let directory = directory(&path)?;
        let parent = self.record(&directory)?;
        acl::check(&parent.acl, acl::DELETE, self.ids)?;
        let record = self.record(&path)?;
        next_version(record.version, version)?;
        if record.children > 0 {
            return Err(Code::NOT_EMPTY);
        }
        let children = parent.children - 1;
        self.changed.insert(directory, Some(Record { children, ..parent }));
        self.changed.insert(path.clone(), None);
        Ok(Change::Delete { path })
    }

    /// The znode at a path, after the writes before.
    fn record(&self, path: &str) -> Result<Record, Code> {
        match self.changed.get(path) {
            Some(changed) => changed.clone(),
            None => self.tree.node(path).map(Record::of),
        }
        .ok_or(Code::NO_NODE)
    }
}

impl Record {
    fn of(node: &Node) -> Self {
        let stat = node.stat();
        Self {
            acl: node.acl().clone(),
            owner: node.owner(),
            version: stat.version,
            acl_version: stat.aversion,
            creations: node.creations(),
            children: node.child_count(),
        }
    }
}

/// What the flags of a create ask for.
#[derive(Clone, Copy, Debug)]
struct Kind {
    ephemeral: bool,
    sequential: bool,
}

impl Kind {
    fn of(flags: i32, time_to_live: i64) -> Result<Self, Code> {
        let (ephemeral, sequential) = match flags {
            create::PERSISTENT | create::CONTAINER => (false, false),
            create::EPHEMERAL => (true, false),
            create::PERSISTENT_SEQUENTIAL => (false, true),
            create::EPHEMERAL_SEQUENTIAL => (true, true),
            create::TTL | create::TTL_SEQUENTIAL => return Err(Code::UNIMPLEMENTED),
            _ => return Err(Code::BAD_ARGUMENTS),
        };
        if time_to_live >= 0 { Err(Code::BAD_ARGUMENTS) } else { Ok(Self { ephemeral, sequential }) }
    }
}

/// The directory of a path that has one. It may not exist, and the path may yet turn out to be invalid.
fn directory(path: &str) -> Result<String, Code> {
    match path.rsplit_once('/') {
        Some((directory, _)) if !path.contains('\0') => {
            Ok(if directory.is_empty() { "/" } else { directory }.to_owned())
        }
        _ => Err(Code::BAD_ARGUMENTS),
    }
}

/// A path that ZooKeeper looks at before it uses it: no path is an invalid one.
fn valid_path(path: Option<String>) -> Result<String, Code> {
    let path = path.unwrap_or_default();
    check_path(&path)?;
    Ok(path)
}

fn check_path(path: &str) -> Result<(), Code> {
    if path::is_valid(path) { Ok(()) } else { Err(Code::BAD_ARGUMENTS) }
}

/// The version after a write that expected `expected`; -1 expects any.
const fn next_version(current: i32, expected: i32) -> Result<i32, Code> {
    if expected == -1 || expected == current { Ok(current.wrapping_add(1)) } else { Err(Code::BAD_VERSION) }
}
