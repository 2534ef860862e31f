//! Until when a leadership may be acted upon: the arithmetic, without clocks and requests.
//!
//! The ensemble keeps a znode of ours for the session timeout after its leader server has heard of the session. A
//! request that was answered, and after half a tick a transaction that commits, prove that it has heard of the session
//! since the request was sent: see the module [`guarantees`](crate::guarantees) for why.

use std::collections::VecDeque;
use std::time::Duration;

use crate::types::Timestamp;

/// Which part of the session timeout a lease ends before the session can, unless the application says otherwise.
pub(crate) const DEFAULT_MARGIN: f64 = 1.0 / 6.0;
/// The margins that leave both a lease worth having and some room for clocks that differ.
pub(crate) const MARGINS: std::ops::RangeInclusive<f64> = 0.05..=0.4;

/// What leases are measured with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    session_timeout: Duration,
    margin: Duration,
}

impl Terms {
    /// The terms of a session with this timeout, as negotiated, and this margin as a part of it.
    pub(crate) fn new(session_timeout: Duration, margin: f64) -> Self {
        Self { session_timeout, margin: session_timeout.mul_f64(margin) }
    }

    /// The session timeout, as negotiated.
    pub(crate) const fn session_timeout(&self) -> Duration {
        self.session_timeout
    }

    /// How often the session sends something: a little more often than the client's own heartbeat (0.15 of the
    /// session timeout after the last request), so that it takes its place, and often enough that the
    /// one before the last has an answer older than [`relay`](Self::relay).
    pub(crate) fn beat(&self) -> Duration {
        self.session_timeout / 7
    }

    /// The longest time until a server has told the leader server of a session: half a tick. The servers do not tell
    /// their tick, but a session lasts at least two.
    fn relay(&self) -> Duration {
        self.session_timeout / 4
    }

    /// How long a lease lasts from the moment that the ensemble's leader has heard of the session at the earliest.
    fn length(&self) -> Duration {
        self.session_timeout - self.margin
    }
}

/// The span of a leadership: it is valid while the clock reads less than [`Lease::end`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lease {
    end: Timestamp,
}

impl Lease {
    /// No lease.
    pub(crate) const OVER: Self = Self { end: Timestamp::MIN };

    /// The lease that ends at this instant.
    pub(crate) const fn until(end: Timestamp) -> Self {
        Self { end }
    }

    /// The first instant at which it is not valid.
    pub(crate) const fn end(self) -> Timestamp {
        self.end
    }

    /// Whether it is valid at this instant.
    pub(crate) fn is_valid(self, now: Timestamp) -> bool {
        now < self.end
    }
}

/// What is known about when the ensemble has heard of a session.
#[derive(Clone, Debug)]
pub(crate) struct Evidence {
    terms: Terms,
    /// A connect that began then has created the session or taken it up: servers ask the leader server before they
    /// answer.
    opened: Option<Timestamp>,
    /// Requests that a server has answered, in the order of the answers, thinned out.
    answered: VecDeque<Answered>,
}

#[derive(Clone, Copy, Debug)]
struct Answered {
    sent: Timestamp,
    at: Timestamp,
}

impl Evidence {
    /// Nothing is known of a session with these terms, but for the beginning of the connect that created it or took
    /// it up, if that is known.
    pub(crate) const fn new(terms: Terms, opened: Option<Timestamp>) -> Self {
        Self { terms, opened, answered: VecDeque::new() }
    }

    /// The terms of the session.
    pub(crate) const fn terms(&self) -> Terms {
        self.terms
    }

    /// A server has answered a request of the session that was sent at `sent`, or later.
    pub(crate) fn answered(&mut self, sent: Timestamp, at: Timestamp) {
        let news = self.terms.session_timeout / 32;
        // A proof that is still under way was sent no longer than that ago; of what was told before, one is enough.
        let oldest = sent.before(2 * self.terms.session_timeout);
        self.forget(oldest);
        if self.answered.back().is_none_or(|last| sent >= last.sent + news) {
            self.answered.push_back(Answered { sent, at });
        }
    }

