//! Judges what the leaders have done, by the records of all of them.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// What a leader did at one moment: it was told that its leadership was valid then.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Act {
    /// On the machine's `CLOCK_BOOTTIME`, in nanoseconds.
    pub(crate) at: u64,
    /// The token of its leadership.
    pub(crate) token: i64,
    /// Whose act it was.
    pub(crate) by: usize,
}

/// What is to be said about the acts of all contenders. It displays as one line.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// The number of different tokens.
    pub(crate) leaderships: usize,
    /// By how much an act of an older leadership was later than the first act of a newer one, at most.
    pub(crate) overlap: Duration,
    /// The two tokens of it.
    pub(crate) overlapping: Option<(i64, i64)>,
    /// The acts with a smaller token than one that had been used before.
    pub(crate) stale: usize,
    /// The leaderships that began after one with a greater token had begun.
    pub(crate) fallen: usize,
    /// The tokens that more than one contender used.
    pub(crate) shared: usize,
}

/// When a token was used, and by whom first.
struct Term {
    first: u64,
    last: u64,
    by: usize,
}

/// Judges the acts, in whatever order they come.
pub(crate) fn judge(acts: impl IntoIterator<Item = Act>) -> Verdict {
    let mut acts: Vec<Act> = acts.into_iter().collect();
    acts.sort_by_key(|act| (act.at, act.token));
    let mut verdict = Verdict::default();
    let mut terms: BTreeMap<i64, Term> = BTreeMap::new();
    let mut shared = Vec::new();
    let mut greatest = i64::MIN;
    for &Act { at, token, by } in &acts {
        let term = terms.entry(token).or_insert(Term { first: at, last: at, by });
        term.last = at;
        verdict.stale += usize::from(token < greatest);
        verdict.fallen += usize::from(token < greatest && term.first == at);
        if term.by != by && !shared.contains(&token) {
            shared.push(token);
        }
        greatest = greatest.max(token);
    }
    verdict.leaderships = terms.len();
    verdict.shared = shared.len();

    // From the newest leadership to the oldest: of the newer ones, only the one that began first counts.
    let mut earliest: Option<(u64, i64)> = None;
    for (&token, term) in terms.iter().rev() {
        if let Some((first, newer)) = earliest {
            let overlap = Duration::from_nanos(term.last.saturating_sub(first));
            if overlap > verdict.overlap {
                verdict.overlap = overlap;
                verdict.overlapping = Some((token, newer));
            }
        }
        earliest = Some(earliest.map_or((term.first, token), |it| it.min((term.first, token))));
    }
    verdict
}

/// The longest time between these two moments in which nobody acted.
pub(crate) fn longest_gap(acts: &[Act], from: u64, to: u64) -> Duration {
    let mut times: Vec<u64> = acts.iter().map(|act| act.at).filter(|at| (from..to).contains(at)).collect();
    times.sort_unstable();
    let starts = [from].into_iter().chain(times.iter().copied());
    let ends = times.iter().copied().chain([to]);
    let longest = starts.zip(ends).map(|(start, end)| end.saturating_sub(start)).max();
    Duration::from_nanos(longest.unwrap_or_default())
}

impl Verdict {
    /// Whether there was one leader at a time, and each had a greater token than the one before.
    pub(crate) fn is_clean(&self) -> bool {
        self.overlap.is_zero() && self.stale == 0 && self.fallen == 0 && self.shared == 0
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} leaderships, overlap {:?}", self.leaderships, self.overlap)?;
        if let Some((older, newer)) = self.overlapping {
            write!(f, " ({older:#x} acted after {newer:#x})")?;
        }
        write!(f, ", {} stale acts, {} fallen tokens, {} shared tokens", self.stale, self.fallen, self.shared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acts(records: &[(u64, i64, usize)]) -> Vec<Act> {
        records.iter().map(|&(at, token, by)| Act { at, token, by }).collect()
    }

    fn verdict(records: &[(u64, i64, usize)]) -> Verdict {
        judge(acts(records))
    }

    #[test]
    fn leaders_one_after_the_other_are_clean() {
        assert!(verdict(&[]).is_clean());
        let verdict = verdict(&[(10, 1, 0), (20, 1, 0), (30, 2, 1), (40, 2, 1), (50, 7, 0)]);
        assert!(verdict.is_clean(), "{verdict}");
        assert_eq!(verdict.leaderships, 3);
    }

    #[test]
    fn a_leader_that_acts_after_its_successor_overlaps() {
        let verdict = verdict(&[(10, 1, 0), (20, 2, 1), (25, 1, 0), (30, 2, 1), (32, 1, 0)]);
        assert!(!verdict.is_clean());
        assert_eq!(verdict.overlap, Duration::from_nanos(12));
        assert_eq!((verdict.overlapping, verdict.stale, verdict.fallen), (Some((1, 2)), 2, 0));
    }

    #[test]
    fn the_overlap_is_the_greatest_among_all_pairs() {
        // 1 and 3 overlap by more than 1 and 2, or 2 and 3.
        let verdict = verdict(&[(10, 1, 0), (15, 3, 2), (20, 2, 1), (40, 1, 0), (41, 3, 2)]);
        assert_eq!((verdict.overlap, verdict.overlapping), (Duration::from_nanos(25), Some((1, 3))));
    }

    #[test]
    fn a_token_that_falls_is_seen_without_interleaving() {
        let verdict = verdict(&[(10, 5, 0), (20, 5, 0), (30, 3, 1), (40, 3, 1)]);
        assert_eq!((verdict.fallen, verdict.stale), (1, 2));
        assert_eq!((verdict.overlap, verdict.overlapping), (Duration::from_nanos(30), Some((3, 5))));
    }

    #[test]
    fn a_token_has_one_holder() {
        let verdict = verdict(&[(10, 5, 0), (20, 5, 1), (30, 5, 0)]);
        assert_eq!((verdict.shared, verdict.stale), (1, 0));
        assert!(!verdict.is_clean());
    }

    #[test]
    fn the_order_of_the_records_does_not_matter() {
        let mut records = [(10, 1, 0), (20, 2, 1), (25, 1, 0), (30, 2, 1)];
        records.reverse();
        assert_eq!(verdict(&records).overlap, Duration::from_nanos(5));
    }

    #[test]
    fn gaps_are_found_at_both_ends_and_between() {
        let records = acts(&[(5, 1, 0), (10, 1, 0), (14, 1, 0), (30, 2, 1), (99, 2, 1)]);
        let gap = |from, to| longest_gap(&records, from, to).as_nanos();
        assert_eq!(gap(0, 40), 16);
        assert_eq!(gap(10, 24), 10);
        assert_eq!(gap(20, 35), 10);
        assert_eq!(gap(40, 60), 20);
    }
}
