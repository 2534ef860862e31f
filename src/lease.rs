//! Leases: how long a leadership is safe to act on. Arithmetic only, without clocks and requests.
//!
//! The ensemble keeps a znode for the session timeout after its leader server has last heard of the session. An answered
//! request, followed after at least half a tick by a transaction that commits, proves that the leader server has heard of
//! the session since that request was sent. The module [`guarantees`](crate::guarantees) derives this.
//!
//! ```text
//!   created / taken_up / moved     a connection begins
//!   answered(sent, at)             a server has answered on it
//!   lease(sent)                    a transaction has committed: the lease that it grants
//!   shorten(timeout)               the session timeout has become shorter
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use crate::mistakes::mistake;
use crate::timestamp::Timestamp;

/// The default margin: the part of the session timeout by which a lease ends before the session can expire.
pub(crate) const DEFAULT_MARGIN: f64 = 1.0 / 6.0;
/// The margins that leave both a useful lease and some allowance for clock drift.
pub(crate) const MARGINS: std::ops::RangeInclusive<f64> = 0.05..=0.4;

/// The durations that leases are calculated with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    session_timeout: Duration,
    margin: Duration,
}

impl Terms {
    /// The terms of a session with this negotiated timeout, and this margin as a part of it.
    pub(crate) fn new(session_timeout: Duration, margin: f64) -> Self {
        Self { session_timeout, margin: session_timeout.mul_f64(margin) }
    }

    /// The session timeout, as negotiated.
    pub(crate) const fn session_timeout(&self) -> Duration {
        self.session_timeout
    }

    /// The interval between beats. A little shorter than the client's own ping interval (0.15 of the session timeout without
    /// a request), so that beats replace pings, and short enough that when a beat is sent, the answer to the
    /// beat before the previous one is older than [`relay`](Self::relay).
    pub(crate) fn beat(&self) -> Duration {
        self.session_timeout / 7
    }

    /// The longest time until a server has told the leader server about a session: half a tick. Clients cannot learn the
    /// tick, but a session timeout is at least two ticks.
    fn relay(&self) -> Duration {
        self.session_timeout / 4
    }

    /// The longest time that the leader server takes to expire the sessions of one tick. Hearing of a session during that
    /// time does not save it.
    fn closing_window(&self) -> Duration {
        self.session_timeout / 8
    }

    /// The length of a lease, from the earliest instant at which the leader server can have heard of the session.
    fn length(&self) -> Duration {
        if mistake!(NoMargin) {
            return self.session_timeout;
        }
        self.session_timeout - self.margin
    }
}

/// How long a leadership is valid: while the clock reads less than [`Lease::end`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lease {
    end: Timestamp,
}

impl Lease {
    /// A lease that is never valid.
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

/// The evidence of when the ensemble has heard of a session. It lasts as long as the session, over all connections.
#[derive(Clone, Debug)]
pub(crate) struct Evidence {
    /// The margin, as a part of the session timeout.
    margin: f64,
    terms: Terms,
    /// The leader server is proven to have heard of the session at this instant or later.
    heard: Option<Timestamp>,
    /// How the current connection began, if known.
    attached: Option<Answered>,
    /// The requests that were answered on the current connection, in the order of the answers. Requests that follow another
    /// closely are left out.
    answered: VecDeque<Answered>,
}

/// A request that a server has answered, or the connect.
#[derive(Clone, Copy, Debug)]
struct Answered {
    sent: Timestamp,
    at: Timestamp,
    /// The leader server heard of it before it could begin to expire the session.
    in_time: bool,
}

impl Evidence {
    /// For a session that the current connection has created. The connect began at `began`. The ensemble commits a new session
    /// before the server answers.
    pub(crate) fn created(session_timeout: Duration, margin: f64, began: Timestamp) -> Self {
        Self { heard: Some(began), ..Self::unknown(session_timeout, margin) }
    }

