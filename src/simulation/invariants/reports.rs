//! The facts that the run reports to the [checker](super::Checker).

use std::fmt;

use crate::simulation::time::Instant;
use crate::types::{FencingToken, SessionId, Standing};

/// A contender, in one life of its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::simulation) struct ContenderId {
    pub(in crate::simulation) process: usize,
    pub(in crate::simulation) life: u32,
    pub(in crate::simulation) contender: usize,
}

impl fmt::Display for ContenderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "contender {}.{} (life {})", self.process, self.contender, self.life)
    }
}

/// A leadership that its process considers valid until `end`, on the true time axis.
#[derive(Clone, Copy, Debug)]
pub(in crate::simulation) struct LeaderClaim {
    pub(in crate::simulation) election: usize,
    pub(in crate::simulation) token: FencingToken,
    pub(in crate::simulation) end: Instant,
}

/// The deletion of a znode by a transaction of session `by`.
#[derive(Clone, Debug)]
pub(in crate::simulation) struct Deletion {
    pub(in crate::simulation) path: String,
    pub(in crate::simulation) token: FencingToken,
    pub(in crate::simulation) owner: SessionId,
    pub(in crate::simulation) by: SessionId,
}

/// The state of a process, for the conditions at the end of a run.
pub(in crate::simulation) struct ProcessView {
    pub(in crate::simulation) connected: bool,
    pub(in crate::simulation) session: Option<SessionId>,
    pub(in crate::simulation) contenders: Vec<ContenderView>,
}

/// The state of a contender. `willing`: its application wants to lead.
pub(in crate::simulation) struct ContenderView {
    pub(in crate::simulation) id: ContenderId,
    pub(in crate::simulation) election: usize,
    pub(in crate::simulation) willing: bool,
    pub(in crate::simulation) standing: Standing,
    pub(in crate::simulation) leading: bool,
}
