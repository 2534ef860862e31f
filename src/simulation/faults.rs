//! What goes wrong, and for how long: drawn from the seed, aimed mostly at whoever leads.
//!
//! Everything may happen at any time, but for what the lease assumes: the pings of the leader server reach the servers
//! that follow it at least every quarter of the session timeout, or not at all any more. So a path between
//! servers stands still only for what that leaves (`Settings::longest_stall`); what lasts longer cuts it.

use std::time::Duration;

use super::ensemble::OPERATOR;
use super::network::{DOWN, Trap, UP};
use super::run::World;
use super::settings::{SERVERS, path_of};
use super::stage::{Happening, note};
use super::time::Instant;
use crate::embedded::replica::{Action, Transaction, Write};
use crate::path::join;
use crate::types::Mode;

/// What will be well again.
#[derive(Debug)]
pub(super) enum Ailment {
    Dead { process: usize },
    Paused { process: usize },
    ServerDown { server: usize },
    Cut { from: usize, to: usize },
}

impl World {
    /// Something goes wrong.
    pub(super) fn strike(&mut self) {
        let process = self.victim();
        let server = self.server_near(process);
        if self.stage.settings.conspiring && self.stage.rng.u8(..3) > 0 {
            return self.conspire(process);
        }
        match self.stage.rng.u8(..24) {
            0..2 => self.break_connection(process),
            2..5 => self.set_trap(process),
            5..9 => self.block(process, server),
            9..10 => {
                let duration = self.duration(0.02, 3.0);
                self.pause(process, duration);
            }
            10..12 => self.conspire(process),
            12..13 => self.kill_process(process),
            13..17 => self.cut_off(server, Duration::ZERO),
            17..18 => drop(self.stall(server)),
            18..20 => {
                // A pause for breath, and then the end.
                let stall = self.stall(server);
                let after = stall + self.duration(0.0005, 0.1);
                self.cut_off(server, after);
            }
            20..21 => self.kill_server(server),
            _ => self.operate(process),
        }
    }

    /// What was wrong is well again.
    pub(super) fn heal(&mut self, ailment: Ailment) {
        match ailment {
            Ailment::Dead { process } => self.processes[process].start(&mut self.stage),
            Ailment::Paused { process } => self.processes[process].resume(&mut self.stage),
            Ailment::ServerDown { server } => self.ensemble.start(&mut self.stage, server),
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

    fn break_connection(&mut self, process: usize) {
        note!(self.stage, "FAULT: the connection of process {process} breaks");
        for connection in self.stage.network.of_process(process) {
            self.stage.break_connection(connection);
        }
    }

    fn set_trap(&mut self, process: usize) {
        let traps = [Trap::LoseCreate, Trap::LoseAnswerToCreate, Trap::LoseAnswerToCreate, Trap::LoseAnswer];
        let trap = traps[self.stage.rng.usize(..traps.len())];
        self.stage.later(Duration::ZERO, Happening::Trap { process, trap });
    }

    /// A process stands still, and asks for something as soon as it wakes; perhaps it stands still again. Its server is cut off
    /// right after having answered, this time or soon. So the ensemble has not heard of the session for long, whatever
    /// the process has heard.
    fn conspire(&mut self, process: usize) {
        let (first, second) = (self.duration(0.1, 0.9), self.duration(0.1, 0.9));
        let trap = |trap| Happening::Trap { process, trap };
        self.stage.later(Duration::ZERO, trap(Trap::PauseOnceAsked(first)));
        if self.stage.rng.bool() {
            self.stage.later(first, trap(Trap::PauseOnceAsked(second)));
        }
        let later = if self.stage.rng.bool() { self.duration(0.01, 0.25) } else { Duration::ZERO };
        self.stage.later(first + later, trap(Trap::CutOffOnceCommitted));
    }

    /// Nothing passes between a process and servers, in one direction or in both.
    fn block(&mut self, process: usize, server: usize) {
        let directions = [&[UP][..], &[DOWN], &[UP, DOWN], &[UP, DOWN]][self.stage.rng.usize(..4)];
        let until = self.until(self.stage.now, 0.01, 2.5);
        let all = self.stage.rng.bool();
        note!(
            self.stage,
            "FAULT: process {process} and server {server} (all: {all}), {directions:?} blocked until {until:?}"
        );
        for at in (0..SERVERS).filter(|at| all || *at == server) {
            for direction in directions {
                self.stage.network.block(process, at, *direction, until);
            }
        }
    }

    pub(super) fn pause(&mut self, process: usize, duration: Duration) {
        let until = (self.stage.now + duration).min(self.stage.settings.faults_until);
        if until <= self.stage.now {
            return;
        }
        self.processes[process].pause(&mut self.stage);
        self.heal_at(until, Ailment::Paused { process });
    }

    /// A process dies; either its connection ends with it, or its machine dies as well and nobody hears of it.
    fn kill_process(&mut self, process: usize) {
        if !self.processes[process].is_running() {
            return;
        }
        let connection = self.processes[process].kill(&mut self.stage);
        if let Some(connection) = connection.filter(|_| self.stage.rng.bool()) {
            self.stage.send_up(connection, super::network::Up::Close);
        }
        let until = self.until(self.stage.now, 0.02, 3.0);
        self.heal_at(until, Ailment::Dead { process });
    }

    /// A server is cut off from the others, in one direction or in both.
    pub(super) fn cut_off(&mut self, server: usize, after: Duration) {
        let at = self.stage.now + after;
        if at >= self.stage.settings.faults_until {
            return;
        }
        let (out, in_) =
            [(true, false), (false, true), (true, true), (true, true)][self.stage.rng.usize(..4)];
        let until = self.until(at, 0.1, 4.0);
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
    fn stall(&mut self, server: usize) -> Duration {
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

    fn kill_server(&mut self, server: usize) {
        let silently = self.stage.rng.bool();
        self.ensemble.kill(&mut self.stage, server, silently);
        let until = self.until(self.stage.now, 0.05, 3.0);
        self.heal_at(until, Ailment::ServerDown { server });
    }

    /// An operator deletes the znode of a contender, or everything that belongs to an election.
    fn operate(&mut self, process: usize) {
        let election = self.stage.rng.usize(..self.stage.settings.elections.len());
        let mode = self.stage.settings.elections[election];
        let path = path_of(election, mode);
        let truth = self.ensemble.truth();
        let children = truth.children(&path);
        let delete = |path: String| Write { path: Some(path), action: Action::Delete { version: -1 } };
        let writes: Vec<Write> = match mode {
            Mode::Master => vec![delete(path)],
            Mode::Sequential if self.stage.rng.u8(..4) == 0 => {
                let children = children.iter().map(|name| join(&path, name));
                children.chain([path.clone()]).map(delete).collect()
            }
            Mode::Sequential => {
                let session = self.processes[process].session().map_or(0, |session| session.raw());
                let own = |name: &&String| {
                    truth.stat(&join(&path, name)).is_some_and(|stat| stat.ephemeral_owner == session)
                };
                let node = children.iter().find(own).or(children.first());
                node.map(|name| delete(join(&path, name))).into_iter().collect()
            }
        };
        if !writes.is_empty() {
            note!(self.stage, "FAULT: an operator changes election {election}");
            self.ensemble.operate(&mut self.stage, Transaction::Multi(OPERATOR, writes));
        }
    }
}
