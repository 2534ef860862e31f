//! Znodes as this crate sees them: which one a contender created, and what a stat says.

use crate::path;
use crate::types::{FencingToken, SessionId};

/// A znode that this process created as a contender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) path: String,
    pub(crate) token: FencingToken,
    /// Master mode: the version of the path's counter after this znode's create, if known. Each master raises it, so a
    /// transaction that checks it applies to this znode and to no later one at the same path.
    pub(crate) incarnation: Option<i32>,
}

impl Node {
    /// The last part of the path.
    pub(crate) fn name(&self) -> &str {
        path::split(&self.path).1
    }
}

/// The part of a znode's stat that identifies it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    pub(crate) token: FencingToken,
    /// The session that owns it, if it is ephemeral.
    pub(crate) owner: Option<SessionId>,
    /// The version of its data.
    pub(crate) version: i32,
}

impl Origin {
    /// Whether this session owns the znode. Name and data alone do not tell.
    pub(crate) fn is_of(&self, session: SessionId) -> bool {
        self.owner == Some(session)
    }

    /// Whether the znode is still `node`. After the directory was deleted and created again, another contender's znode
    /// may have the same name.
    pub(crate) fn is_still(&self, node: &Node) -> bool {
        self.token == node.token
    }
}
