//! Sessions that are taken up while they are being closed.

use std::time::Duration;

use super::super::super::client::Process;
use super::super::super::network::{DOWN, UP};
use super::super::super::run::World;
use super::super::super::settings::SERVERS;
use super::super::super::stage::{Happening, note};
use super::super::super::time::Instant;

impl World {
    /// Nothing is heard of those that lead any more, and soon nothing of one that waits, until the leader server is about to
    /// close its session, or does already.
    pub(super) fn silence(&mut self, process: usize) {
        let (process, after) = match self.waiting(|_| true) {
            Some(next) => (next, self.duration(0.01, 0.3)),
            None => (process, Duration::ZERO),
        };
        if self.stage.rng.u8(..3) == 0
            && let Some(leader) = self.ensemble.leader()
        {
            // All sessions have the same time left.
            let back = self.until(self.stage.now, 0.05, 1.0);
            self.kill_server(leader, false, back);
        }
        self.silence_leaders(process);
        self.stage.later(after, Happening::Silence { process });
    }

    /// Nothing is heard of those that lead any more, and soon a server is cut off that goes on answering the reads of one
    /// that waits. When the leader server is about to close its session, or does already, its client goes elsewhere.
    pub(super) fn mislead(&mut self, process: usize) {
        let settings = &self.stage.settings;
        if settings.tick * settings.sync_limit < settings.timeout.mul_f64(1.2) {
            // The server would close its connections before.
            return self.silence(process);
        }
        // A transaction would not be answered, nor what comes behind it.
        let process = self.waiting(|it| !it.wants_proofs()).unwrap_or(process);
        self.silence_leaders(process);
        let after = self.stage.settings.tick.mul_f64(0.6 * self.stage.rng.f64());
        self.stage.later(after, Happening::Mislead { process });
    }

    /// One of the processes that do not lead, if any: mostly.
    fn waiting(&mut self, fits: impl Fn(&Process) -> bool) -> Option<usize> {
        let waits = |it: &Process| !it.views().any(|view| view.leading) && fits(it);
        let waiting = self.processes.iter().enumerate().filter(|(_, it)| waits(it));
        let waiting: Vec<usize> = waiting.map(|(process, _)| process).collect();
        self.stage.rng.choice(waiting).filter(|_| self.stage.rng.u8(..5) > 0)
    }

    fn silence_leaders(&mut self, spared: usize) {
        let until = self.until(self.stage.now, 1.1, 1.5);
        for process in 0..self.processes.len() {
            if process != spared && self.processes[process].views().any(|view| view.leading) {
                self.stage.network.lose(process, until);
                self.break_connection(process);
            }
        }
    }

    /// Nothing is heard of a process.
    pub(in crate::simulation) fn fall_silent(&mut self, process: usize) {
        // Until everything that was heard has been told to the leader server.
        let told = self.stage.settings.tick + self.stage.settings.longest_stall;
        self.stage.network.lose(process, self.stage.now + told);
        self.break_connection(process);
        self.stage.later(told, Happening::LastMoment { process });
    }

    /// What a process sends reaches the servers in the last moment of its session, or a little later.
    pub(in crate::simulation) fn last_moment(&mut self, process: usize) {
        let session = self.processes[process].session();
        let Some(expires) = session.and_then(|session| self.ensemble.expires(session)) else { return };
        let closing = self.stage.settings.longest_closing;
        let at = expires + closing.mul_f64(0.5 * self.stage.rng.f64().powi(2));
        let at = at.min(self.stage.settings.faults_until);
        self.deafen_after(at, process);
        note!(self.stage, "FAULT: nothing of process {process} passes until {at:?}");
        for server in 0..SERVERS {
            self.stage.network.block(process, server, UP, at);
        }
    }

    /// The server of a process is cut off.
    pub(in crate::simulation) fn cut_off_with(&mut self, process: usize) {
        let connection = self.processes[process].connection();
        let server = connection.and_then(|connection| self.stage.network.server(connection));
        let session = self.processes[process].session();
        let expires = session.and_then(|session| self.ensemble.expires(session));
        let (Some(server), Some(expires)) = (server, expires) else { return };
        if self.ensemble.leader() == Some(server) {
            return self.fall_silent(process);
        }
        let now = self.stage.now;
        note!(self.stage, "FAULT: process {process} stays with server {server}, which is cut off");
        let until = self.until(now, 1.2, 2.5);
        self.cut(server, now, until, (true, true));
        let closing = self.stage.settings.longest_closing;
        let early = self.duration(0.001, 0.01);
        let at = (expires + closing.mul_f64(0.5 * self.stage.rng.f64())).saturating_sub(early);
        self.stage.agenda.enter(at, Happening::Flee { process, server });
        self.deafen_after(at, process);
    }

    /// Soon after it has come back, a process does not hear what becomes of its session.
    fn deafen_after(&mut self, at: Instant, process: usize) {
        let soon = self.duration(0.003, 0.13);
        self.stage.agenda.enter(at + soon, Happening::Deafen { process });
    }

    pub(in crate::simulation) fn deafen(&mut self, process: usize) {
        let until = self.until(self.stage.now, 0.1, 0.6);
        note!(self.stage, "FAULT: process {process} hears nothing until {until:?}");
        for server in 0..SERVERS {
            self.stage.network.block(process, server, DOWN, until);
        }
    }

    /// A process reaches its server no more.
    pub(in crate::simulation) fn flee(&mut self, process: usize, server: usize) {
        note!(self.stage, "FAULT: process {process} flees from server {server}");
        let until = self.until(self.stage.now, 0.1, 0.5);
        for direction in [UP, DOWN] {
            self.stage.network.block(process, server, direction, until);
        }
        self.break_connection(process);
    }
}
