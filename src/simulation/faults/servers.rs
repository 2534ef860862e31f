//! What goes wrong with servers and with what they tell each other.

use std::time::Duration;

use super::super::run::World;
use super::super::settings::SERVERS;
use super::super::stage::{Happening, note};
use super::super::time::Instant;
use super::Ailment;

impl World {
    /// A server is cut off from the others, in one direction or in both.
    pub(in super::super) fn cut_off(&mut self, server: usize, after: Duration) {
        let at = self.stage.now + after;
        let until = self.until(at, 0.1, 4.0);
        let (out, in_) =
            [(true, false), (false, true), (true, true), (true, true)][self.stage.rng.usize(..4)];
        self.cut(server, at, until, (out, in_));
    }

    /// Cuts what a server says, or what it hears, or both.
    pub(super) fn cut(&mut self, server: usize, at: Instant, until: Instant, (out, in_): (bool, bool)) {
        if at >= self.stage.settings.faults_until {
            return;
        }
        for other in (0..SERVERS).filter(|other| *other != server) {
            for (from, to) in [(server, other), (other, server)] {
                if (from == server && out) || (to == server && in_) {
                    self.stage.agenda.enter(at, Happening::Cut { from, to });
                    self.heal_at(until, Ailment::Cut { from, to });
                }
            }
        }
    }

    /// What a server and the others tell each other stands still for a moment; returns for how long.
    pub(super) fn stall(&mut self, server: usize) -> Duration {
        let longest = self.stage.settings.longest_stall;
        if longest.is_zero() {
            return Duration::ZERO;
        }
        let stall = self.stage.between(longest.mul_f64(0.05), longest);
        let until = self.stage.now + stall;
        note!(self.stage, "FAULT: the links of server {server} stand still until {until:?}");
        let directions = self.stage.rng.u8(1..4);
        for other in (0..SERVERS).filter(|other| *other != server) {
            for (bit, from, to) in [(1, server, other), (2, other, server)] {
                // One stall after another would be a longer one.
                if directions & bit > 0 && !self.ensemble.is_stalled(self.stage.now, from, to) {
                    self.ensemble.stall(from, to, until);
                }
            }
        }
        stall
    }

    pub(super) fn kill_server(&mut self, server: usize, silently: bool, until: Instant) {
        self.ensemble.kill(&mut self.stage, server, silently);
        self.heal_at(until, Ailment::ServerDown { server });
    }

    /// A server stands still as a whole, unless it leads.
    pub(in super::super) fn stand_still(&mut self, server: usize, duration: Duration) {
        let until = (self.stage.now + duration).min(self.stage.settings.faults_until);
        if until > self.stage.now
            && let Some(life) = self.ensemble.stand_still(&mut self.stage, server)
        {
            self.heal_at(until, Ailment::StandsStill { server, life });
        }
    }

    /// The requests at a server are not passed on for a while.
    pub(super) fn stick(&mut self, server: usize) {
        let until = self.until(self.stage.now, 0.005, 0.5);
        self.ensemble.stick(&mut self.stage, server, until);
    }
}
