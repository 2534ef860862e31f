//! The number of requests is bounded, whatever goes wrong; and when nothing happens, nothing is sent but the heartbeats of
//! the sessions.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::lease::{DEFAULT_MARGIN, Terms};
use crate::simulation::settings::Settings;
use crate::simulation::time::Instant;

/// How many requests a process may make in a second of virtual time, beside its beats. Failing at once, again and again, a
/// contender comes to about ten steps; winning and losing an election takes about as many. A process has up to four.
const MOST: u32 = 400;

#[derive(Debug, Default)]
pub(in crate::simulation) struct Requests {
    by_second: BTreeMap<usize, (u64, u32)>,
    /// The requests that are no beats.
    asked: u32,
    sent: BTreeMap<usize, u32>,
}

impl Requests {
    /// A process has sent a request.
    pub(in crate::simulation) fn sent(
        &mut self,
        process: usize,
        is_beat: bool,
        now: Instant,
    ) -> Result<(), String> {
        *self.sent.entry(process).or_default() += 1;
        if is_beat {
            return Ok(());
        }
        self.asked += 1;
        let (second, count) = self.by_second.entry(process).or_default();
        if *second != now.as_secs() {
            (*second, *count) = (now.as_secs(), 0);
        }
        *count += 1;
        if *count > MOST {
            return Err(format!("process {process} makes more than {MOST} requests in a second"));
        }
        Ok(())
    }

    /// Begins to count anew.
    pub(in crate::simulation) fn begin(&mut self) {
        self.asked = 0;
        self.sent.clear();
    }

    /// Whether nothing but beats was sent since then.
    pub(in crate::simulation) fn silence(&self) -> Result<(), String> {
        if self.asked > 0 {
            Err(format!("processes go on making requests, {} since the last look", self.asked))
        } else {
            Ok(())
        }
    }

    /// Judges what sessions have sent since then, while nothing has happened.
    pub(in crate::simulation) fn check_heartbeats(
        &self,
        since: Duration,
        settings: &Settings,
    ) -> Result<(), String> {
        let beat = Terms::new(settings.least_timeout(), DEFAULT_MARGIN).beat();
        // Fast clocks, and one at each end.
        let most = (since.as_secs_f64() * 1.02 / beat.as_secs_f64()) as u32 + 2;
        match self.sent.iter().find(|(_, sent)| **sent > most) {
            Some((process, sent)) => Err(format!(
                "process {process} has sent {sent} requests in {since:?}: more than its heartbeats"
            )),
            None => Ok(()),
        }
    }
}
