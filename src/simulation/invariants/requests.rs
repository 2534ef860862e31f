//! The number of requests is bounded, with any faults. When nothing happens, sessions send only their beats.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::lease::{DEFAULT_MARGIN, Terms};
use crate::simulation::settings::Settings;
use crate::simulation::time::Instant;

/// The most requests that a process may make in a second of virtual time, besides its beats. A contender whose requests
/// fail at once, again and again, takes about ten steps. Winning and losing an election takes about as many. A process
/// has up to four contenders.
const MOST: u32 = 400;

#[derive(Debug, Default)]
pub(in crate::simulation) struct Requests {
    by_second: BTreeMap<usize, (u64, u32)>,
    /// The number of requests that are not beats.
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

    /// Resets the counts.
    pub(in crate::simulation) fn begin(&mut self) {
        self.asked = 0;
        self.sent.clear();
    }

    /// Checks that only beats were sent since then.
    pub(in crate::simulation) fn silence(&self) -> Result<(), String> {
        if self.asked > 0 {
            Err(format!("processes still make requests, {} since the last check", self.asked))
        } else {
            Ok(())
        }
    }

    /// Checks the number of requests since then, while nothing has happened.
    pub(in crate::simulation) fn check_heartbeats(
        &self,
        since: Duration,
        settings: &Settings,
    ) -> Result<(), String> {
        let beat = Terms::new(settings.least_timeout(), DEFAULT_MARGIN).beat();
        // Allows for fast clocks, and one beat at each end.
        let most = (since.as_secs_f64() * 1.02 / beat.as_secs_f64()) as u32 + 2;
        match self.sent.iter().find(|(_, sent)| **sent > most) {
            Some((process, sent)) => Err(format!(
                "process {process} has sent {sent} requests in {since:?}: more than its heartbeats"
            )),
            None => Ok(()),
        }
    }
}
