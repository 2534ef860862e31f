//! What goes wrong, and for how long: drawn from the seed, aimed mostly at whoever leads.
//!
//! Everything may happen at any time, but for what the lease assumes: the pings of the leader server reach the servers
//! that follow it at least every quarter of the session timeout, or not at all any more. So a path between
//! servers stands still only for what that leaves (`Settings::longest_stall`); what lasts longer cuts it. And closing the
//! sessions that expire together takes an eighth of the session timeout at most (`Settings::longest_closing`). Directories
//! are deleted in runs in which no request is stuck at a server (`Settings::drops_directories`).

mod clients;
mod operator;
mod plots;
mod servers;

use std::time::Duration;

use super::run::World;
use super::settings::{Plots, SERVERS};
use super::stage::{Happening, note};
use super::time::Instant;

pub(super) use self::plots::Plot;

/// What will be well again.
#[derive(Debug)]
pub(super) enum Ailment {
    Dead { process: usize },
    Paused { process: usize },
    ServerDown { server: usize },
    StandsStill { server: usize, life: u32 },
    Cut { from: usize, to: usize },
}

impl World {
    /// Something goes wrong.
    pub(super) fn strike(&mut self) {
        let process = self.victim();
        let server = self.server_near(process);
        let plot = match self.stage.settings.plots {
            Plots::Few => None,
            Plots::Many => Some(self.stage.rng.usize(..Plot::ALL.len())).map(|plot| Plot::ALL[plot]),
            Plots::Only(plot) => Some(plot),
        };
        if let Some(plot) = plot.filter(|_| self.stage.rng.u8(..4) > 0) {
            return self.plot(plot, process);
        }
        match self.stage.rng.u8(..28) {
            0..2 => self.break_connection(process),
            2..5 => self.set_trap(process),
            5..9 => self.block(process, server),
            9..10 => {
                let duration = self.duration(0.02, 3.0);
                self.pause(process, duration);
            }
            10..12 => self.plot(Plot::Conspire, process),
            12..13 => self.kill_process(process),
            13..17 => self.cut_off(server, Duration::ZERO),
            17..18 => drop(self.stall(server)),
            18..20 => {
                // A pause for breath, and then the end.
                let stall = self.stall(server);
                let after = stall + self.duration(0.0005, 0.1);
                self.cut_off(server, after);
            }
            20..21 => {
                let silently = self.stage.rng.bool();
                let until = self.until(self.stage.now, 0.05, 3.0);
                self.kill_server(server, silently, until);
            }
            21..24 if self.stage.settings.drops_directories => self.operate(process),
            21..23 => {
                let duration = self.duration(0.02, 2.0);
                self.stand_still(server, duration);
            }
            23..24 => self.stick(server),
            _ => self.operate(process),
        }
    }

    /// What was wrong is well again.
    pub(super) fn heal(&mut self, ailment: Ailment) {
        match ailment {
            Ailment::Dead { process } => self.processes[process].start(&mut self.stage),
            Ailment::Paused { process } => self.processes[process].resume(&mut self.stage),
            Ailment::ServerDown { server } => self.ensemble.start(&mut self.stage, server),
            Ailment::StandsStill { server, life } => self.ensemble.go_on(&mut self.stage, server, life),
            Ailment::Cut { from, to } => {
                note!(self.stage, "server {from} can talk to {to} again");
                self.ensemble.mend(&mut self.stage, from, to);
            }
        }
    }

    /// A process; whoever leads has bad luck more often.
    fn victim(&mut self) -> usize {
        let leads = |process: &usize| self.processes[*process].views().any(|view| view.leading);
        let leaders: Vec<usize> = (0..self.processes.len()).filter(leads).collect();
        match self.stage.rng.choice(&leaders) {
            Some(leader) if self.stage.rng.u8(..10) < 7 => *leader,
            _ => self.stage.rng.usize(..self.processes.len()),
        }
    }

    /// A server, mostly the one that serves this process.
    fn server_near(&mut self, process: usize) -> usize {
        let near = self.processes[process].connection();
        let near = near.and_then(|connection| self.stage.network.server(connection));
        let any = self.stage.rng.usize(..SERVERS);
        near.filter(|_| self.stage.rng.u8(..10) < 7).unwrap_or(any)
    }

    /// For how long something is wrong: parts of the session timeout.
    fn duration(&mut self, least: f64, most: f64) -> Duration {
        let timeout = self.stage.settings.timeout;
        self.stage.between(timeout.mul_f64(least), timeout.mul_f64(most))
    }

    /// Until when something is wrong; at the latest, until all faults end.
    fn until(&mut self, from: Instant, least: f64, most: f64) -> Instant {
        (from + self.duration(least, most)).min(self.stage.settings.faults_until).max(from)
    }

    fn heal_at(&mut self, at: Instant, ailment: Ailment) {
        self.stage.agenda.enter(at, Happening::Heal(ailment));
    }
}
