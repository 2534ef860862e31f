//! What goes wrong with processes and with what they and the servers tell each other.

use std::time::Duration;

use super::super::network::{DOWN, UP, Up};
use super::super::run::World;
use super::super::settings::SERVERS;
use super::super::stage::{Happening, note};
use super::super::time::Instant;
use super::super::traps::{Errand, Trap};
use super::Ailment;

impl World {
    pub(super) fn break_connection(&mut self, process: usize) {
        note!(self.stage, "FAULT: the connection of process {process} breaks");
        for connection in self.stage.network.of_process(process) {
            self.stage.break_connection(connection);
        }
    }

    pub(super) fn set_trap(&mut self, process: usize) {
        let trap = match self.stage.rng.u8(..5) {
            0 => Trap::LoseCreate,
            1..3 => Trap::LoseAnswerTo(Errand::Create),
            3 => Trap::LoseAnswerTo(Errand::Removal),
            _ => Trap::LoseAnswer,
        };
        self.stage.later(Duration::ZERO, Happening::Trap { process, trap });
    }

    /// Nothing passes between a process and servers, in one direction or in both.
    pub(super) fn block(&mut self, process: usize, server: usize) {
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

    /// A process reaches one server only.
    pub(super) fn exile(&mut self, process: usize, to: usize, until: Instant) {
        let until = until.min(self.stage.settings.faults_until);
        note!(self.stage, "FAULT: process {process} reaches server {to} only, until {until:?}");
        let refused = self.stage.rng.bool();
        for server in 0..SERVERS {
            if refused {
                self.stage.network.refuse(process, server, if server == to { self.stage.now } else { until });
            }
            for direction in [UP, DOWN] {
                if server == to {
                    self.stage.network.unblock(process, server, direction, self.stage.now);
                } else {
                    self.stage.network.block(process, server, direction, until);
                }
            }
        }
    }

    pub(in super::super) fn pause(&mut self, process: usize, duration: Duration) {
        let until = (self.stage.now + duration).min(self.stage.settings.faults_until);
        if until <= self.stage.now {
            return;
        }
        self.processes[process].pause(&mut self.stage);
        self.heal_at(until, Ailment::Paused { process });
    }

    /// A process dies; either its connection ends with it, or its machine dies as well and nobody hears of it.
    pub(super) fn kill_process(&mut self, process: usize) {
        if !self.processes[process].is_running() {
            return;
        }
        let connection = self.processes[process].kill(&mut self.stage);
        if let Some(connection) = connection.filter(|_| self.stage.rng.bool()) {
            self.stage.send_up(connection, Up::Close);
        }
        let until = self.until(self.stage.now, 0.02, 3.0);
        self.heal_at(until, Ailment::Dead { process });
    }
}
