//! Faults. Their kinds and durations are drawn from the seed. Most are aimed at a process that leads.
//!
//! Faults are limited only by the assumptions of the lease. First, the pings of the leader server reach each follower
//! at least every quarter of the session timeout, or never again. So a link stalls for at most
//! `Settings::longest_stall`, and a longer fault cuts it. Second, closing the sessions that expire together takes at
//! most an eighth of the session timeout (`Settings::longest_closing`). Third, directories are deleted only in runs in
//! which no request is held at a server (`Settings::drops_directories`).

mod clients;
mod operator;
mod scenarios;
mod servers;

use std::time::Duration;

use super::event::{Recovery, WorldEvent};
use super::run::Run;
use super::settings::{SERVERS, Scenario, Scenarios};
use super::time::Instant;
use super::world::trace;

impl Run {
    /// Draws and injects a fault.
    pub(super) fn inject_fault(&mut self) {
        self.create_guarded();
        let process = self.target();
        let server = self.server_near(process);
        let scenario = match self.world.settings.scenarios {
            Scenarios::Few => None,
            Scenarios::Many => {
                Some(self.world.rng.usize(..Scenario::ALL.len())).map(|scenario| Scenario::ALL[scenario])
            }
            Scenarios::Only(scenario) => Some(scenario),
        };
        if let Some(scenario) = scenario.filter(|_| self.world.rng.u8(..4) > 0) {
            return self.scenario(scenario, process);
        }
        match self.world.rng.u8(..31) {
            0..2 => self.break_connection(process),
            2..5 => self.arm(process),
            5..9 => self.block(process, server),
            9..10 => {
                let duration = self.duration(0.02, 3.0);
                self.pause(process, duration);
            }
            10..12 => self.scenario(Scenario::StaleEvidence, process),
            12..13 => self.kill_process(process),
            13..17 => self.isolate_server(server, Duration::ZERO),
            17..18 => drop(self.stall(server)),
            18..20 => {
                // A stall, and then a cut.
                let stall = self.stall(server);
                let after = stall + self.duration(0.0005, 0.1);
                self.isolate_server(server, after);
            }
            20..21 => {
                let silently = self.world.rng.bool();
                let until = self.until(self.world.now, 0.05, 3.0);
                self.kill_server(server, silently, until);
            }
            21..24 if self.world.settings.drops_directories => self.operate(process),
            21..23 => {
                let duration = self.duration(0.02, 2.0);
                self.pause_server(server, duration);
            }
            23..24 => self.hold_queue(server),
            28 => self.processes[process].close(&mut self.world),
            29..31 => {
                let duration = self.duration(0.05, 3.0);
                self.processes[process].block(&mut self.world, duration);
            }
            _ => self.operate(process),
        }
    }

    /// A fault ends.
    pub(super) fn recover(&mut self, recovery: Recovery) {
        match recovery {
            Recovery::StartProcess { process } => self.processes[process].start(&mut self.world),
            Recovery::ResumeProcess { process } => self.processes[process].resume(&mut self.world),
            Recovery::StartServer { server } => self.ensemble.start(&mut self.world, server),
            Recovery::ResumeServer { server, life } => self.ensemble.resume(&mut self.world, server, life),
            Recovery::MendLink { from, to } => {
                trace!(self.world, "the link from server {from} to {to} is mended");
                self.ensemble.mend(&mut self.world, from, to);
            }
        }
    }

    /// A random process, mostly one that leads.
    fn target(&mut self) -> usize {
        let leads = |process: &usize| self.processes[*process].leads();
        let leaders: Vec<usize> = (0..self.processes.len()).filter(leads).collect();
        match self.world.rng.choice(&leaders) {
            Some(leader) if self.world.rng.u8(..10) < 7 => *leader,
            _ => self.world.rng.usize(..self.processes.len()),
        }
    }

    /// A random server, mostly the one that serves this process.
    fn server_near(&mut self, process: usize) -> usize {
        let near = self.processes[process].connection();
        let near = near.and_then(|connection| self.world.network.server(connection));
        let any = self.world.rng.usize(..SERVERS);
        near.filter(|_| self.world.rng.u8(..10) < 7).unwrap_or(any)
    }

    /// The duration of a fault, as parts of the session timeout.
    fn duration(&mut self, least: f64, most: f64) -> Duration {
        let timeout = self.world.settings.timeout;
        self.world.between(timeout.mul_f64(least), timeout.mul_f64(most))
    }

    /// The end of a fault, at the latest the end of all faults.
    fn until(&mut self, from: Instant, least: f64, most: f64) -> Instant {
        (from + self.duration(least, most)).min(self.world.settings.faults_until).max(from)
    }

    fn recover_at(&mut self, at: Instant, recovery: Recovery) {
        self.world.queue.push(at, WorldEvent::Recover(recovery));
    }
}
