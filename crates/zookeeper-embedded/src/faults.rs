//! Faults on command: what a test can do to the clients of a server.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::request::{Action, Read, Request, op};
use crate::session_id::SessionId;
use crate::state::{Link, Shared, State};

/// Clients of a [`Server`](crate::Server), all or one, and what can be done to them.
///
/// Made by [`Server::clients`](crate::Server::clients) for all clients, present and future, and by
/// [`Server::client`](crate::Server::client) for the client of one session, over whichever connection it comes.
/// What is set for all and what is set for one add up. Every call takes effect before it returns.
#[derive(Clone)]
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

    /// Closes the connections, and drops what has not left. The sessions live, and the clients may connect again.
    pub fn disconnect(&self) {
        self.shared.lock().cut_where(|link| self.means(link));
    }

    /// Closes the connection over which the next such operation comes, without an answer to it: before or after it is
    /// carried out.
    ///
    /// The fault strikes once. Several can be armed; each operation sets off one of them, the oldest first. It stays
    /// armed until it strikes, [`CutOff::disarm`] is called, or the server ends.
    pub fn disconnect_at(&self, when: When, operation: Operation) -> CutOff {
        let done = watch::Sender::new(false);
        let cut_off = CutOff { done: done.subscribe(), shared: self.shared.clone() };
        self.shared.lock().arm(Armed { session: self.session, when, operation, done });
        cut_off
    }

    /// From now on each reply and event leaves this much later than it would, at most an hour, and so does the end of a
    /// connection that the server closes behind a reply. Zero ends it: what is held back leaves at once.
    pub fn delay_replies(&self, by: Duration) {
        const LONGEST: Duration = Duration::from_secs(3600);
        self.shape(|shaping| shaping.delay = by.min(LONGEST));
        if by.is_zero() {
            self.hurry(&self.shared.lock());
        }
    }

    /// From now on everything that goes in this direction vanishes, while the connections stay open: what a network
    /// does that drops packets. Whichever direction it is, new connections get no session. Sessions go on to expire.
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
    /// they were set by handles for the same clients. Faults of [`disconnect_at`](Self::disconnect_at) stay armed.
    ///
    /// Connections on which something was swallowed are closed: no client could go on over them, since TCP loses
    /// nothing in the middle.
    pub fn heal(&self) {
        let mut state = self.shared.lock();
        state.shapings.remove(self.session);
        state.cut_where(|link| self.means(link) && link.broken);
        self.hurry(&state);
    }

    fn shape(&self, change: impl FnOnce(&mut Shaping)) {
        change(self.shared.lock().shapings.set(self.session));
    }

    /// Lets leave what is held back, as far as it is not to be held back any longer.
    fn hurry(&self, state: &State) {
        let held_back = |link: &Link| !state.shapings.of(link.session).delay.is_zero();
        state
            .links
            .values()
            .filter(|link| self.means(link) && !held_back(link))
            .for_each(|link| link.outbox.hurry());
    }

    fn means(&self, link: &Link) -> bool {
        self.session.is_none() || self.session == link.session
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients").field("session", &self.session).finish_non_exhaustive()
    }
}

/// A fault armed by [`Clients::disconnect_at`]. Dropping it does not disarm the fault.
#[derive(Clone)]
pub struct CutOff {
    done: watch::Receiver<bool>,
    shared: Arc<Shared>,
}

impl CutOff {
    /// Waits until the fault has struck, was disarmed, or the server has ended.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again.
    pub async fn done(&self) {
        let _ = self.done.clone().wait_for(|done| *done).await;
    }

    /// Whether the fault has struck.
    pub fn is_done(&self) -> bool {
        *self.done.borrow()
    }

    /// Takes the fault back, if it has not struck yet.
    pub fn disarm(&self) {
        let same = |armed: &Armed| armed.done.subscribe().same_channel(&self.done);
        self.shared.lock().armed.retain(|armed| !same(armed));
    }
}

impl fmt::Debug for CutOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CutOff").field("is_done", &self.is_done()).finish_non_exhaustive()
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

/// A kind of operation, see [`Clients::disconnect_at`]. A transaction is of its own kind, [`Multi`](Self::Multi), and of
/// the kinds of the operations in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Any operation but heartbeats: those below, and those that have no name here. Clients send some by themselves when
    /// they have connected again, to leave their watches and to prove who they are.
    Any,
    /// Every kind of create.
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

impl Operation {
    /// Whether a request with this op code is of this kind, by itself or by an operation in it. Heartbeats are of none.
    fn is_in(self, op_code: i32, request: Option<&Request>) -> bool {
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

    /// The kind of a request: `Any` for those without a name.
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

/// A fault that waits for its operation.
#[derive(Debug)]
pub(super) struct Armed {
    pub(super) session: Option<SessionId>,
    pub(super) when: When,
    operation: Operation,
    pub(super) done: watch::Sender<bool>,
}

impl Armed {
    /// Whether this request of this session sets it off.
    pub(super) fn fires(&self, session: SessionId, op_code: i32, request: Option<&Request>) -> bool {
        self.session.is_none_or(|meant| meant == session) && self.operation.is_in(op_code, request)
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

/// What is set for all clients (`None`), and for each one.
#[derive(Debug, Default)]
pub(super) struct Shapings(HashMap<Option<SessionId>, Shaping>);

impl Shapings {
    /// What goes for a session, or for connections that have none.
    pub(super) fn of(&self, session: Option<SessionId>) -> Shaping {
        let all = self.0.get(&None).copied().unwrap_or_default();
        match session.and_then(|session| self.0.get(&Some(session))) {
            Some(own) => all.and(*own),
            None => all,
        }
    }

    fn set(&mut self, session: Option<SessionId>) -> &mut Shaping {
        self.0.entry(session).or_default()
    }

    fn remove(&mut self, session: Option<SessionId>) {
        self.0.remove(&session);
    }
}

impl Shaping {
    /// Both together.
    fn and(self, other: Self) -> Self {
        Self {
            swallow_to_server: self.swallow_to_server || other.swallow_to_server,
            swallow_to_client: self.swallow_to_client || other.swallow_to_client,
            refuse: self.refuse || other.refuse,
            delay: self.delay.saturating_add(other.delay),
        }
    }
}
