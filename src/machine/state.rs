//! What the machine knows: its place, and the steps on the way to one.

use super::event::Ticket;
use crate::lease::Lease;
use crate::timestamp::Timestamp;
use crate::types::Mode;
use crate::znode::Node;

/// What is known about the own znode.
pub(super) enum Place {
    /// There is none.
    Nowhere,
    /// There is none, for want of a parent.
    NoParent,
    /// A create's answer was lost: there may be one, now or later.
    Unsure,
    /// Master mode: there is none, because somebody else's stands.
    Blocked { watched: bool },
    /// It stands.
    Held(Held),
}

/// A znode that is to be removed.
pub(super) struct Removal {
    pub(super) node: Node,
    /// Whether to look first if it still is the same znode.
    pub(super) verify: bool,
}

/// The own znode, and what is known around it.
pub(super) struct Held {
    pub(super) node: Node,
    pub(super) own: OwnWatch,
    pub(super) ahead: Ahead,
    /// The znode ahead was the lowest when it was chosen.
    pub(super) next: bool,
    pub(super) leading: bool,
    /// Since when it is known to stand: transactions sent before say nothing about it.
    pub(super) since: Timestamp,
    /// Until when the session keeps it, as far as transactions have proven.
    pub(super) proven: Lease,
    /// Until when the leadership on it lasts.
    pub(super) lease: Lease,
}

/// The watch on the own znode.
pub(super) enum OwnWatch {
    Off,
    Asked(Ticket),
    Set,
}

/// Who stands in front.
pub(super) enum Ahead {
    /// To be found out.
    Unknown,
    /// This znode, not watched yet.
    Chosen(String),
    /// This znode, watched.
    Watched(String),
    /// Nobody: it is our turn.
    Nobody,
}

impl Held {
    pub(super) fn new(node: Node, mode: Mode, since: Timestamp, proven: Lease) -> Self {
        Self {
            node,
            own: OwnWatch::Off,
            ahead: Ahead::at_first(mode),
            next: false,
            leading: false,
            since,
            proven,
            lease: Lease::OVER,
        }
    }
}

impl Ahead {
    /// What holding a znode says by itself: in master mode there is but one.
    pub(super) fn at_first(mode: Mode) -> Self {
        match mode {
            Mode::Sequential => Self::Unknown,
            Mode::Master => Self::Nobody,
        }
    }
}
