//! Virtual time: the true time axis, the clocks of processes, and the event queue.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::timestamp::Timestamp;

/// An instant on the true time axis, counted from the run's start. No simulated process can see it.
pub(super) type Instant = Duration;

/// The clock of one machine, with an offset, and a rate that is a little too high or too low.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    offset: u64,
    /// The gain per second, in microseconds.
    gain: i64,
}

impl Clock {
    pub(super) fn new(offset: Duration, gain: i64) -> Self {
        Self { offset: nanos(offset), gain }
    }

    /// The time that the clock shows at an instant.
    pub(super) fn reading(self, at: Instant) -> Timestamp {
        let gone = nanos(at) * self.rate() / MILLION;
        Timestamp::from_nanos(self.offset + gone)
    }

    /// The first instant at which the clock shows this time or a later one.
    pub(super) fn when(self, reading: Timestamp) -> Instant {
        let gone = u128::from(reading.as_nanos().saturating_sub(self.offset));
        let estimate = gone * u128::from(MILLION) / u128::from(self.rate());
        let mut at = u64::try_from(estimate).unwrap_or(u64::MAX / MILLION / 2);
        // Corrects the rounding.
        while self.reading(Duration::from_nanos(at)) < reading {
            at += 1;
        }
        Duration::from_nanos(at)
    }

    /// The units by which the clock advances in a million true units.
    fn rate(self) -> u64 {
        MILLION.saturating_add_signed(self.gain)
    }
}

fn nanos(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}

const MILLION: u64 = 1_000_000;

/// Entries in the order of their instants. Entries at one instant keep the order in which they were pushed.
#[derive(Debug)]
pub(super) struct EventQueue<T> {
    entries: BinaryHeap<Reverse<Scheduled<T>>>,
    entered: u64,
}

#[derive(Debug)]
struct Scheduled<T> {
    at: Instant,
    number: u64,
    what: T,
}

impl<T> EventQueue<T> {
    pub(super) fn new() -> Self {
        Self { entries: BinaryHeap::new(), entered: 0 }
    }

    pub(super) fn push(&mut self, at: Instant, what: T) {
        self.entered += 1;
        self.entries.push(Reverse(Scheduled { at, number: self.entered, what }));
    }

    /// The instant of the next entry.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.entries.peek().map(|Reverse(entry)| entry.at)
    }

    /// Removes the next entry.
    pub(super) fn pop(&mut self) -> Option<T> {
        self.entries.pop().map(|Reverse(entry)| entry.what)
    }
}

impl<T> PartialEq for Scheduled<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl<T> Eq for Scheduled<T> {}

impl<T> PartialOrd for Scheduled<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Scheduled<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_tells_when_it_will_show_a_time() {
        for gain in [-10_000, 0, 10_000] {
            let clock = Clock::new(Duration::from_secs(1000), gain);
            for at in [0, 1, 999_999, 1_000_000, 123_456_789_012].map(Duration::from_nanos) {
                let reading = clock.reading(at);
                let when = clock.when(reading);
                assert!(clock.reading(when) >= reading && when <= at, "{gain} {at:?} {when:?}");
            }
            let (early, late) =
                (clock.reading(Duration::from_secs(1)), clock.reading(Duration::from_secs(2)));
            assert_eq!(late.since(early).as_micros() as i64, 1_000_000 + gain);
        }
    }

    #[test]
    fn a_queue_keeps_the_order() {
        let mut queue = EventQueue::new();
        for (at, what) in [(2, 'c'), (1, 'a'), (1, 'b')] {
            queue.push(Duration::from_secs(at), what);
        }
        assert_eq!(queue.next_at(), Some(Duration::from_secs(1)));
        let taken: String = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(taken, "abc");
    }
}
