//! Scenarios in which a session expires earlier than its client assumes.

use crate::simulation::event::WorldEvent;
use crate::simulation::network::UP;
use crate::simulation::run::Run;
use crate::simulation::settings::SERVERS;
use crate::simulation::triggers::TriggeredFault;
use crate::simulation::world::trace;
use zookeeper_embedded::replica::ConnectionId;

impl Run {
    /// A session moves, perhaps to a new client. After its next proof the leader server dies, and the session has the
    /// timeout of its creation again. Or its process reaches the server with the least timeout, and then no server.
    pub(super) fn shorten(&mut self, process: usize) {
        if self.world.rng.bool() {
            return self.cut_short(process);
        }
        if self.world.rng.bool() {
            let until = self.until(self.world.now, 0.01, 0.7);
            self.world.network.lose(process, until);
        }
        self.break_connection(process);
        let after = self.duration(0.01, 1.5);
        self.arm_after(after, process, TriggeredFault::LoseLeaderOnCommit);
    }

    fn cut_short(&mut self, process: usize) {
        let timeouts = self.world.settings.timeouts();
        let Some(server) = (0..SERVERS).min_by_key(|server| timeouts[*server]) else { return };
        self.break_connection(process);
        let until = self.until(self.world.now, 0.5, 2.0);
        self.confine(process, server, until);
        let after = self.duration(0.01, 0.1);
        self.world.schedule(after, WorldEvent::BlockServer { process, server });
    }

    /// The leader server dies, and the process of this connection reaches no server.
    pub(in crate::simulation) fn lose_leader_server(&mut self, connection: ConnectionId) {
        let Some(process) = self.world.network.process(connection) else { return };
        if let Some(leader) = self.ensemble.leader() {
            let back = self.until(self.world.now, 0.05, 1.0);
            self.kill_server(leader, false, back);
        }
        let until = self.until(self.world.now, 0.5, 2.0);
        trace!(self.world, "FAULT: process {process} reaches no server until {until:?}");
        for server in 0..SERVERS {
            self.world.network.block(process, server, UP, until);
        }
    }
}
