//! The public handles for faults.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::server::faults::{Armed, Direction, Impairment, Operation, When};
use crate::server::state::{ConnectionHandle, Shared, State};
use crate::session_id::SessionId;

/// Injects faults into the connections and sessions of one client, or of all clients.
///
/// Made by [`Server::clients`](crate::Server::clients) for all present and future clients, and by
/// [`Server::client`](crate::Server::client) for the client with one session, on any connection that it uses.
///
/// Faults that are set for all clients and for one add up. Each call takes effect before it returns. A fault that is set
/// for a session stays set after the session has ended, because the client may ask for the session again. The client's
/// next session is not affected.
#[derive(Clone)]
pub struct Clients {
    shared: Arc<Shared>,
    session: Option<SessionId>,
}

impl Clients {
    pub(super) const fn new(shared: Arc<Shared>, session: Option<SessionId>) -> Self {
        Self { shared, session }
    }

    /// Expires the sessions now: deletes their ephemeral znodes, and closes their connections.
    ///
    /// As with a real server, a client learns of the expiry when it reconnects.
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

    /// Closes the connections, and drops replies and events that are not sent yet. The sessions stay alive, and the
    /// clients can reconnect.
    pub fn disconnect(&self) {
        self.shared.lock().cut_where(|connection| self.includes(connection));
    }

    /// Closes the connection at the next operation of this kind, before or after the operation is carried out. The client
    /// gets no reply to it.
    ///
    /// The fault strikes once. Several can be armed; each operation triggers one of them, the oldest first. The fault
    /// stays armed until it strikes, [`CutOff::disarm`] is called, or the server ends.
    pub fn disconnect_at(&self, when: When, operation: Operation) -> CutOff {
        let done = watch::Sender::new(false);
        let cut_off = CutOff { done: done.subscribe(), shared: self.shared.clone() };
        self.shared.lock().arm(Armed { session: self.session, when, operation, done });
        cut_off
    }

    /// Delays all further replies and events by this time, at most an hour. A connection that the server closes after a
    /// reply is closed with the same delay.
    ///
    /// Zero ends the delay: replies and events that are held back are sent at once.
    pub fn delay_replies(&self, by: Duration) {
        const MAX: Duration = Duration::from_secs(3600);
        self.impair(|impairment| impairment.delay = by.min(MAX));
        if by.is_zero() {
            self.end_delays(&self.shared.lock());
        }
    }

    /// Drops everything that is sent in this direction, like a network that drops packets. Connections stay open, and
    /// sessions expire as usual. Bytes that were sent before may still arrive.
    ///
    /// For any direction, new connections get no session.
    ///
    /// Ended by [`heal`](Self::heal).
    pub fn swallow(&self, direction: Direction) {
        self.impair(|impairment| {
            impairment.swallow_to_server |= direction != Direction::ToClient;
            impairment.swallow_to_client |= direction != Direction::ToServer;
        });
    }

    /// With `true`, closes new connections when they ask for a session: any session for all clients, its own for one
    /// client. Open connections are not affected. `false` ends it.
    pub fn refuse(&self, refuse: bool) {
        self.impair(|impairment| impairment.refuse = refuse);
    }

    /// Ends [`swallow`](Self::swallow), [`delay_replies`](Self::delay_replies) and [`refuse`](Self::refuse) if they were
    /// set by a handle for the same clients. Faults of [`disconnect_at`](Self::disconnect_at) stay armed.
    ///
    /// Connections on which something was dropped are closed. No client could continue on them, because TCP never loses
    /// bytes in the middle of a stream.
    pub fn heal(&self) {
        let mut state = self.shared.lock();
        state.impairments.remove(self.session);
        state.cut_where(|connection| self.includes(connection) && connection.broken);
        self.end_delays(&state);
    }

    fn impair(&self, change: impl FnOnce(&mut Impairment)) {
        change(self.shared.lock().impairments.of_mut(self.session));
    }

    /// Sends replies and events that are held back, except to clients for which another handle has set a delay.
    fn end_delays(&self, state: &State) {
        let is_delayed = |it: &ConnectionHandle| !state.impairments.of(it.session).delay.is_zero();
        state
            .connections
            .values()
            .filter(|it| self.includes(it) && !is_delayed(it))
            .for_each(|it| it.outbox.end_delays());
    }

    fn includes(&self, connection: &ConnectionHandle) -> bool {
        self.session.is_none() || self.session == connection.session
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
    /// Waits until the fault has struck or is disarmed, or the server has ended.
    ///
    /// # Cancel safety
    ///
    /// The future can be dropped, and the method called again.
    pub async fn done(&self) {
        let _ = self.done.clone().wait_for(|done| *done).await;
    }

    /// Whether the fault has struck.
    pub fn is_done(&self) -> bool {
        *self.done.borrow()
    }

    /// Disarms the fault if it has not struck yet.
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
