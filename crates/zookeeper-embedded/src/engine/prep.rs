//! Checks writes before they are applied, as ZooKeeper's `PrepRequestProcessor` does.

use std::collections::HashMap;
use std::sync::Arc;

use crate::engine::access;
use crate::engine::path;
use crate::engine::tree::{Lifetime, Node, Tree};
use crate::protocol::acl::{self, Acl, Id, RequestedAcl};
use crate::protocol::code::Code;
use crate::protocol::request::{Action, CreateAnswer, Data, Write, create};
use crate::session_id::SessionId;

/// The change of the tree by a write that has passed all checks.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Create { path: String, data: Data, acl: Arc<[Acl]>, lifetime: Lifetime, answer: CreateAnswer },
    Delete { path: String },
    SetData { path: String, data: Data, version: i32 },
    SetAcl { path: String, acl: Arc<[Acl]>, version: i32 },
    Check,
}

/// The checks of one transaction: the tree, and the changes of its earlier writes, which are not applied yet.
///
/// The caller passes one [`Write`] after another, and applies the [`Change`]s if all of them pass.
#[derive(Debug)]
pub(super) struct Prep<'a> {
    tree: &'a Tree,
    session: SessionId,
    /// The identities that the client has proven.
    ids: &'a [Id],
    /// The znodes after the earlier writes; `None` for deleted ones.
    changed: HashMap<String, Option<ChangeRecord>>,
}

/// The fields of a znode that checks depend on (ZooKeeper's `ChangeRecord`).
#[derive(Clone, Debug)]
struct ChangeRecord {
    acl: Arc<[Acl]>,
    lifetime: Lifetime,
    version: i32,
    acl_version: i32,
    creations: i32,
    children: usize,
}

impl<'a> Prep<'a> {
    /// An empty transaction of a client with this session and these identities.
    pub(super) fn new(tree: &'a Tree, session: SessionId, ids: &'a [Id]) -> Self {
        Self { tree, session, ids, changed: HashMap::new() }
    }

    /// Checks a write after the earlier ones. If several checks fail, their order decides which error the client gets;
    /// it is the same as ZooKeeper's.
    pub(super) fn add(&mut self, write: Write) -> Result<Change, Code> {
        let Write { path, action } = write;
        match action {
            Action::Create { data, acl, flags, time_to_live, answer } => {
                let mode = CreateMode::of(flags, time_to_live)?;
                self.create(path.ok_or(Code::MARSHALLING_ERROR)?, data, &acl, mode, answer)
            }
            Action::Delete { version } => self.delete(path.ok_or(Code::MARSHALLING_ERROR)?, version),
            Action::SetData { data, version } => {
                let path = valid_path(path)?;
                let record = self.record(&path)?;
                access::check(&record.acl, acl::WRITE, self.ids)?;
                let version = next_version(record.version, version)?;
                self.changed.insert(path.clone(), Some(ChangeRecord { version, ..record }));
                Ok(Change::SetData { path, data, version })
            }
            Action::SetAcl { acl, version } => {
                let path = valid_path(path)?;
                let acl = access::resolve(&acl, self.ids)?;
                let record = self.record(&path)?;
                access::check(&record.acl, acl::ADMIN, self.ids)?;
                let version = next_version(record.acl_version, version)?;
                Ok(Change::SetAcl { path, acl, version })
            }
            Action::Check { version } => {
                let path = valid_path(path)?;
                let record = self.record(&path)?;
                access::check(&record.acl, acl::READ, self.ids)?;
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
        acl: &[RequestedAcl],
        mode: CreateMode,
        answer: CreateAnswer,
    ) -> Result<Change, Code> {
        let parent_at = parent_path(&path)?;
        let acl = access::resolve(acl, self.ids)?;
        let parent = self.record(&parent_at)?;
        access::check(&parent.acl, acl::CREATE, self.ids)?;
        if mode.sequential {
            path = format!("{path}{:010}", parent.creations);
        }
        check_path(&path)?;
        if self.record(&path).is_ok() {
            return Err(Code::NODE_EXISTS);
        }
        if matches!(parent.lifetime, Lifetime::Session(_)) {
            return Err(Code::NO_CHILDREN_FOR_EPHEMERALS);
        }
        let lifetime = match answer {
            CreateAnswer::PathAndStatOfContainer => Lifetime::Container,
            _ if mode.ephemeral => Lifetime::Session(self.session),
            _ => Lifetime::Persistent,
        };
        let creations = parent.creations.wrapping_add(1);
        let children = parent.children + 1;
        self.changed.insert(parent_at, Some(ChangeRecord { creations, children, ..parent }));
        let record = ChangeRecord {
            acl: acl.clone(),
            lifetime,
            version: 0,
            acl_version: 0,
            creations: 0,
            children: 0,
        };
        self.changed.insert(path.clone(), Some(record));
        Ok(Change::Create { path, data, acl, lifetime, answer })
    }

    fn delete(&mut self, path: String, version: i32) -> Result<Change, Code> {
        if ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"].contains(&path.as_str()) {
            return Err(Code::BAD_ARGUMENTS);
        }
        let parent_at = parent_path(&path)?;
        let parent = self.record(&parent_at)?;
        access::check(&parent.acl, acl::DELETE, self.ids)?;
        let record = self.record(&path)?;
        next_version(record.version, version)?;
        if record.children > 0 {
            return Err(Code::NOT_EMPTY);
        }
        let children = parent.children - 1;
        self.changed.insert(parent_at, Some(ChangeRecord { children, ..parent }));
        self.changed.insert(path.clone(), None);
        Ok(Change::Delete { path })
    }

    /// The znode at a path after the earlier writes.
    fn record(&self, path: &str) -> Result<ChangeRecord, Code> {
        match self.changed.get(path) {
            Some(changed) => changed.clone(),
            None => self.tree.node(path).map(ChangeRecord::of),
        }
        .ok_or(Code::NO_NODE)
    }
}

impl ChangeRecord {
    fn of(node: &Node) -> Self {
        let stat = node.stat();
        Self {
            acl: node.acl().clone(),
            lifetime: node.lifetime(),
            version: stat.version,
            acl_version: stat.aversion,
            creations: node.creations(),
            children: node.child_count(),
        }
    }
}

/// The properties that the flags of a create request.
#[derive(Clone, Copy, Debug)]
struct CreateMode {
    ephemeral: bool,
    sequential: bool,
}

impl CreateMode {
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

/// The path of the parent. The parent may not exist, and the path is not validated yet.
fn parent_path(path: &str) -> Result<String, Code> {
    match path.rsplit_once('/') {
        Some((parent, _)) if !path.contains('\0') => {
            Ok(if parent.is_empty() { "/" } else { parent }.to_owned())
        }
        _ => Err(Code::BAD_ARGUMENTS),
    }
}

/// A path that is validated before all other checks. A missing path is invalid.
fn valid_path(path: Option<String>) -> Result<String, Code> {
    let path = path.unwrap_or_default();
    check_path(&path)?;
    Ok(path)
}

fn check_path(path: &str) -> Result<(), Code> {
    if path::is_valid(path) { Ok(()) } else { Err(Code::BAD_ARGUMENTS) }
}

/// The version after a write that expects version `expected`; -1 stands for any version.
const fn next_version(current: i32, expected: i32) -> Result<i32, Code> {
    if expected == -1 || expected == current { Ok(current.wrapping_add(1)) } else { Err(Code::BAD_VERSION) }
}
