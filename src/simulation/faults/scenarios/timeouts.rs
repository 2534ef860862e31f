//! Sessions that end sooner than their clients think.

use super::super::super::network::UP;
use super::super::super::run::World;
use super::super::super::settings::SERVERS;
use super::super::super::stage::{Happening, note};
use super::super::super::traps::Trap;
use zookeeper_embedded::replica::ConnectionId;

impl World {
    /// A session moves, and perhaps to a new client; after its next proof the leader server dies, and the session has the
    /// timeout of its creation again. Or the session reaches the server with the least timeout, and then none.
    pub(super) fn shorten(&mut self, process: usize) {
        if self.stage.rng.bool() {
            return self.cut_short(process);
        }
        if self.stage.rng.bool() {
            let until = self.until(self.stage.now, 0.01, 0.7);
            self.stage.network.lose(process, until);
        }
        self.break_connection(process);
        let after = self.duration(0.01, 1.5);
        self.trap_after(after, process, Trap::BereaveOnceCommitted);
    }

    fn cut_short(&mut self, process: usize) {
        let timeouts = self.stage.settings.timeouts();
        let Some(server) = (0..SERVERS).min_by_key(|server| timeouts[*server]) else { return };
        self.break_connection(process);
        let until = self.until(self.stage.now, 0.5, 2.0);
        self.exile(process, server, until);
        let after = self.duration(0.01, 0.1);
        self.stage.later(after, Happening::Flee { process, server });
    }

    /// The leader server dies, and the process at this connection reaches nobody.
    pub(in crate::simulation) fn bereave(&mut self, connection: ConnectionId) {
        let Some(process) = self.stage.network.process(connection) else { return };
        if let Some(leader) = self.ensemble.leader() {
            let back = self.until(self.stage.now, 0.05, 1.0);
            self.kill_server(leader, false, back);
        }
        let until = self.until(self.stage.now, 0.5, 2.0);
        note!(self.stage, "FAULT: process {process} reaches nobody until {until:?}");
        for server in 0..SERVERS {
            self.stage.network.block(process, server, UP, until);
        }
    }
}