    /// For a session that the application has opened.
    pub(crate) fn unknown(session_timeout: Duration, margin: f64) -> Self {
        let terms = Terms::new(session_timeout, margin);
        Self { margin, terms, heard: None, attached: None, answered: VecDeque::new() }
    }

    /// The terms of the session.
    pub(crate) const fn terms(&self) -> Terms {
        self.terms
    }

    /// The lease that the evidence so far grants. No lease is valid for longer.
    pub(crate) fn longest(&self) -> Lease {
        self.heard.map_or(Lease::OVER, |heard| Lease::until(heard + self.terms.length()))
    }

    /// Takes this session timeout if it is shorter. The leader server may use the old or the new one: a connection negotiates
    /// the timeout, but a new leader server uses the one with which the session was created.
    pub(crate) fn shorten(&mut self, session_timeout: Duration) {
        if session_timeout < self.terms.session_timeout && !mistake!(FirstTimeout) {
            self.terms = Terms::new(session_timeout, self.margin);
        }
    }

    /// A new connection has resumed the session. Its connect began at `began` or later, and was answered at `at`.
    pub(crate) fn taken_up(&mut self, began: Timestamp, at: Timestamp) {
        self.attached = Some(Answered { sent: began, at, in_time: self.is_kept(at) });
        // The server of the previous connection may have been cut off from the ensemble.
        self.answered.clear();
    }

    /// The client has lost its connection or reconnected by itself, between the last known answer and `now`. Call it for
    /// both.
    pub(crate) fn moved(&mut self, now: Timestamp) {
        let known = self.answered.back().into_iter().chain(&self.attached).map(|it| it.sent);
        if let Some(last) = known.chain(self.heard).max() {
            self.taken_up(last, now);
        }
    }

    /// A server has answered a request of the session that was sent at `sent`, or later.
    pub(crate) fn answered(&mut self, sent: Timestamp, at: Timestamp) {
        let spacing = self.terms.session_timeout / 32;
        // No pending proof was sent earlier than this. Keep only the newest entry before it.
        let oldest = sent.before(2 * self.terms.session_timeout);
        self.forget(oldest);
        if self.answered.back().is_none_or(|last| sent >= last.sent + spacing) {
            // The leader server is told at most one relay after the answer.
            let in_time = self.is_kept(at + self.terms.relay());
            self.answered.push_back(Answered { sent, at, in_time });
        }
    }

    /// The lease that a committed transaction grants. It was sent at `sent` or later.
    pub(crate) fn lease(&mut self, sent: Timestamp) -> Lease {
        self.forget(sent);
        let told = self.answered.front().filter(|it| it.is_told(self.terms, sent)).map(|it| it.sent);
        // A transaction that was sent earlier may have committed on the previous connection.
        let attached =
            self.attached.filter(|it| it.at <= sent || (mistake!(AttachCountsAtOnce) && it.sent <= sent));
        let attached = attached.filter(|it| it.in_time || it.is_told(self.terms, sent)).map(|it| it.sent);
        self.heard = self.heard.max(told).max(attached);
        if mistake!(WholeTimeout) {
            self.heard = Some(sent + self.terms.margin);
        } else if mistake!(NoEvidence) {
            self.heard = Some((sent + self.terms.margin).before(self.terms.session_timeout / 2));
        } else if mistake!(EndlessLease) {
            self.heard = Some(sent + self.terms.session_timeout * 1000);
        }
        self.longest()
    }

    /// Whether the ensemble provably cannot expire the session before `at`. The margin allows for clock drift, as with a lease.
    /// But at most the default margin counts, because with a larger one a steady beat would never be in time.
    fn is_kept(&self, at: Timestamp) -> bool {
        let margin = if mistake!(KeptWithoutMargin) { 0.0 } else { self.margin.min(DEFAULT_MARGIN) };
        let kept = self.terms.session_timeout.mul_f64(1.0 - margin);
        self.heard.is_some_and(|heard| at < heard + kept)
    }

