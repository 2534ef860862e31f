//! Scenarios in which a session is reattached while the leader server closes it.

use std::time::Duration;

use crate::simulation::client::Process;
use crate::simulation::event::WorldEvent;
use crate::simulation::network::{DOWN, UP};
use crate::simulation::run::Run;
use crate::simulation::settings::SERVERS;
use crate::simulation::time::Instant;
use crate::simulation::world::trace;

impl Run {
    /// The leaders fall silent. Soon a waiting process does, too, until the leader server is about to close its
    /// session, or is closing it.
    pub(super) fn closing_session(&mut self, process: usize) {
        let (process, after) = match self.waiting(|_| true) {
            Some(next) => (next, self.duration(0.01, 0.3)),
            None => (process, Duration::ZERO),
        };
        if self.world.rng.u8(..3) == 0
            && let Some(leader) = self.ensemble.leader()
        {
            // All sessions then have the same time left.
            let back = self.until(self.world.now, 0.05, 1.0);
            self.kill_server(leader, false, back);
        }
        self.silence_leaders(process);
        self.world.schedule(after, WorldEvent::Silence { process });
    }

    /// The leaders fall silent. Soon the server of a waiting process is cut off, and still answers its reads. When the
    /// leader server is about to close the session of that process, or is closing it, the process moves to another
    /// server.
    pub(super) fn isolated_server(&mut self, process: usize) {
        let settings = &self.world.settings;
        if settings.tick * settings.sync_limit < settings.timeout.mul_f64(1.2) {
            // The server would close its connections earlier.
            return self.closing_session(process);
        }
        // A transaction would get no reply, nor would the requests after it.
        let process = self.waiting(|it| !it.sends_proofs()).unwrap_or(process);
        self.silence_leaders(process);
        let after = self.world.settings.tick.mul_f64(0.6 * self.world.rng.f64());
        self.world.schedule(after, WorldEvent::IsolateServerOf { process });
    }

    /// Mostly one of the processes that do not lead, if any.
    fn waiting(&mut self, fits: impl Fn(&Process) -> bool) -> Option<usize> {
        let waits = |it: &Process| !it.leads() && fits(it);
        let waiting = self.processes.iter().enumerate().filter(|(_, it)| waits(it));
        let waiting: Vec<usize> = waiting.map(|(process, _)| process).collect();
        self.world.rng.choice(waiting).filter(|_| self.world.rng.u8(..5) > 0)
    }

    fn silence_leaders(&mut self, spared: usize) {
        let until = self.until(self.world.now, 1.1, 1.5);
        for process in 0..self.processes.len() {
            if process != spared && self.processes[process].leads() {
                self.world.network.lose(process, until);
                self.break_connection(process);
            }
        }
    }

    /// Servers receive nothing from a process.
    pub(in crate::simulation) fn silence_process(&mut self, process: usize) {
        // Until servers have told the leader server what they have heard.
        let told = self.world.settings.tick + self.world.settings.longest_stall;
        self.world.network.lose(process, self.world.now + told);
        self.break_connection(process);
        self.world.schedule(told, WorldEvent::DelayToExpiry { process });
    }

    /// The packets of a process reach the servers at the last moment of its session, or a little later.
    pub(in crate::simulation) fn delay_to_expiry(&mut self, process: usize) {
        let session = self.processes[process].session();
        let Some(expires) = session.and_then(|session| self.ensemble.expires(session)) else { return };
        let closing = self.world.settings.longest_closing;
        let at = expires + closing.mul_f64(0.5 * self.world.rng.f64().powi(2));
        let at = at.min(self.world.settings.faults_until);
        self.block_replies_after(at, process);
        trace!(self.world, "FAULT: no packet of process {process} passes until {at:?}");
        for server in 0..SERVERS {
            self.world.network.block(process, server, UP, at);
        }
    }

    /// Isolates the server of a process, unless the server leads.
    pub(in crate::simulation) fn isolate_server_of(&mut self, process: usize) {
        let connection = self.processes[process].connection();
        let server = connection.and_then(|connection| self.world.network.server(connection));
        let session = self.processes[process].session();
        let expires = session.and_then(|session| self.ensemble.expires(session));
        let (Some(server), Some(expires)) = (server, expires) else { return };
        if self.ensemble.leader() == Some(server) {
            return self.silence_process(process);
        }
        let now = self.world.now;
        trace!(self.world, "FAULT: process {process} stays at server {server}, which is isolated");
        let until = self.until(now, 1.2, 2.5);
        self.cut(server, now, until, (true, true));
        let closing = self.world.settings.longest_closing;
        let early = self.duration(0.001, 0.01);
        let at = (expires + closing.mul_f64(0.5 * self.world.rng.f64())).saturating_sub(early);
        self.world.queue.push(at, WorldEvent::BlockServer { process, server });
        self.block_replies_after(at, process);
    }

    /// Soon after its packets pass, a process receives nothing, so it does not learn the state of its session.
    fn block_replies_after(&mut self, at: Instant, process: usize) {
        let soon = self.duration(0.003, 0.13);
        self.world.queue.push(at + soon, WorldEvent::BlockReplies { process });
    }

    pub(in crate::simulation) fn block_replies(&mut self, process: usize) {
        let until = self.until(self.world.now, 0.1, 0.6);
        trace!(self.world, "FAULT: process {process} receives nothing until {until:?}");
        for server in 0..SERVERS {
            self.world.network.block(process, server, DOWN, until);
        }
    }

    /// A process no longer reaches its server.
    pub(in crate::simulation) fn block_server(&mut self, process: usize, server: usize) {
        trace!(self.world, "FAULT: process {process} no longer reaches server {server}");
        let until = self.until(self.world.now, 0.1, 0.5);
        for direction in [UP, DOWN] {
            self.world.network.block(process, server, direction, until);
        }
        self.break_connection(process);
    }
}
