//! The decisions of the heartbeat: when to send what, and which proof is news. Pure: the time is an argument.
//!
//! ```text
//!   connected, disconnected ───┐
//!   subscribe, unsubscribe ────┼──▶ Beats ──▶ poll_beat: what to send now
//!   answered ──────────────────┘        └───▶ poll_timeout: when to ask again
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use crate::mistakes::mistake;
use crate::timestamp::Timestamp;

/// The most beats that may be waiting for their answers.
const MOST_UNDER_WAY: usize = 8;

/// The state of a session's heartbeat.
#[derive(Default)]
pub(super) struct Beats {
    /// When the next beat is due. `None` without a connection.
    due: Option<Timestamp>,
    /// The beats that wait for their answers.
    under_way: usize,
    /// The znodes of the contenders that have subscribed to proofs.
    subscribers: BTreeMap<u64, String>,
    /// The number of subscriptions so far.
    numbers: u64,
    /// The number of the znode that was checked last. They take turns.
    last: u64,
    /// When the newest proof that was published was sent.
    newest: Option<Timestamp>,
}

/// A request of the heartbeat.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Beat {
    /// A transaction that checks this znode, because somebody wants proofs.
    Prove(String),
    /// A cheap read. Its answer is evidence for the lease that the first proof will grant.
    Read,
}

impl Beats {
    /// There is a new connection. The first beat on it is sent at once.
    pub(super) fn connected(&mut self, now: Timestamp) {
        self.due = Some(now);
    }

    pub(super) fn disconnected(&mut self) {
        self.due = None;
    }

    /// Adds a znode to those that proofs check in turn. With `at_once`, the next beat is due now. Returns the number of the
    /// subscription.
    pub(super) fn subscribe(&mut self, path: &str, at_once: bool, now: Timestamp) -> u64 {
        self.numbers += 1;
        self.subscribers.insert(self.numbers, path.to_owned());
        if at_once {
            self.due = self.due.map(|due| due.min(now));
        }
        self.numbers
    }

    pub(super) fn unsubscribe(&mut self, number: u64) {
        self.subscribers.remove(&number);
    }

    /// When to call [`Self::poll_beat`]. `None`: not before another input.
    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        self.due.filter(|_| self.under_way < MOST_UNDER_WAY)
    }

    /// The beat to send now, if one is due. The next one is due after `interval`.
    pub(super) fn poll_beat(&mut self, now: Timestamp, interval: Duration) -> Option<Beat> {
        self.poll_timeout().filter(|due| *due <= now)?;
        self.due = Some(now + interval / if mistake!(BeatsTooOften) { 2 } else { 1 });
        self.under_way += 1;
        Some(match self.next_subscriber() {
            Some(path) => Beat::Prove(path),
            None => Beat::Read,
        })
    }

    /// A beat has an answer or has failed. `proven`: when it was sent, if it is a proof. Returns whether that is newer than all
    /// proofs before.
    pub(super) fn answered(&mut self, proven: Option<Timestamp>) -> bool {
        self.under_way -= 1;
        let newer = proven.is_some() && proven > self.newest;
        self.newest = self.newest.max(proven);
        newer
    }

    fn next_subscriber(&mut self) -> Option<String> {
        let after = self.subscribers.range(self.last + 1..).next();
        let (number, path) = after.or_else(|| self.subscribers.first_key_value())?;
        self.last = *number;
        Some(path.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(1);

    fn at(milliseconds: u64) -> Timestamp {
        Timestamp::from_nanos(milliseconds * 1_000_000)
    }

    /// Connected at 0.
    fn connected() -> Beats {
        let mut beats = Beats::default();
        beats.connected(at(0));
        beats
    }

    #[test]
    fn it_beats_at_once_and_at_intervals_as_long_as_there_is_a_connection() {
        let mut beats = Beats::default();
        assert_eq!(beats.poll_timeout(), None);
        assert_eq!(beats.poll_beat(at(0), INTERVAL), None);
        beats.connected(at(5));
        assert_eq!(beats.poll_beat(at(5), INTERVAL), Some(Beat::Read));
        assert_eq!(beats.poll_timeout(), Some(at(1005)));
        assert_eq!(beats.poll_beat(at(1004), INTERVAL), None);
        assert_eq!(beats.poll_beat(at(1010), INTERVAL), Some(Beat::Read));
        assert_eq!(beats.poll_timeout(), Some(at(2010)));
        beats.disconnected();
        assert_eq!(beats.poll_timeout(), None);
    }

    #[test]
    fn subscribers_take_turns() {
        let mut beats = connected();
        let numbers = ["/a", "/b", "/c"].map(|path| beats.subscribe(path, false, at(0)));
        let next = |beats: &mut Beats, now| {
            let beat = beats.poll_beat(now, INTERVAL).expect("a beat");
            beats.answered(None);
            beat
        };
        for (second, path) in ["/a", "/b", "/c", "/a"].into_iter().enumerate() {
            assert_eq!(next(&mut beats, at(1000 * second as u64)), Beat::Prove(path.into()));
        }
        beats.unsubscribe(numbers[1]);
        assert_eq!(next(&mut beats, at(4000)), Beat::Prove("/c".into()));
        beats.unsubscribe(numbers[0]);
        beats.unsubscribe(numbers[2]);
        assert_eq!(next(&mut beats, at(5000)), Beat::Read);
    }

    #[test]
    fn whoever_needs_a_proof_at_once_does_not_wait_for_the_interval() {
        let mut beats = connected();
        assert_eq!(beats.poll_beat(at(0), INTERVAL), Some(Beat::Read));
        beats.subscribe("/a", true, at(100));
        assert_eq!(beats.poll_beat(at(100), INTERVAL), Some(Beat::Prove("/a".into())));
        beats.disconnected();
        beats.subscribe("/b", true, at(200));
        assert_eq!(beats.poll_timeout(), None, "there is no connection");
    }

    #[test]
    fn only_so_many_beats_wait_for_answers() {
        let mut beats = connected();
        for beat in 0..MOST_UNDER_WAY as u64 {
            assert!(beats.poll_beat(at(1000 * beat), INTERVAL).is_some());
        }
        assert_eq!(beats.poll_timeout(), None);
        beats.answered(None);
        assert_eq!(beats.poll_timeout(), Some(at(8000)));
    }

    #[test]
    fn a_proof_that_is_older_than_another_is_no_news() {
        let mut beats = connected();
        for now in [at(0), at(1000), at(2000)] {
            beats.poll_beat(now, INTERVAL);
        }
        assert!(beats.answered(Some(at(1000))));
        assert!(!beats.answered(Some(at(0))));
        assert!(beats.answered(Some(at(2000))));
    }
}
