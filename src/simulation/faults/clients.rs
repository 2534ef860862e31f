//! Faults of processes and of the paths between processes and servers.

use std::time::Duration;

use crate::simulation::event::{Recovery, WorldEvent};
use crate::simulation::network::{DOWN, UP, Up};
use crate::simulation::run::Run;
use crate::simulation::settings::SERVERS;
use crate::simulation::time::Instant;
use crate::simulation::triggers::{RequestKind, TriggeredFault};
use crate::simulation::world::trace;

impl Run {
    pub(super) fn break_connection(&mut self, process: usize) {
        trace!(self.world, "FAULT: the connection of process {process} breaks");
        for connection in self.world.network.of_process(process) {
            self.world.break_connection(connection);
        }
    }

    pub(super) fn arm(&mut self, process: usize) {
        let fault = match self.world.rng.u8(..5) {
            0 => TriggeredFault::LoseCreate,
            1..3 => TriggeredFault::LoseReplyTo(RequestKind::Create),
            3 => TriggeredFault::LoseReplyTo(RequestKind::Removal),
            _ => TriggeredFault::LoseReply,
        };
        self.world.schedule(Duration::ZERO, WorldEvent::Arm { process, fault });
    }

    /// No packets pass between a process and servers, in one direction or in both.
    pub(super) fn block(&mut self, process: usize, server: usize) {
        let directions = [&[UP][..], &[DOWN], &[UP, DOWN], &[UP, DOWN]][self.world.rng.usize(..4)];
        let until = self.until(self.world.now, 0.01, 2.5);
        let all = self.world.rng.bool();
        trace!(
            self.world,
            "FAULT: process {process} and server {server} (all: {all}), {directions:?} blocked until {until:?}"
        );
        for at in (0..SERVERS).filter(|at| all || *at == server) {
            for direction in directions {
                self.world.network.block(process, at, *direction, until);
            }
        }
    }

    /// A process reaches one server only.
    pub(super) fn confine(&mut self, process: usize, to: usize, until: Instant) {
        let until = until.min(self.world.settings.faults_until);
        trace!(self.world, "FAULT: process {process} reaches server {to} only, until {until:?}");
        let refused = self.world.rng.bool();
        for server in 0..SERVERS {
            if refused {
                self.world.network.refuse(process, server, if server == to { self.world.now } else { until });
            }
            for direction in [UP, DOWN] {
                if server == to {
                    self.world.network.unblock(process, server, direction, self.world.now);
                } else {
                    self.world.network.block(process, server, direction, until);
                }
            }
        }
    }

    pub(in crate::simulation) fn pause(&mut self, process: usize, duration: Duration) {
        let until = (self.world.now + duration).min(self.world.settings.faults_until);
        if until <= self.world.now {
            return;
        }
        self.processes[process].pause(&mut self.world);
        self.recover_at(until, Recovery::ResumeProcess { process });
    }

    /// A process dies. Either its connection ends with it, or its machine dies as well and no server is told.
    pub(super) fn kill_process(&mut self, process: usize) {
        if !self.processes[process].is_running() {
            return;
        }
        let connection = self.processes[process].kill(&mut self.world);
        if let Some(connection) = connection.filter(|_| self.world.rng.bool()) {
            self.world.send_up(connection, Up::Close);
        }
        let until = self.until(self.world.now, 0.02, 3.0);
        self.recover_at(until, Recovery::StartProcess { process });
    }
}
