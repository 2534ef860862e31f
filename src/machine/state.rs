//! The machine's state: the own znode, and how it was lost or is being created.

use super::event::Ticket;
use crate::lease::Lease;
use crate::timestamp::Timestamp;
use crate::types::Mode;
use crate::znode::Node;

/// What is known about the own znode.
pub(super) enum Place {
    /// There is none.
    Nowhere,
    /// There is none, because its parent is missing.
    NoParent,
    /// The reply to a create was lost: there may be one, now or later.
    Unsure,
    /// Master mode: there is none, because another contender's exists.
    Blocked { watched: bool },
    /// It exists.
    Held(Held),
}

/// A znode that is to be removed.
pub(super) struct Removal {
    pub(super) node: Node,
    /// Check first that it is still the same znode.
    pub(super) verify: bool,
}

/// The own znode, and what is known about it.
pub(super) struct Held {
    pub(super) node: Node,
    pub(super) own: OwnWatch,
    pub(super) ahead: Ahead,
    /// The znode ahead was the lowest when it was chosen, so this contender leads after it.
    pub(super) next_in_line: bool,
    pub(super) leading: bool,
    /// When it was known to exist. Proofs that were sent earlier do not cover it.
    pub(super) since: Timestamp,
    /// The lease that proofs have granted.
    pub(super) proven: Lease,
    /// The lease of the leadership on it.
    pub(super) lease: Lease,
}

/// The watch on the own znode.
pub(super) enum OwnWatch {
    Off,
    Asked(Ticket),
    Set,
}

/// What is known about the znode ahead.
pub(super) enum Ahead {
    /// Nothing: the list has to be read.
    Unknown,
    /// This znode, not watched yet.
    Chosen(String),
    /// This znode, watched.
    Watched(String),
    /// There is none: it is this contender's turn.
    Nobody,
}

impl Held {
    pub(super) fn new(node: Node, mode: Mode, since: Timestamp, proven: Lease) -> Self {
        Self {
            node,
            own: OwnWatch::Off,
            ahead: Ahead::at_first(mode),
            next_in_line: false,
            leading: false,
            since,
            proven,
            lease: Lease::OVER,
        }
    }
}

impl Ahead {
    /// What is known right after the own znode was created. In master mode there is only one znode.
    pub(super) fn at_first(mode: Mode) -> Self {
        match mode {
            Mode::Sequential => Self::Unknown,
            Mode::Master => Self::Nobody,
        }
    }
}
