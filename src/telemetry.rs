//! What the crate reports through `tracing`: every event in one place.
//!
//! Target `zookeeper_election`; the fields `session`, `path`, `identity`, `node`, `token` keep their meaning
//! throughout.

use tracing::{debug, info, warn};

use crate::error::{Error, Lost};
use crate::session::ConnectError;
use crate::types::{Node, SessionId, Standing};

pub(crate) fn connected(session: SessionId, connection: u64) {
    info!(%session, connection, "connected to the ensemble");
}

pub(crate) fn suspended(session: SessionId) {
    warn!(%session, "connection to the ensemble lost");
}

pub(crate) fn session_lost(session: SessionId) {
    warn!(%session, "the ZooKeeper session is over");
}

pub(crate) fn connect_failed(error: &ConnectError) {
    warn!(%error, "no ZooKeeper session yet");
}

pub(crate) fn closed(result: &Result<(), Error>) {
    match result {
        Ok(()) => debug!("session closed"),
        Err(error) => warn!(%error, "session closed"),
    }
}

/// The span of a contender's task.
pub(crate) fn contender(path: &str, identity: &str) -> tracing::Span {
    let identity: String = identity.chars().take(64).collect();
    tracing::info_span!("contender", path, identity)
}

pub(crate) fn standing(standing: &Standing) {
    debug!(?standing, "standing changed");
}

pub(crate) fn leading(node: &Node) {
    info!(node = node.path, token = %node.token, "leading");
}

pub(crate) fn stepped_down(reason: Lost) {
    match reason {
        Lost::Resigned => info!("stepped down: {reason}"),
        _ => warn!("stepped down: {reason}"),
    }
}

pub(crate) fn gave_up(error: &Error) {
    warn!(%error, "campaign failed");
}

pub(crate) fn removal_failed(error: &Error) {
    warn!(%error, "the contender's znode is not removed yet");
}

pub(crate) fn request_failed(reason: &str) {
    debug!(reason, "request failed");
}

pub(crate) fn task_failed(error: &(dyn std::error::Error + Send + Sync), pause: std::time::Duration) {
    warn!(%error, ?pause, "the leader's task failed; campaigning again after a pause");
}
