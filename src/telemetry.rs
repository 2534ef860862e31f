//! What the crate reports through `tracing`: every event in one place.
//!
//! Target `zookeeper_election`; the fields `session`, `path`, `identity`, `node`, `token` keep their meaning
//! throughout.

use tracing::{debug, info, warn};

use crate::error::{Error, Lost};
use crate::session::ConnectError;
use crate::types::{Node, SessionId, Standing};

const TARGET: &str = "zookeeper_election";

pub(crate) fn connected(session: SessionId, connection: u64) {
    info!(target: TARGET, %session, connection, "connected to the ensemble");
}

pub(crate) fn suspended(session: SessionId) {
    warn!(target: TARGET, %session, "connection to the ensemble lost");
}

pub(crate) fn session_lost(session: SessionId) {
    warn!(target: TARGET, %session, "the ZooKeeper session is over");
}

pub(crate) fn connect_failed(error: &ConnectError) {
    warn!(target: TARGET, %error, "no ZooKeeper session yet");
}

pub(crate) fn closed(result: &Result<(), Error>) {
    match result {
        Ok(()) => debug!(target: TARGET, "session closed"),
        Err(error) => warn!(target: TARGET, %error, "session closed"),
    }
}

/// The span of a contender's task.
pub(crate) fn contender(path: &str, identity: &str) -> tracing::Span {
    let identity: String = identity.chars().take(64).collect();
    tracing::info_span!(target: TARGET, "contender", path, identity)
}

pub(crate) fn standing(standing: &Standing) {
    debug!(target: TARGET, ?standing, "standing changed");
}

pub(crate) fn leading(node: &Node) {
    info!(target: TARGET, node = node.path, token = %node.token, "leading");
}

pub(crate) fn stepped_down(reason: Lost) {
    match reason {
        Lost::Resigned => info!(target: TARGET, "stepped down: {reason}"),
        _ => warn!(target: TARGET, "stepped down: {reason}"),
    }
}

pub(crate) fn gave_up(error: &Error) {
    warn!(target: TARGET, %error, "campaign failed");
}

pub(crate) fn removal_failed(error: &Error) {
    warn!(target: TARGET, %error, "the contender's znode is not removed yet");
}

pub(crate) fn request_failed(reason: &str) {
    debug!(target: TARGET, reason, "request failed");
}

pub(crate) fn task_failed(error: &(dyn std::error::Error + Send + Sync), pause: std::time::Duration) {
    warn!(target: TARGET, %error, ?pause, "the leader's task failed; campaigning again after a pause");
}
