//! The log entries of servers, and the messages that servers send to each other.

use std::rc::Rc;
use std::time::Duration;

use super::time::Instant;
use zookeeper_embedded::SessionId;
use zookeeper_embedded::replica::{ConnectionId, Transaction};

/// A transaction in the servers' logs.
#[derive(Debug)]
pub(super) struct LogEntry {
    pub(super) at: Instant,
    pub(super) reply_to: Option<ReplyTo>,
    pub(super) transaction: Transaction,
}

/// The request that a reply belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReplyTo {
    pub(super) server: usize,
    pub(super) connection: ConnectionId,
    pub(super) xid: i32,
}

/// A request that only the leader server can execute.
#[derive(Debug)]
pub(super) struct ForwardedRequest {
    pub(super) reply_to: ReplyTo,
    pub(super) operation: Operation,
}

#[derive(Debug)]
pub(super) enum Operation {
    /// Creates a session with this timeout.
    Open(Duration),
    /// Reattaches a session, with this timeout from now on.
    Revalidate(SessionId, Duration),
    Transact(Transaction),
    Sync,
}

/// A message between the leader server and a follower. A term is the time for which a follower follows a leader server
/// without interruption. Messages of an earlier term are ignored.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) term: u64,
    pub(super) body: MessageBody,
}

#[derive(Debug)]
pub(super) enum MessageBody {
    // To the leader server.
    Forward(ForwardedRequest),
    /// The sessions whose clients have sent something since the last ping, with the timeouts of their connections.
    PingReply(Vec<(SessionId, Duration)>),
    /// The follower's log has this length.
    Ack(usize),
    // From the leader server.
    Ping,
    Propose(Rc<LogEntry>),
    /// The log is committed up to this length.
    Commit(usize),
    Revalidated {
        reply_to: ReplyTo,
        session: SessionId,
        valid: bool,
    },
    Synced(ReplyTo),
    /// The session has moved to another server, so this connection is to be closed.
    Moved(ReplyTo),
    /// The leader server no longer counts the receiver as its follower.
    Dropped,
}
