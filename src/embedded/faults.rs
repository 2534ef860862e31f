//! Faults on command: what a test can do to the clients of a server.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::state::{Link, Shared, State};
use crate::types::SessionId;

/// Clients of a [`Server`](super::Server), all or one, and what can be done to them.
///
/// Made by [`Server::clients`](super::Server::clients) for all clients, present and future, and by
/// [`Server::client`](super::Server::client) for the client of one session, over whichever connection it comes.
/// What is set for all and what is set for one add up. Every call takes effect before it returns.
#[derive(Clone, Debug)]
pub struct Clients {
    shared: Arc<Shared>,
    session: Option<SessionId>,
}

impl Clients {
    pub(super) const fn new(shared: Arc<Shared>, session: Option<SessionId>) -> Self {
        Self { shared, session }
    }

    /// Ends the sessions now, as if they had not been heard of for their timeout: their ephemeral znodes are deleted,
    /// and their connections closed. A client learns of it when it connects again.
    pub fn expire(&self) {
        let mut state = self.shared.lock();
        let sessions: Vec<SessionId> = match self.session {
            Some(session) => vec![session],
            None => state.engine.sessions.alive().collect(),
        };
        for session in sessions {
            state.act(|engine, now, out| engine.expire(now, session, out));
        }
    }

    /// Closes the connections. The sessions live, and the clients may connect again.
    pub fn disconnect(&self) {
        self.close_where(&mut self.shared.lock(), |_| true);
    }

    /// Closes the connection over which the next such operation comes, without an answer to it: before or after it is
    /// carried out.
    ///
    /// The fault strikes once. Several can be armed; each operation sets off one of them, the oldest first.
    pub fn disconnect_at(&self, when: When, operation: Operation) -> CutOff {
        let done = watch::Sender::new(false);
        let cut_off = CutOff(done.subscribe());
        self.shared.lock().armed.push(Armed { session: self.session, when, operation, done });
        cut_off
    }

    /// From now on each reply and event leaves this much later than it would. Zero ends it.
    pub fn delay_replies(&self, by: Duration) {
        self.shape(|shaping| shaping.delay = by);
    }

    /// From now on everything that goes in this direction vanishes, while the connections stay open: what a network
    /// does that drops packets. Whichever direction it is, no new connection comes about. Sessions go on to expire.
    /// What was sent before may still arrive.
    ///
    /// Ended by [`heal`](Self::heal).
    pub fn swallow(&self, direction: Direction) {
        self.shape(|shaping| {
            shaping.swallow_to_server |= direction != Direction::ToClient;
            shaping.swallow_to_client |= direction != Direction::ToServer;
        });
    }

    /// From now on (with `false`: no longer) closes new connections when they ask for a session: for all clients any
    /// session, for one client its own. Connections that are open stay.
    pub fn refuse(&self, refuse: bool) {
        self.shape(|shaping| shaping.refuse = refuse);
    }

    /// Ends [`swallow`](Self::swallow), [`delay_replies`](Self::delay_replies) and [`refuse`](Self::refuse) as far as
    /// they were set by handles for the same clients.
    ///
    /// Connections on which something was swallowed are closed: no client could go on over them, since TCP loses
    /// nothing in the middle.
    pub fn heal(&self) {
        let mut state = self.shared.lock();
        state.shapings.remove(&self.session);
        self.close_where(&mut state, |link| link.broken);
    }

    fn shape(&self, change: impl FnOnce(&mut Shaping)) {
        change(self.shared.lock().shapings.entry(self.session).or_default());
    }

    fn close_where(&self, state: &mut State, close: impl Fn(&Link) -> bool) {
        let meant = |session| self.session.is_none() || self.session == session;
        let links = state.links.iter().filter(|(_, link)| meant(link.session) && close(link));
        let connections: Vec<_> = links.map(|(connection, _)| *connection).collect();
        for connection in connections {
            state.act(|engine, _, out| engine.close(connection, out));
        }
    }
}

/// A fault armed by [`Clients::disconnect_at`]. Dropping it does not disarm the fault.
#[derive(Clone, Debug)]
pub struct CutOff(watch::Receiver<bool>);

impl CutOff {
    /// Waits until the fault has struck, or the server has ended.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again.
    pub async fn done(&self) {
        let _ = self.0.clone().wait_for(|done| *done).await;
    }

    /// Whether the fault has struck.
    pub fn is_done(&self) -> bool {
        *self.0.borrow()
    }
}

/// On which side of an operation a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum When {
    /// The operation is not carried out.
    Before,
    /// The operation is carried out, and its client does not hear of it.
    After,
}

/// One way of a connection, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
    /// Both ways.
    Both,
}

/// A kind of operation, see [`Clients::disconnect_at`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Any operation but heartbeats.
    Any,
    /// Every kind of create outside of transactions.
    Create,
    /// Delete.
    Delete,
    /// Exists.
    Exists,
    /// Reading data.
    GetData,
    /// Setting data.
    SetData,
    /// Reading the names of children, with or without the stat of their parent.
    GetChildren,
    /// Sync.
    Sync,
    /// A transaction.
    Multi,
    /// The end of a session by its client.
    CloseSession,
}

/// A fault that waits for its operation.
#[derive(Debug)]
pub(super) struct Armed {
    session: Option<SessionId>,
    pub(super) when: When,
    operation: Operation,
    pub(super) done: watch::Sender<bool>,
}

impl Armed {
    /// Whether this operation of this session sets it off.
    pub(super) fn fires(&self, session: SessionId, operation: Option<Operation>) -> bool {
        self.session.is_none_or(|meant| meant == session)
            && operation
                .is_some_and(|operation| self.operation == Operation::Any || self.operation == operation)
    }
}

/// What is set for all clients or for one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shaping {
    pub(super) swallow_to_server: bool,
    pub(super) swallow_to_client: bool,
    pub(super) refuse: bool,
    pub(super) delay: Duration,
}

impl Shaping {
    /// Both together.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            swallow_to_server: self.swallow_to_server || other.swallow_to_server,
            swallow_to_client: self.swallow_to_client || other.swallow_to_client,
            refuse: self.refuse || other.refuse,
            delay: self.delay + other.delay,
        }
    }
}
