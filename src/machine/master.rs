//! The decision of master mode: what the znode at the election's path means for a contender.

use super::event::Seen;

/// The state of the election's path, for a contender whose create failed because a znode exists.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PathState {
    /// The znode is gone: try again.
    Free,
    /// There is a master.
    Taken,
    /// The znode is not ephemeral, so nobody can become master.
    Occupied,
}

/// Judges the znode after a create has failed with `NodeExists`.
pub(crate) fn judge(seen: Seen) -> PathState {
    match seen {
        // The machine removes an orphan before it creates again.
        Seen::Absent | Seen::Orphan(_) => PathState::Free,
        Seen::Present => PathState::Taken,
        Seen::Other => PathState::Occupied,
    }
}
