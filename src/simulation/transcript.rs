//! The transcript of a run, one line for each step, for the analysis of a failure.

use std::collections::VecDeque;
use std::fmt;

use super::time::Instant;

/// The last lines of a run. A transcript that keeps no lines costs nothing.
#[derive(Debug, Default)]
pub(super) struct Transcript {
    lines: VecDeque<String>,
    most: usize,
}

impl Transcript {
    /// Keeps this many lines.
    pub(super) fn keeping(most: usize) -> Self {
        Self { lines: VecDeque::new(), most }
    }

    pub(super) fn is_kept(&self) -> bool {
        self.most > 0
    }

    pub(super) fn lines(&self) -> usize {
        self.lines.len()
    }

    pub(super) fn push(&mut self, at: Instant, line: fmt::Arguments<'_>) {
        if self.lines.len() == self.most {
            self.lines.pop_front();
        }
        self.lines.push_back(format!("{:>11.6} {line}", at.as_secs_f64()));
    }
}

impl fmt::Display for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}
