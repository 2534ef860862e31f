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
    /// Nothing is heard of those that lead any more, and soon nothing of one that waits, until the leader server is about to
    /// close its session, or does already.
    pub(super) fn closing_session(&mut self, process: usize) {
        let (process, after) = match self.waiting(|_| true) {
            Some(next) => (next, self.duration(0.01, 0.3)),
            None => (process, Duration::ZERO),
        };
        if self.world.rng.u8(..3) == 0
            && let Some(leader) = self.ensemble.leader()
        {
            // All sessions have the same time left.
            let back = self.until(self.world.now, 0.05, 1.0);
            self.kill_server(leader, false, back);
        }
        self.silence_leaders(process);
        self.world.schedule(after, WorldEvent::Silence { process });
    }

    /// Nothing is heard of those that lead any more, and soon a server is cut off that goes on answering the reads of one
    /// that waits. When the leader server is about to close its session, or does already, its client goes elsewhere.
    pub(super) fn isolated_server(&mut self, process: usize) {
        let settings = &self.world.settings;
        if settings.tick * settings.sync_limit < settings.timeout.mul_f64(1.2) {
            // The server would close its connections before.
            return self.closing_session(process);
        }
        // A transaction would not be answered, nor what comes behind it.
        let process = self.waiting(|it| !it.sends_proofs()).unwrap_or(process);
        self.silence_leaders(process);
        let after = self.world.settings.tick.mul_f64(0.6 * self.world.rng.f64());
        self.world.schedule(after, WorldEvent::IsolateServerOf { process });
    }

    /// One of the processes that do not lead, if any: mostly.
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

    /// Nothing is heard of a process.
    pub(in crate::simulation) fn silence_process(&mut self, process: usize) {
        // Until everything that was heard has been told to the leader server.
        let told = self.world.settings.tick + self.world.settings.longest_stall;
        self.world.network.lose(process, self.world.now + told);
        self.break_connection(process);
        self.world.schedule(told, WorldEvent::DelayToExpiry { process });
    }

    /// What a process sends reaches the servers in the last moment of its session, or a little later.
    pub(in crate::simulation) fn delay_to_expiry(&mut self, process: usize) {
        let session = self.processes[process].session();
        let Some(expires) = session.and_then(|session| self.ensemble.expires(session)) else { return };
        let closing = self.world.settings.longest_closing;
        let at = expires + closing.mul_f64(0.5 * self.world.rng.f64().powi(2));
        let at = at.min(self.world.settings.faults_until);
        self.block_replies_after(at, process);
        trace!(self.world, "FAULT: nothing of process {process} passes until {at:?}");
        for server in 0..SERVERS {
            self.world.network.block(process, server, UP, at);
        }
    }

    /// The server of a process is cut off.
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
        trace!(self.world, "FAULT: process {process} stays with server {server}, which is cut off");
        let until = self.until(now, 1.2, 2.5);
        self.cut(server, now, until, (true, true));
        let closing = self.world.settings.longest_closing;
        let early = self.duration(0.001, 0.01);
        let at = (expires + closing.mul_f64(0.5 * self.world.rng.f64())).saturating_sub(early);
        self.world.queue.push(at, WorldEvent::BlockServer { process, server });
        self.block_replies_after(at, process);
    }

    /// Soon after it has come back, a process does not hear what becomes of its session.
    fn block_replies_after(&mut self, at: Instant, process: usize) {
        let soon = self.duration(0.003, 0.13);
        self.world.queue.push(at + soon, WorldEvent::BlockReplies { process });
    }

    pub(in crate::simulation) fn block_replies(&mut self, process: usize) {
        let until = self.until(self.world.now, 0.1, 0.6);
        trace!(self.world, "FAULT: process {process} hears nothing until {until:?}");
        for server in 0..SERVERS {
            self.world.network.block(process, server, DOWN, until);
        }
    }

    /// A process reaches its server no more.
    pub(in crate::simulation) fn block_server(&mut self, process: usize, server: usize) {
        trace!(self.world, "FAULT: process {process} flees from server {server}");
        let until = self.until(self.world.now, 0.1, 0.5);
        for direction in [UP, DOWN] {
            self.world.network.block(process, server, direction, until);
        }
        self.break_connection(process);
    }
}
