//! Several faults at the worst moments, with one aim each.

mod expiry;
mod late;
mod timeouts;

use std::time::Duration;

use super::super::run::World;
use super::super::stage::Happening;
use super::super::traps::{Errand, Trap};

/// What the faults of a plot are to bring about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Plot {
    /// That the ensemble has not heard of a session for long, whatever its process has heard.
    Conspire,
    /// That a process takes the word of a leader server that the others have left.
    Depose,
    /// That a request is carried out when its client has gone elsewhere and come back.
    Detour,
    /// That a session is taken up while it is being closed.
    Silence,
    /// The same, after a server has answered of which the leader server hears nothing.
    Mislead,
    /// That a session ends sooner than its client thinks.
    Shorten,
}

impl Plot {
    pub(in super::super) const ALL: [Self; 6] =
        [Self::Conspire, Self::Depose, Self::Detour, Self::Silence, Self::Mislead, Self::Shorten];

    /// Whether requests are stuck at servers because of it.
    pub(in super::super) fn delays_requests(self) -> bool {
        matches!(self, Self::Depose | Self::Detour)
    }
}

impl World {
    pub(super) fn plot(&mut self, plot: Plot, process: usize) {
        match plot {
            Plot::Conspire => self.conspire(process),
            Plot::Depose => self.depose(process),
            Plot::Detour => self.detour(process),
            Plot::Silence => self.silence(process),
            Plot::Mislead => self.mislead(process),
            Plot::Shorten => self.shorten(process),
        }
    }

    fn trap_after(&mut self, after: Duration, process: usize, trap: Trap) {
        self.stage.later(after, Happening::Trap { process, trap });
    }

    /// A request that leaves a znode, or removes one.
    fn errand(&mut self) -> Errand {
        if self.stage.rng.bool() { Errand::Create } else { Errand::Removal }
    }

    /// Applications resign and withdraw, now and again.
    fn restless(&mut self, process: usize) {
        for _ in 0..3 {
            let after = self.duration(0.05, 1.0);
            self.stage.later(after, Happening::Resign { process });
        }
    }

    /// A process stands still, and asks for something as soon as it wakes; perhaps it stands still again. Its server is cut off
    /// right after having answered, this time or soon. So the ensemble has not heard of the session for long, whatever
    /// the process has heard.
    fn conspire(&mut self, process: usize) {
        let (first, second) = (self.duration(0.1, 0.9), self.duration(0.1, 0.9));
        self.trap_after(Duration::ZERO, process, Trap::PauseOnceAsked(first));
        if self.stage.rng.bool() {
            self.trap_after(first, process, Trap::PauseOnceAsked(second));
        }
        let later = if self.stage.rng.bool() { self.duration(0.01, 0.25) } else { Duration::ZERO };
        self.trap_after(first + later, process, Trap::CutOffOnceCommitted);
    }
}