    /// Removes all but the last of the requests that the leader server was told about before `by`.
    fn forget(&mut self, by: Timestamp) {
        while self.answered.get(1).is_some_and(|it| it.is_told(self.terms, by)) {
            self.answered.pop_front();
        }
    }
}

impl Answered {
    /// Whether a transaction that was sent at `sent` and commits proves that the leader server was told about this request in
    /// time to keep the session.
    fn is_told(&self, terms: Terms, sent: Timestamp) -> bool {
        let closing = if self.in_time { Duration::ZERO } else { terms.closing_window() };
        let relay = if mistake!(NoRelay) { Duration::ZERO } else { terms.relay() };
        self.at + relay + closing <= sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(milliseconds: u64) -> Timestamp {
        Timestamp::from_nanos(1_000_000_000_000 + milliseconds * 1_000_000)
    }

    const TIMEOUT: Duration = Duration::from_millis(8400);

    /// 8.4 s: beats of 1.2 s, relayed within 2.1 s, closing windows of 1.05 s, leases of 7 s.
    fn unknown() -> Evidence {
        Evidence::unknown(TIMEOUT, DEFAULT_MARGIN)
    }

    fn created(began: u64) -> Evidence {
        Evidence::created(TIMEOUT, DEFAULT_MARGIN, at(began))
    }

    #[test]
    fn nothing_heard_is_no_lease() {
        assert_eq!(unknown().lease(at(0)), Lease::OVER);
    }

    #[test]
    fn a_session_that_was_just_opened_was_heard_of() {
        assert_eq!(created(100).lease(at(150)), Lease::until(at(7100)));
    }

    #[test]
    fn an_answer_counts_when_it_has_been_relayed() {
        let mut evidence = created(0);
        evidence.answered(at(1000), at(1010));
        assert_eq!(evidence.lease(at(3109)), Lease::until(at(7000)));
        assert_eq!(evidence.lease(at(3110)), Lease::until(at(8000)));
    }

    #[test]
    fn of_an_unknown_session_an_answer_counts_when_the_session_cannot_be_closing_any_more() {
        let mut evidence = unknown();
        evidence.answered(at(0), at(10));
        assert_eq!(evidence.lease(at(3159)), Lease::OVER);
        assert_eq!(evidence.lease(at(3160)), Lease::until(at(7000)));
    }

    #[test]
    fn with_a_steady_beat_a_lease_lasts_a_bit_longer_than_half_the_session_timeout() {
        let mut evidence = created(0);
        for beat in 0..=10 {
            evidence.answered(at(1200 * beat), at(1200 * beat + 50));
            evidence.lease(at(1200 * beat));
        }
        // The beat before the last: 0.548 of the session timeout are left.
        assert_eq!(evidence.lease(at(12_000)), Lease::until(at(9600 + 7000)));
        assert!(evidence.answered.len() <= 3);
    }

    #[test]
    fn with_the_largest_margin_a_steady_beat_is_in_time() {
        let mut evidence = Evidence::created(TIMEOUT, *MARGINS.end(), at(0));
        for beat in 0..=10 {
            evidence.answered(at(1200 * beat), at(1200 * beat + 50));
            evidence.lease(at(1200 * beat));
        }
        assert_eq!(evidence.lease(at(12_000)), Lease::until(at(9600 + 5040)));
    }

    #[test]
    fn a_pause_before_the_proof_counts_against_it() {
        let mut evidence = created(0);
        evidence.answered(at(100), at(101));
        // Stopped for most of the session timeout: the ensemble is about to expire the session.
        let lease = evidence.lease(at(8000));
        assert_eq!(lease, Lease::until(at(7100)));
        assert!(!lease.is_valid(at(8000)));
    }

    #[test]
    fn an_answer_that_is_relayed_when_the_session_may_be_expiring_counts_later() {
        let mut evidence = created(0);
        evidence.answered(at(4800), at(4899));
        assert_eq!(evidence.lease(at(4899 + 2100)), Lease::until(at(4800 + 7000)));
        let mut evidence = created(0);
        evidence.answered(at(4800), at(4900));
        assert_eq!(evidence.lease(at(4900 + 2100)), Lease::until(at(7000)));
        assert_eq!(evidence.lease(at(4900 + 3150)), Lease::until(at(4800 + 7000)));
    }

    #[test]
    fn a_session_that_is_taken_up_in_time_was_heard_of() {
        let mut evidence = created(0);
        evidence.taken_up(at(6900), at(6999));
        assert_eq!(evidence.lease(at(6999)), Lease::until(at(6900 + 7000)));
    }

    /// By a clock that is a hundredth too slow, the session timeout is over when 8.316 s have gone.
    #[test]
    fn a_session_that_was_taken_up_in_time_by_a_slow_clock_only_may_be_expiring() {
        let mut evidence = created(0);
        evidence.taken_up(at(8300), at(8320));
        assert_eq!(evidence.lease(at(8330)), Lease::until(at(7000)));
    }

    /// `SessionTrackerImpl.run` takes a whole tick's sessions at a time, and expires those that it hears of meanwhile
    /// all the same.
    #[test]
    fn a_session_that_may_be_expiring_was_not_heard_of_when_it_is_taken_up() {
        let mut evidence = created(0);
        evidence.taken_up(at(8300), at(8400));
        assert_eq!(evidence.lease(at(8400 + 3149)), Lease::until(at(7000)));
        assert_eq!(evidence.lease(at(8400 + 3150)), Lease::until(at(8300 + 7000)));
    }

    #[test]
    fn what_another_connection_was_answered_does_not_count_after_a_move() {
        let mut evidence = created(0);
        evidence.answered(at(1000), at(1010));
        evidence.answered(at(7000), at(7010));
        // By a server that was cut off, perhaps. When the client has moved, nobody has heard of it in time.
        evidence.moved(at(9000));
        assert_eq!(evidence.lease(at(9200)), Lease::until(at(7000)));
        // The client moved after the last answer that the other server gave.
        assert_eq!(evidence.lease(at(9000 + 3150)), Lease::until(at(7000 + 7000)));
    }

    #[test]
    fn a_transaction_from_before_a_move_is_worth_what_its_connection_was_answered() {
        let mut evidence = created(0);
        evidence.answered(at(2000), at(2010));
        // The connection breaks behind the answer to the transaction, and both are seen at once.
        evidence.moved(at(2031));
        assert_eq!(evidence.lease(at(2020)), Lease::until(at(7000)));
        assert_eq!(evidence.lease(at(2031)), Lease::until(at(2000 + 7000)));
    }

    #[test]
    fn a_move_in_time_is_worth_the_last_answer() {
        let mut evidence = created(0);
        evidence.answered(at(1000), at(1010));
        evidence.moved(at(3000));
        assert_eq!(evidence.lease(at(3000)), Lease::until(at(1000 + 7000)));
    }

    #[test]
    fn the_least_timeout_counts() {
        let mut evidence = created(0);
        evidence.lease(at(10));
        evidence.shorten(2 * TIMEOUT);
        assert_eq!(evidence.longest(), Lease::until(at(7000)));
        evidence.shorten(TIMEOUT / 2);
        assert_eq!(evidence.longest(), Lease::until(at(3500)));
        assert_eq!(evidence.terms().session_timeout(), TIMEOUT / 2);
    }

    #[test]
    fn who_waits_for_a_week_remembers_the_last_moments() {
        let mut evidence = unknown();
        for beat in 0..500_000 {
            evidence.answered(at(1200 * beat), at(1200 * beat + 50));
            assert!(evidence.answered.len() < 32);
        }
        // The one before the last is not known to have come in time.
        assert_eq!(evidence.lease(at(1200 * 500_000)), Lease::until(at(1200 * 499_997 + 7000)));
    }

    #[test]
    fn requests_in_quick_succession_take_no_space() {
        let mut evidence = created(0);
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
