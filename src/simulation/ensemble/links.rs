//! The links between servers. Each keeps the order of its messages, can stall, and can be cut.

use std::time::Duration;

use crate::simulation::settings::SERVERS;
use crate::simulation::time::Instant;

/// The links from each server to each other.
#[derive(Debug, Default)]
pub(super) struct Links([[Link; SERVERS]; SERVERS]);

#[derive(Clone, Copy, Debug, Default)]
struct Link {
    /// When the last message arrives.
    last: Instant,
    stalled_until: Instant,
    /// The number of faults that cut the link at present.
    cuts: u32,
    /// Messages that were sent up to this instant, and have not arrived, are lost.
    lost_until: Option<Instant>,
}

impl Links {
    /// Cuts a link; the messages in flight are lost, too.
    pub(super) fn cut(&mut self, now: Instant, from: usize, to: usize) {
        let link = &mut self.0[from][to];
        link.cuts += 1;
        link.lost_until = Some(now);
    }

    /// Ends one cut.
    pub(super) fn mend(&mut self, from: usize, to: usize) {
        self.0[from][to].cuts -= 1;
    }

    pub(super) fn is_stalled(&self, now: Instant, from: usize, to: usize) -> bool {
        self.0[from][to].stalled_until > now
    }

    /// Delays the messages of a link until then.
    pub(super) fn stall(&mut self, from: usize, to: usize, until: Instant) {
        self.0[from][to].stalled_until = until;
    }

    /// Whether a message that was sent at `sent` is lost.
    pub(super) fn has_lost(&self, sent: Instant, from: usize, to: usize) -> bool {
        self.0[from][to].lost_until.is_some_and(|until| sent <= until)
    }

    /// When a message that is sent now arrives, if the link is not cut.
    pub(super) fn arrival(
        &mut self,
        now: Instant,
        latency: Duration,
        from: usize,
        to: usize,
    ) -> Option<Instant> {
        let link = &mut self.0[from][to];
        if link.cuts > 0 {
            return None;
        }
        link.last = (now.max(link.stalled_until) + latency).max(link.last);
        Some(link.last)
    }

    /// Whether both links between two servers pass messages without delay.
    pub(super) fn are_open(&self, now: Instant, one: usize, other: usize) -> bool {
        let links = [self.0[one][other], self.0[other][one]];
        links.iter().all(|link| link.cuts == 0 && link.stalled_until <= now)
    }
}
