//! What the crate reports through `tracing`: every event in one place.
//!
//! Target `zookeeper_election`; the fields `session`, `path`, `identity`, `node`, `token` keep their meaning
//! throughout.

use std::time::Duration;

use tracing::{debug, error, info, warn};

use crate::error::{Error, Lost};
use crate::types::{FencingToken, SessionId, Standing};
use crate::znode::Node;

const TARGET: &str = "zookeeper_election";

pub(crate) fn connected(session: SessionId, connection: u64) {
    info!(target: TARGET, %session, connection, "connected to the ensemble");
}

pub(crate) fn suspended(session: SessionId) {
    warn!(target: TARGET, %session, "connection to the ensemble lost");
}

pub(crate) fn timeout_differs(session: SessionId, before: Duration, now: Duration) {
    warn!(
        target: TARGET, %session, ?before, ?now,
        "another server gives the session another timeout; leases are measured with the least: give all servers the \
         same minSessionTimeout and maxSessionTimeout"
    );
}

pub(crate) fn began_read_only() {
    warn!(
        target: TARGET,
        "the application's client began on a read-only server, so that nobody knows its session: make a new client when \
         there is a quorum, or leave out `with_readonly`"
    );
}

pub(crate) fn session_lost(session: SessionId) {
    warn!(target: TARGET, %session, "the ZooKeeper session is over");
}

/// Failed attempts to connect. A reason is logged as a warning when it is new, else at debug level.
#[derive(Default)]
pub(crate) struct Attempts {
    last: String,
}

impl Attempts {
    pub(crate) fn failed(&mut self, reason: String) {
        if reason == self.last {
            debug!(target: TARGET, reason, "no ZooKeeper session yet");
        } else {
            warn!(target: TARGET, reason, "no ZooKeeper session yet; still trying");
            self.last = reason;
        }
    }

    /// Why the last attempt failed.
    pub(crate) fn reason(&self) -> &str {
        if self.last.is_empty() { "no server answers" } else { &self.last }
    }
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
        Lost::Resigned | Lost::SessionClosed => info!(target: TARGET, "stepped down: {reason}"),
        _ => warn!(target: TARGET, "stepped down: {reason}"),
    }
}

pub(crate) fn campaign_ended(error: &Error) {
    match error {
        Error::Withdrawn | Error::SessionClosed => debug!(target: TARGET, "campaign ended: {error}"),
        _ => warn!(target: TARGET, "campaign ended: {error}"),
    }
}

pub(crate) fn contender_failed(reason: &str, led: bool) {
    error!(target: TARGET, reason, led, "the contender's task panicked; its znode will be found and removed");
}

pub(crate) fn removal_failed(error: &Error) {
    warn!(target: TARGET, "the contender's znode was not removed: {error}");
}

pub(crate) fn request_failed(reason: &str) {
    debug!(target: TARGET, reason, "request failed");
}

pub(crate) fn proof_failed(reason: &str) {
    debug!(target: TARGET, reason, "no proof of the session");
}

pub(crate) fn work_goes_on(grace: Duration) {
    warn!(target: TARGET, ?grace, "the leader's work has not ended within the grace period; its znode is removed anyway");
}

pub(crate) fn task_panicked(panic: &str, pause: Duration) {
    warn!(target: TARGET, panic, ?pause, "the leader's task panicked; campaigning again after a pause");
}

pub(crate) fn task_failed(error: &(dyn std::error::Error + Send + Sync), pause: Duration) {
    warn!(target: TARGET, %error, ?pause, "the leader's task failed; campaigning again after a pause");
}

pub(crate) fn guarded_write(token: FencingToken) {
    debug!(target: TARGET, %token, "sending a guarded write");
}

pub(crate) fn breadcrumb_found(identity: &str, token: FencingToken, fencing: bool) {
    let identity: String = identity.chars().take(64).collect();
    info!(target: TARGET, identity, %token, fencing, "the previous leader has not resigned");
}

pub(crate) fn breadcrumb_left(reason: &str) {
    warn!(target: TARGET, reason, "the breadcrumb was not emptied: the next leader will find it");
}
