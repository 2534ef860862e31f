//! The decision of master mode, made from a look at the one znode and nothing else.

use super::event::Seen;

/// What a look at the master's znode says to a contender that could not create it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PathState {
    /// It went in the meantime: try again.
    Free,
    /// Somebody is master.
    Taken,
    /// A znode that never goes by itself stands there: nobody can become master.
    Occupied,
}

/// Decides what to do after a create was answered with "exists".
pub(crate) fn judge(seen: Seen) -> PathState {
    match seen {
        // What nobody has answered for is being removed.
        Seen::Absent | Seen::Orphan(_) => PathState::Free,
        Seen::Present => PathState::Taken,
        Seen::Other => PathState::Occupied,
    }
}
