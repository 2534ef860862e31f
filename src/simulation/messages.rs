//! What servers write into their logs, and what they tell each other.

use std::rc::Rc;
use std::time::Duration;

use super::super::time::Instant;
use zookeeper_embedded::SessionId;
use zookeeper_embedded::replica::{ConnectionId, Transaction};

/// A transaction in the servers' logs.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) at: Instant,
    pub(super) origin: Option<Origin>,
    pub(super) transaction: Transaction,
}

/// Whom to answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    pub(super) server: usize,
    pub(super) connection: ConnectionId,
    pub(super) xid: i32,
}

/// Something that only the leader server can do.
#[derive(Debug)]
pub(super) struct Petition {
    pub(super) origin: Origin,
    pub(super) wish: Wish,
}

#[derive(Debug)]
pub(super) enum Wish {
    /// Open a session with this timeout.
    Open(Duration),
    /// Take a session up, with this timeout from now on.
    Resume(SessionId, Duration),
    Transact(Transaction),
    Sync,
}

/// What servers tell each other, in a certain term.
#[derive(Debug)]
pub(in super::super) struct Message {
    pub(super) term: u64,
    pub(super) body: Word,
}

#[derive(Debug)]
pub(super) enum Word {
    // To the leader.
    Petition(Petition),
    /// The sessions that a server has heard of, with the timeouts of the connections.
    Heard(Vec<(SessionId, Duration)>),
    Ack(usize),
    // From the leader.
    Ping,
    Propose(Rc<Entry>),
    Commit(usize),
    Resumed {
        origin: Origin,
        session: SessionId,
        valid: bool,
    },
    Synced(Origin),
    /// The session is used over another server: this connection is to be closed.
    Moved(Origin),
    Dropped,
}
