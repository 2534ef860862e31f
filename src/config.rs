//! The configuration of a contender, as the builder has checked it.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use zookeeper_client::Acl;

use crate::machine::ElectionSpec;
use crate::session::Counter;

/// The options of one contender, for its task and for queries.
pub(crate) struct ContenderConfig {
    pub(crate) spec: ElectionSpec,
    pub(crate) identity: String,
    pub(crate) acl: Vec<Acl>,
    /// Missing parents are created as containers.
    pub(crate) container_parents: bool,
    /// A random number that no other contender has. The names of tombstones contain it.
    pub(crate) id: u64,
    /// Master mode: the counter beside the master's path.
    pub(crate) counter: Option<Counter>,
    /// The tombstones of creates stand in the election's directory, because its parent does not permit them.
    pub(crate) tombstones_inside: AtomicBool,
    /// How long a leader's work may continue before its znode is removed anyway. `None`: the session timeout.
    pub(crate) grace: Option<Duration>,
}
