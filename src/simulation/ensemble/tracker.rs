//! When sessions expire: the leader server's table.
//!
//! ```text
//!   tracked ──▶ expired: its whole bucket is taken out ──▶ closed, one session after another
//!      ▲ touched, resumed          │ touched, resumed: no effect,
//!      └───────────────────────────┘ but its transactions commit
//! ```
//!
//! As in `SessionTrackerImpl`, all sessions that expire at one instant are taken out of the table together, and then
//! closed one by one. Until its turn comes, a session looks alive in every respect.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::simulation::time::Instant;
use zookeeper_embedded::SessionId;

pub(super) struct SessionTracker {
    /// Sessions expire at the end of a tick. `None`: at the earliest legal instant.
    tick: Option<Duration>,
    /// The longest time to close a bucket.
    longest_closing: Duration,
    sessions: BTreeMap<i64, TrackedSession>,
    /// Until when the last bucket is being closed.
    busy_until: Instant,
}

struct TrackedSession {
    expires: Instant,
    /// The server that its client is connected to, if known.
    owner: Option<usize>,
    /// When it will be closed, even if it is heard of.
    closes: Option<Instant>,
}

impl TrackedSession {
    fn due(&self, busy_until: Instant) -> Instant {
        self.closes.unwrap_or(self.expires.max(busy_until))
    }
}

impl SessionTracker {
    pub(super) fn new(tick: Option<Duration>, longest_closing: Duration) -> Self {
        Self { tick, longest_closing, sessions: BTreeMap::new(), busy_until: Instant::ZERO }
    }

    /// A session is new, or a new leader server has taken it over. It has its whole timeout.
    pub(super) fn track(
        &mut self,
        session: SessionId,
        timeout: Duration,
        owner: Option<usize>,
        now: Instant,
    ) {
        let expires = self.expiry(timeout, now);
        self.sessions.insert(session.raw(), TrackedSession { expires, owner, closes: None });
    }

    /// A session was heard of over a connection with this timeout. Its timeout before, longer or shorter, does not
    /// matter.
    pub(super) fn touch(&mut self, session: SessionId, timeout: Duration, now: Instant) {
        let expires = self.expiry(timeout, now);
        if let Some(tracked) = self.sessions.get_mut(&session.raw()) {
            tracked.expires = expires;
        }
    }

    /// A client resumes a session over another server. `false` if the session has been closed.
    pub(super) fn revalidate(
        &mut self,
        session: SessionId,
        timeout: Duration,
        owner: usize,
        now: Instant,
    ) -> bool {
        self.touch(session, timeout, now);
        self.sessions.get_mut(&session.raw()).map(|tracked| tracked.owner = Some(owner)).is_some()
    }

    /// Whether requests of a session that come from this server are executed. A session has moved when its client, or
    /// an abandoned connect of the client, has reached another server. With a new leader server, the first server from
    /// which it hears of the session becomes the owner.
    pub(super) fn is_owner(&mut self, session: SessionId, server: usize) -> bool {
        let tracked = self.sessions.get_mut(&session.raw());
        tracked.is_some_and(|tracked| *tracked.owner.get_or_insert(server) == server)
    }

    /// The client closes a session.
    pub(super) fn forget(&mut self, session: SessionId) {
        self.sessions.remove(&session.raw());
    }

    /// When a session expires if it is not heard of again.
    pub(super) fn expires(&self, session: SessionId) -> Option<Instant> {
        self.sessions.get(&session.raw()).map(|tracked| tracked.expires)
    }

    /// The next instant at which a session is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.sessions.values().map(|tracked| tracked.due(self.busy_until)).min()
    }

    /// Takes out a session that is due to be closed.
    pub(super) fn take_expired(&mut self, now: Instant, rng: &mut fastrand::Rng) -> Option<SessionId> {
        if self.busy_until <= now {
            self.take_bucket(now, rng);
        }
        let due = |(_, tracked): &(&i64, &TrackedSession)| tracked.closes.is_some_and(|closes| closes <= now);
        let id = *self.sessions.iter().find(due)?.0;
        self.sessions.remove(&id);
        Some(SessionId::from_raw(id))
    }

    /// Decides when each session that has expired is closed.
    fn take_bucket(&mut self, now: Instant, rng: &mut fastrand::Rng) {
        let bucket = self.sessions.values_mut().filter(|it| it.closes.is_none() && it.expires <= now);
        let closing = self.longest_closing;
        for tracked in bucket {
            // Most are closed early or late.
            let part = if rng.bool() { rng.f64().powi(3) } else { 1.0 - rng.f64().powi(3) };
            let after = closing.mul_f64(part);
            tracked.closes = Some(now + after);
            self.busy_until = self.busy_until.max(now + after);
        }
    }

    fn expiry(&self, timeout: Duration, now: Instant) -> Instant {
        let expires = now + timeout;
        match self.tick {
            // The next tick, even if `expires` is a tick.
            Some(tick) => {
                let ticks = expires.as_nanos() / tick.as_nanos() + 1;
                Duration::from_nanos(u64::try_from(ticks * tick.as_nanos()).unwrap_or(u64::MAX))
            }
            None => expires,
        }
    }
}
