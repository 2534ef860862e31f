//! When sessions expire: the leader server's table.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::time::Instant;
use crate::types::SessionId;

pub(super) struct Tracker {
    timeout: Duration,
    /// Sessions expire at the end of a tick, unless they do at the earliest legal moment.
    tick: Option<Duration>,
    sessions: BTreeMap<i64, Tracked>,
}

struct Tracked {
    expires: Instant,
    /// The server that its client is connected to, since the client has said so.
    at: Option<usize>,
}

impl Tracker {
    pub(super) fn new(timeout: Duration, tick: Option<Duration>) -> Self {
        Self { timeout, tick, sessions: BTreeMap::new() }
    }

    /// A session is new, or was taken up by a new leader server: it has its whole timeout.
    pub(super) fn track(&mut self, session: SessionId, at: Option<usize>, now: Instant) {
        self.sessions.insert(session.raw(), Tracked { expires: self.expiry(now), at });
    }

    /// A session was heard of.
    pub(super) fn touch(&mut self, session: SessionId, now: Instant) {
        let expires = self.expiry(now);
        if let Some(tracked) = self.sessions.get_mut(&session.raw()) {
            tracked.expires = expires;
        }
    }

    /// A client wants to go on with a session over another server; `false` if it has expired.
    pub(super) fn take_up(&mut self, session: SessionId, at: usize, now: Instant) -> bool {
        self.touch(session, now);
        self.sessions.get_mut(&session.raw()).map(|tracked| tracked.at = Some(at)).is_some()
    }

    /// Whether requests of a session that come from this server are to be carried out: a session has moved on when its
    /// client has connected to another.
    pub(super) fn is_at(&self, session: SessionId, server: usize) -> bool {
        self.sessions.get(&session.raw()).is_some_and(|tracked| tracked.at == Some(server))
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.sessions.values().map(|tracked| tracked.expires).min()
    }

    /// Takes out a session that has expired.
    pub(super) fn take_expired(&mut self, now: Instant) -> Option<SessionId> {
        let id = *self.sessions.iter().find(|(_, tracked)| tracked.expires <= now)?.0;
        self.sessions.remove(&id);
        Some(SessionId::from_raw(id))
    }

    fn expiry(&self, now: Instant) -> Instant {
        let expires = now + self.timeout;
        match self.tick {
            // The next one, even if this is one.
            Some(tick) => {
                let ticks = expires.as_nanos() / tick.as_nanos() + 1;
                Duration::from_nanos(u64::try_from(ticks * tick.as_nanos()).unwrap_or(u64::MAX))
            }
            None => expires,
        }
    }
}
