//! Pauses between attempts.

use std::time::Duration;

/// Pauses that double from `first` with each failure, up to `longest`, less a random part of up to one half.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
}

impl Backoff {
    /// The pause after this many earlier failures; `random` lies between 0 and 1.
    pub(crate) fn pause(self, failures: u32, random: f64) -> Duration {
        let whole = self.first.saturating_mul(1 << failures.min(16)).min(self.longest);
        whole.mul_f64(0.5 + 0.5 * random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let backoff = Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(2) };
        let whole = [0, 1, 4, 5, 1000].map(|failures| backoff.pause(failures, 1.0).as_millis());
        assert_eq!(whole, [100, 200, 1600, 2000, 2000]);
        assert_eq!(backoff.pause(0, 0.0), Duration::from_millis(50));
    }
}
