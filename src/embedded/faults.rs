//! Faults on command.

use std::time::Duration;

/// Some clients of a [`Server`](super::Server), all or one, and what can be done to them.
#[derive(Clone, Debug)]
pub struct Clients(());

impl Clients {
    /// Ends the sessions now, as if they had not been heard of for their timeout.
    pub fn expire(&self) {
        todo!()
    }

    /// Closes the connections. The sessions live, and the clients may connect again.
    pub fn disconnect(&self) {
        todo!()
    }

    /// Closes the connection over which the next such operation comes, before or after it is carried out and in
    /// either case without an answer.
    pub fn disconnect_at(&self, _when: When, _operation: Operation) -> CutOff {
        todo!()
    }

    /// From now on each reply and event leaves this much later. Zero ends it.
    pub fn delay_replies(&self, _by: Duration) {
        todo!()
    }

    /// From now on everything that goes in this direction vanishes, while the connections stay open.
    pub fn swallow(&self, _direction: Direction) {
        todo!()
    }

    /// From now on (or, with `false`, no longer) closes new connections at once. Those that are open stay.
    pub fn refuse(&self, _refuse: bool) {
        todo!()
    }

    /// Ends [`swallow`](Self::swallow), [`delay_replies`](Self::delay_replies) and [`refuse`](Self::refuse).
    pub fn heal(&self) {
        todo!()
    }
}

/// A fault armed by [`Clients::disconnect_at`].
#[derive(Clone, Debug)]
pub struct CutOff(());

impl CutOff {
    /// Waits until the connection was cut.
    pub async fn done(&self) {
        todo!()
    }

    /// Whether the connection was cut.
    pub fn is_done(&self) -> bool {
        todo!()
    }
}

/// On which side of an operation's execution a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The operation is not carried out.
    Before,
    /// The operation is carried out and not answered.
    After,
}

/// One way of a connection, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
    /// Both ways.
    Both,
}

/// A kind of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Any operation but heartbeats.
    Any,
    /// Every kind of create.
    Create,
    /// Delete.
    Delete,
    /// Exists.
    Exists,
    /// Get data.
    GetData,
    /// Set data.
    SetData,
    /// Get children, with or without the node's stat.
    GetChildren,
    /// Sync.
    Sync,
    /// A transaction.
    Multi,
    /// The end of a session by its client.
    CloseSession,
}