    /// The lease that a transaction grants which was sent at `sent`, or later, and has committed.
    pub(crate) fn lease(&mut self, sent: Timestamp) -> Lease {
        self.forget(sent);
        let relay = self.terms.relay();
        let told = self.answered.front().filter(|it| it.is_told(relay, sent)).map(|it| it.sent);
        let heard = told.max(self.opened.filter(|opened| *opened <= sent));
        heard.map_or(Lease::OVER, |heard| Lease::until(heard + self.terms.length()))
    }

    /// Forgets all but the last of those that the leader server was told of by then.
    fn forget(&mut self, by: Timestamp) {
        let relay = self.terms.relay();
        while self.answered.get(1).is_some_and(|it| it.is_told(relay, by)) {
            self.answered.pop_front();
        }
    }
}

impl Answered {
    /// Whether a transaction that was sent then finds the leader server told of this.
    fn is_told(&self, relay: Duration, sent: Timestamp) -> bool {
        self.at + relay <= sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(milliseconds: u64) -> Timestamp {
        Timestamp::from_nanos(1_000_000_000_000 + milliseconds * 1_000_000)
    }

    /// 8.4 s: beats of 1.2 s, relayed within 2.1 s, leases of 7 s.
    fn evidence(opened: Option<Timestamp>) -> Evidence {
        Evidence::new(Terms::new(Duration::from_millis(8400), DEFAULT_MARGIN), opened)
    }

    #[test]
    fn nothing_heard_is_no_lease() {
        assert_eq!(evidence(None).lease(at(0)), Lease::OVER);
        assert_eq!(evidence(Some(at(5))).lease(at(4)), Lease::OVER);
    }

    #[test]
    fn a_session_that_was_just_opened_was_heard_of() {
        assert_eq!(evidence(Some(at(100))).lease(at(150)), Lease::until(at(7100)));
    }

    #[test]
    fn an_answer_counts_when_it_has_been_relayed() {
        let mut evidence = evidence(None);
        evidence.answered(at(0), at(10));
        assert_eq!(evidence.lease(at(2109)), Lease::OVER);
        assert_eq!(evidence.lease(at(2110)), Lease::until(at(7000)));
    }

    #[test]
    fn with_a_steady_beat_a_lease_lasts_a_bit_longer_than_half_the_session_timeout() {
        let mut evidence = evidence(None);
        for beat in 0..=10 {
            evidence.answered(at(1200 * beat), at(1200 * beat + 50));
        }
        // The beat before the last: 0.548 of the session timeout are left.
        assert_eq!(evidence.lease(at(12_000)), Lease::until(at(9600 + 7000)));
        assert!(evidence.answered.len() <= 3);
    }

    #[test]
    fn a_pause_before_the_proof_counts_against_it() {
        let mut evidence = evidence(Some(at(0)));
        evidence.answered(at(100), at(101));
        // Stopped for most of the session timeout: the ensemble is about to expire the session.
        let lease = evidence.lease(at(8000));
        assert_eq!(lease, Lease::until(at(7100)));
        assert!(!lease.is_valid(at(8000)));
    }

    #[test]
    fn who_waits_for_a_week_remembers_the_last_moments() {
        let mut evidence = evidence(None);
        for beat in 0..500_000 {
            evidence.answered(at(1200 * beat), at(1200 * beat + 50));
            assert!(evidence.answered.len() < 32);
        }
        assert_eq!(evidence.lease(at(1200 * 500_000)), Lease::until(at(1200 * 499_998 + 7000)));
    }

    #[test]
    fn requests_in_quick_succession_take_no_space() {
        let mut evidence = evidence(None);
        for i in 0..100_000 {
            evidence.answered(at(i), at(i + 1));
            if i % 1200 == 0 {
                evidence.lease(at(i));
            }
        }
        assert!(evidence.answered.len() < 32, "{}", evidence.answered.len());
        assert!(evidence.lease(at(100_000)).end() >= at(100_000 - 2100 - 300 + 7000));
    }
}
