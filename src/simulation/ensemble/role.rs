//! The roles of a server in the ensemble, with the data that each role needs.

use super::tracker::SessionTracker;
use crate::simulation::messages::ReplyTo;
use crate::simulation::settings::{MAJORITY, SERVERS};
use crate::simulation::time::Instant;

pub(super) enum Role {
    /// It looks for a leader server, and serves no clients.
    Looking,
    Following(Following),
    Leading(Leading),
}

pub(super) struct Following {
    pub(super) leader: usize,
    pub(super) term: u64,
    pub(super) heard: Instant,
}

pub(super) struct Leading {
    pub(super) members: [Option<Member>; SERVERS],
    pub(super) tracker: SessionTracker,
    /// Syncs that wait until the log is committed up to a length.
    pub(super) syncs: Vec<(usize, ReplyTo)>,
}

/// A follower, as its leader server sees it.
#[derive(Clone, Copy)]
pub(super) struct Member {
    pub(super) term: u64,
    pub(super) heard: Instant,
    /// The length of the log that it has.
    pub(super) acked: usize,
}

impl Leading {
    pub(super) fn new(tracker: SessionTracker) -> Self {
        Self { members: [None; SERVERS], tracker, syncs: Vec::new() }
    }

    pub(super) fn has_majority(&self) -> bool {
        self.members.iter().flatten().count() + 1 >= MAJORITY
    }
}
