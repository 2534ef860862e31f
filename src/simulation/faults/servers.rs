//! Faults of servers and of the links between servers.

use std::time::Duration;

use crate::simulation::event::{Recovery, WorldEvent};
use crate::simulation::run::Run;
use crate::simulation::settings::SERVERS;
use crate::simulation::time::Instant;
use crate::simulation::world::trace;

impl Run {
    /// A server is cut off from the others, in one direction or in both.
    pub(in crate::simulation) fn isolate_server(&mut self, server: usize, after: Duration) {
        let at = self.world.now + after;
        let until = self.until(at, 0.1, 4.0);
        let (out, in_) =
            [(true, false), (false, true), (true, true), (true, true)][self.world.rng.usize(..4)];
        self.cut(server, at, until, (out, in_));
    }

    /// Cuts the links from a server, or the links to it, or both.
    pub(super) fn cut(&mut self, server: usize, at: Instant, until: Instant, (out, in_): (bool, bool)) {
        if at >= self.world.settings.faults_until {
            return;
        }
        for other in (0..SERVERS).filter(|other| *other != server) {
            for (from, to) in [(server, other), (other, server)] {
                if (from == server && out) || (to == server && in_) {
                    self.world.queue.push(at, WorldEvent::CutLink { from, to });
                    self.recover_at(until, Recovery::MendLink { from, to });
                }
            }
        }
    }

    /// Stalls the links between a server and the others. Returns for how long.
    pub(super) fn stall(&mut self, server: usize) -> Duration {
        let longest = self.world.settings.longest_stall;
        if longest.is_zero() {
            return Duration::ZERO;
        }
        let stall = self.world.between(longest.mul_f64(0.05), longest);
        let until = self.world.now + stall;
        trace!(self.world, "FAULT: the links of server {server} stall until {until:?}");
        let directions = self.world.rng.u8(1..4);
        for other in (0..SERVERS).filter(|other| *other != server) {
            for (bit, from, to) in [(1, server, other), (2, other, server)] {
                // Two stalls in a row would be a longer stall.
                if directions & bit > 0 && !self.ensemble.is_stalled(self.world.now, from, to) {
                    self.ensemble.stall(from, to, until);
                }
            }
        }
        stall
    }

    pub(super) fn kill_server(&mut self, server: usize, silently: bool, until: Instant) {
        self.ensemble.kill(&mut self.world, server, silently);
        self.recover_at(until, Recovery::StartServer { server });
    }

    /// Pauses a server as a whole, unless it leads.
    pub(in crate::simulation) fn pause_server(&mut self, server: usize, duration: Duration) {
        let until = (self.world.now + duration).min(self.world.settings.faults_until);
        if until > self.world.now
            && let Some(life) = self.ensemble.pause_server(&mut self.world, server)
        {
            self.recover_at(until, Recovery::ResumeServer { server, life });
        }
    }

    /// Holds the requests at a server for a while.
    pub(super) fn hold_queue(&mut self, server: usize) {
        let until = self.until(self.world.now, 0.005, 0.5);
        self.ensemble.hold_queue(&mut self.world, server, until);
    }
}
