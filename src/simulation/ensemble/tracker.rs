//! When sessions expire: the leader server's table.
//!
//! ```text
//!   tracked ──▶ its time is over: its whole bucket is taken out ──▶ closed, one session after the other
//!      ▲ touched, taken up         │ touched, taken up: no use
//!      └───────────────────────────┘ and its transactions commit
//! ```
//!
//! As `SessionTrackerImpl` does it, whatever expires at one instant is taken out of the table of expiries as a whole, and
//! then closed one by one. Until its turn comes, a session looks alive in every respect.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::simulation::time::Instant;
use zookeeper_embedded::SessionId;

pub(super) struct SessionTracker {
    /// Sessions expire at the end of a tick, unless they do at the earliest legal moment.
    tick: Option<Duration>,
    /// How long it takes at most to close a bucket.
    longest_closing: Duration,
    sessions: BTreeMap<i64, TrackedSession>,
    /// Until when the last bucket is being closed.
    busy_until: Instant,
}

struct TrackedSession {
    expires: Instant,
    /// The server that its client is connected to, since somebody has said so.
    owner: Option<usize>,
    /// When it will be closed, whatever is heard of it.
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

    /// A session is new, or was taken over by a new leader server: it has its whole timeout.
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

    /// A session was heard of over a connection with this timeout: whether it was longer or shorter before does not
    /// matter.
    pub(super) fn touch(&mut self, session: SessionId, timeout: Duration, now: Instant) {
        let expires = self.expiry(timeout, now);
        if let Some(tracked) = self.sessions.get_mut(&session.raw()) {
            tracked.expires = expires;
        }
    }

    /// A client wants to go on with a session over another server; `false` if it has been closed.
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

    /// Whether requests of a session that come from this server are to be carried out: a session has moved on when its
    /// client, or what was left of a connect that it has given up, has reached another. The first that a new leader
    /// server hears of the session makes the owner.
    pub(super) fn is_owner(&mut self, session: SessionId, server: usize) -> bool {
        let tracked = self.sessions.get_mut(&session.raw());
        tracked.is_some_and(|tracked| *tracked.owner.get_or_insert(server) == server)
    }

    /// The client closes a session.
    pub(super) fn forget(&mut self, session: SessionId) {
        self.sessions.remove(&session.raw());
    }

    /// When a session would expire that is not heard of any more.
    pub(super) fn expires(&self, session: SessionId) -> Option<Instant> {
        self.sessions.get(&session.raw()).map(|tracked| tracked.expires)
    }

    /// The next instant at which there is something to do.
    pub(super) fn next(&self) -> Option<Instant> {
        self.sessions.values().map(|tracked| tracked.due(self.busy_until)).min()
    }

    /// Takes out a session that is to be closed now.
    pub(super) fn take_expired(&mut self, now: Instant, rng: &mut fastrand::Rng) -> Option<SessionId> {
        if self.busy_until <= now {
            self.take_bucket(now, rng);
        }
        let due = |(_, tracked): &(&i64, &TrackedSession)| tracked.closes.is_some_and(|closes| closes <= now);
        let id = *self.sessions.iter().find(due)?.0;
        self.sessions.remove(&id);
        Some(SessionId::from_raw(id))
    }

    /// Decides when each of those is closed whose time is over.
    fn take_bucket(&mut self, now: Instant, rng: &mut fastrand::Rng) {
        let bucket = self.sessions.values_mut().filter(|it| it.closes.is_none() && it.expires <= now);
        let closing = self.longest_closing;
        for tracked in bucket {
            // Most are among the first or among the last.
            let part = if rng.bool() { rng.f64().powi(3) } else { 1.0 - rng.f64().powi(3) };
            let after = closing.mul_f64(part);
            tracked.closes = Some(now + after);
            self.busy_until = self.busy_until.max(now + after);
        }
    }

    fn expiry(&self, timeout: Duration, now: Instant) -> Instant {
        let expires = now + timeout;
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
