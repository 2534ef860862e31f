//! The faults that are set for clients, and the operations that trigger them.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::watch;

use crate::protocol::request::{Action, Read, Request, op};
use crate::session_id::SessionId;

/// Whether a connection is closed before or after the operation that triggers the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum When {
    /// The operation is not carried out.
    Before,
    /// The operation is carried out, but the client gets no reply.
    After,
}

/// A direction of a connection, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
    /// Both directions.
    Both,
}

/// A kind of operation, see [`Clients::disconnect_at`](crate::Clients::disconnect_at).
///
/// A transaction matches its own kind, [`Multi`](Self::Multi), and the kinds of the operations in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Any operation except heartbeats, also the kinds that are not listed here. After a reconnect, clients send some on
    /// their own, to set their watches again and to authenticate.
    Any,
    /// Every kind of create.
    Create,
    /// Delete.
    Delete,
    /// Reading the stat, ZooKeeper's `exists`.
    Exists,
    /// Reading data.
    GetData,
    /// Setting data.
    SetData,
    /// Listing children, with or without the stat of the parent.
    GetChildren,
    /// Sync.
    Sync,
    /// A transaction.
    Multi,
    /// The client closes its session.
    CloseSession,
}

impl Operation {
    /// Whether a request, or an operation in it, is of this kind. Heartbeats are of no kind.
    fn matches(self, op_code: i32, request: Option<&Request>) -> bool {
        if op_code == op::PING {
            return false;
        }
        let in_transaction = match request {
            Some(Request::Multi(writes)) => writes.iter().any(|write| Self::of_write(&write.action) == self),
            Some(Request::MultiRead(reads)) => reads.iter().any(|read| Self::of_read(read) == self),
            _ => false,
        };
        self == Self::Any || self == Self::of(op_code) || in_transaction
    }

    /// The kind of a request; `Any` for a kind that is not listed.
    fn of(op_code: i32) -> Self {
        match op_code {
            op::CREATE | op::CREATE2 | op::CREATE_CONTAINER | op::CREATE_TTL => Self::Create,
            op::DELETE => Self::Delete,
            op::EXISTS => Self::Exists,
            op::GET_DATA => Self::GetData,
            op::SET_DATA => Self::SetData,
            op::GET_CHILDREN | op::GET_CHILDREN2 => Self::GetChildren,
            op::SYNC => Self::Sync,
            op::MULTI => Self::Multi,
            op::CLOSE_SESSION => Self::CloseSession,
            _ => Self::Any,
        }
    }

    fn of_write(action: &Action) -> Self {
        match action {
            Action::Create { .. } | Action::WithoutTimeToLive => Self::Create,
            Action::Delete { .. } => Self::Delete,
            Action::SetData { .. } => Self::SetData,
            Action::SetAcl { .. } | Action::Check { .. } => Self::Any,
        }
    }

    const fn of_read(read: &Read) -> Self {
        match read {
            Read::Data(_) => Self::GetData,
            Read::Children(_) => Self::GetChildren,
        }
    }
}

/// A fault of [`Clients::disconnect_at`](crate::Clients::disconnect_at) that has not struck yet.
#[derive(Debug)]
pub(super) struct Armed {
    /// The session whose operations trigger it; `None` for all sessions.
    pub(super) session: Option<SessionId>,
    pub(super) when: When,
    pub(super) operation: Operation,
    /// Set to true when the fault strikes.
    pub(super) done: watch::Sender<bool>,
}

impl Armed {
    /// Whether this request of this session triggers the fault.
    pub(super) fn triggers_on(&self, session: SessionId, op_code: i32, request: Option<&Request>) -> bool {
        self.session.is_none_or(|own| own == session) && self.operation.matches(op_code, request)
    }
}

/// The network faults that are set for one client or for all.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Impairment {
    pub(super) swallow_to_server: bool,
    pub(super) swallow_to_client: bool,
    pub(super) refuse: bool,
    pub(super) delay: Duration,
}

/// The network faults by session, with `None` for those of all clients.
#[derive(Debug, Default)]
pub(super) struct Impairments(HashMap<Option<SessionId>, Impairment>);

impl Impairments {
    /// The faults of a session, including those of all clients; `None` for connections without a session.
    pub(super) fn of(&self, session: Option<SessionId>) -> Impairment {
        let all = self.0.get(&None).copied().unwrap_or_default();
        match session.and_then(|session| self.0.get(&Some(session))) {
            Some(own) => all.and(*own),
            None => all,
        }
    }

    /// The faults of a session alone, to be changed.
    pub(super) fn of_mut(&mut self, session: Option<SessionId>) -> &mut Impairment {
        self.0.entry(session).or_default()
    }

    /// Removes the faults of a session.
    pub(super) fn remove(&mut self, session: Option<SessionId>) {
        self.0.remove(&session);
    }
}

impl Impairment {
    /// The union of both.
    fn and(self, other: Self) -> Self {
        Self {
            swallow_to_server: self.swallow_to_server || other.swallow_to_server,
            swallow_to_client: self.swallow_to_client || other.swallow_to_client,
            refuse: self.refuse || other.refuse,
            delay: self.delay.saturating_add(other.delay),
        }
    }
}
