//! The open sessions, and when they expire.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::engine::connection_id::ConnectionId;
use crate::session_id::SessionId;

/// A session.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    password: [u8; 16],
    /// The connection that uses the session now.
    pub(crate) connection: Option<ConnectionId>,
    /// The timeout that the session was opened with.
    timeout: Duration,
    /// The number of the tick at whose end the session expires.
    expires: u64,
}

/// All open sessions. Instants are durations since the server's start.
#[derive(Clone, Debug)]
pub(crate) struct Sessions {
    tick: Duration,
    next: i64,
    /// By id, which is the order in which they were opened.
    alive: BTreeMap<i64, Session>,
    /// By the tick in which they expire.
    expiring: BTreeSet<(u64, i64)>,
}

impl Sessions {
    /// No sessions. The first one that is opened gets the id `first`; 1 instead of 0, which stands for no session.
    pub(crate) const fn new(tick: Duration, first: SessionId) -> Self {
        let next = if first.raw() == 0 { 1 } else { first.raw() };
        Self { tick, next, alive: BTreeMap::new(), expiring: BTreeSet::new() }
    }

    /// The timeout for a requested one in milliseconds: between 2 and 20 ticks.
    pub(crate) fn negotiate(&self, milliseconds: i32) -> Duration {
        let asked = Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0));
        asked.clamp(2 * self.tick, 20 * self.tick)
    }

    /// Opens a session.
    pub(crate) fn open(
        &mut self,
        now: Duration,
        timeout: Duration,
        password: [u8; 16],
        connection: ConnectionId,
    ) -> SessionId {
        let id = self.next;
        self.next += 1;
        let expires = self.tick_of(now + timeout);
        self.alive.insert(id, Session { password, connection: Some(connection), timeout, expires });
        self.expiring.insert((expires, id));
        SessionId::from_raw(id)
    }

    /// The session with this id if it is open.
    pub(crate) fn find(&mut self, id: SessionId) -> Option<&mut Session> {
        self.alive.get_mut(&id.raw())
    }

    /// Restarts the timeout of a session.
    pub(crate) fn touch(&mut self, id: SessionId, now: Duration, timeout: Duration) {
        let expires = self.tick_of(now + timeout);
        if let Some(session) = self.alive.get_mut(&id.raw())
            && session.expires != expires
        {
            self.expiring.remove(&(session.expires, id.raw()));
            session.expires = expires;
            self.expiring.insert((expires, id.raw()));
        }
    }

    /// Restarts the timeouts of all sessions, with the values that they were opened with, as a server does that has read
    /// the sessions from its disk.
    pub(crate) fn restart_timeouts(&mut self, now: Duration) {
        let timeouts: Vec<_> = self.alive.iter().map(|(id, session)| (*id, session.timeout)).collect();
        for (id, timeout) in timeouts {
            self.touch(SessionId::from_raw(id), now, timeout);
        }
    }

    /// Removes a session; `None` if it is not open.
    pub(crate) fn end(&mut self, id: SessionId) -> Option<Session> {
        let session = self.alive.remove(&id.raw())?;
        self.expiring.remove(&(session.expires, id.raw()));
        Some(session)
    }

    /// A session whose timeout has passed.
    pub(crate) fn expired(&self, now: Duration) -> Option<SessionId> {
        let (expires, id) = self.expiring.first()?;
        (self.end_of(*expires) <= now).then_some(SessionId::from_raw(*id))
    }

    /// The open sessions, in the order in which they were opened.
    pub(crate) fn alive(&self) -> impl ExactSizeIterator<Item = SessionId> {
        self.alive.keys().map(|id| SessionId::from_raw(*id))
    }

    /// The sessions in the order of the instants at which they expire without a further heartbeat.
    pub(crate) fn by_expiry(&self) -> impl Iterator<Item = (Duration, SessionId)> {
        self.expiring.iter().map(|(expires, id)| (self.end_of(*expires), SessionId::from_raw(*id)))
    }

    fn tick_of(&self, instant: Duration) -> u64 {
        u64::try_from(instant.as_nanos() / self.tick.as_nanos()).unwrap_or(u64::MAX)
    }

    /// The end of a tick. A session expires at the end of the tick in which its timeout ends, never before.
    fn end_of(&self, tick: u64) -> Duration {
        let tick_length = u64::try_from(self.tick.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(tick_length.saturating_mul(tick + 1))
    }
}

impl Session {
    /// Whether this is the password of the session.
    pub(crate) fn accepts(&self, password: &[u8]) -> bool {
        self.password == password
    }

    /// The password with which a client resumes the session.
    pub(crate) const fn password(&self) -> [u8; 16] {
        self.password
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(100);

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn open(sessions: &mut Sessions, now: u64, timeout: u64) -> SessionId {
        sessions.open(at(now), at(timeout), [0; 16], ConnectionId::new(1))
    }

    #[test]
    fn a_timeout_is_between_2_and_20_ticks() {
        let sessions = Sessions::new(TICK, SessionId::from_raw(1));
        for (asked, given) in
            [(i32::MIN, 200), (0, 200), (199, 200), (300, 300), (2001, 2000), (i32::MAX, 2000)]
        {
            assert_eq!(sessions.negotiate(asked), at(given), "{asked}");
        }
    }

    #[test]
    fn a_session_expires_at_the_end_of_a_tick_and_not_before_its_timeout() {
        let mut sessions = Sessions::new(TICK, SessionId::from_raw(1));
        let session = open(&mut sessions, 30, 200);
        assert_eq!(sessions.by_expiry().next(), Some((at(300), session)));
        assert_eq!(sessions.expired(at(299)), None);
        assert_eq!(sessions.expired(at(300)), Some(session));
        sessions.touch(session, at(200), at(200));
        assert_eq!(
            sessions.expired(at(499)),
            None,
            "a timeout that ends exactly with a tick is extended by the next tick"
        );
        assert_eq!(sessions.expired(at(500)), Some(session));
        assert!(sessions.end(session).is_some());
        assert_eq!((sessions.expired(at(9999)), sessions.by_expiry().next()), (None, None));
        assert!(sessions.end(session).is_none());
    }

    #[test]
    fn timeouts_restart_with_the_values_of_the_open_request() {
        let mut sessions = Sessions::new(TICK, SessionId::from_raw(1));
        let slow = open(&mut sessions, 0, 1000);
        let quick = open(&mut sessions, 0, 200);
        sessions.touch(slow, at(0), at(500));
        sessions.restart_timeouts(at(5000));
        assert_eq!(sessions.by_expiry().collect::<Vec<_>>(), [(at(5300), quick), (at(6100), slow)]);
    }

    #[test]
    fn sessions_expire_after_years_of_the_shortest_tick() {
        let mut sessions = Sessions::new(Duration::from_millis(1), SessionId::from_raw(1));
        let year = 365 * 24 * 3600 * 1000;
        let session = open(&mut sessions, 10 * year, 20);
        assert_eq!(sessions.by_expiry().next(), Some((at(10 * year + 21), session)));
    }

    #[test]
    fn sessions_expire_in_order() {
        let mut sessions = Sessions::new(TICK, SessionId::from_raw(1));
        let slow = open(&mut sessions, 0, 1000);
        let quick = open(&mut sessions, 0, 200);
        assert_eq!(sessions.alive().collect::<Vec<_>>(), [slow, quick]);
        assert_eq!(sessions.by_expiry().collect::<Vec<_>>(), [(at(300), quick), (at(1100), slow)]);
    }
}
