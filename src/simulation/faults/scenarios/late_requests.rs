//! Requests that are carried out late, and servers whose word is old.

use std::time::Duration;

use super::super::super::network::{DOWN, UP};
use super::super::super::run::World;
use super::super::super::settings::SERVERS;
use super::super::super::stage::{Happening, note};
use super::super::super::traps::{Exile, Lost, Trap};
use zookeeper_embedded::replica::ConnectionId;

impl World {
    /// The leader server is cut off in the instant in which the others restart, and goes on taking itself for the leader.
    /// The process is left on its side; or it creates or removes something on the other side, perhaps does not hear of that,
    /// and reaches only the old one from then on. Shown there how its znode stands, it stands still, and goes on elsewhere.
    pub(super) fn depose(&mut self, process: usize) {
        let Some(old) = self.ensemble.leader() else { return };
        let now = self.stage.now;
        let until = self.until(now, 1.2, 3.0);
        self.cut(old, now, until, (true, true));
        for other in (0..SERVERS).filter(|other| *other != old) {
            let back = self.until(now, 0.001, 0.02);
            self.kill_server(other, false, back);
        }
        let lost = [Lost::Request, Lost::Answer, Lost::Answer, Lost::Nothing][self.stage.rng.usize(..4)];
        let exile = Exile { server: old, until: self.until(now, 0.9, 2.5), lost };
        if self.stage.rng.u8(..3) == 0 {
            self.banish(process, exile);
        } else {
            // Once the others have a leader server.
            let elected = self.stage.settings.tick * 11 / 20;
            self.stage.later(elected, Happening::Flee { process, server: old });
            self.stage.later(elected, Happening::Resign { process });
            let errand = self.errand();
            self.trap_after(elected, process, Trap::ExileAt(errand, exile));
        }
        self.restless(process);
    }

    /// A process reaches one server only, and is not to read what that shows it.
    pub(in crate::simulation) fn banish(&mut self, process: usize, exile: Exile) {
        self.break_connection(process);
        self.exile(process, exile.server, exile.until);
        let stranded = self.duration(0.01, 0.1);
        self.trap_after(Duration::ZERO, process, Trap::StrandOnceShown(stranded));
    }

    /// The process stands still with what it was shown unread, its connection ends, and the next one is to another server.
    pub(in crate::simulation) fn strand(&mut self, connection: ConnectionId, duration: Duration) {
        let Some(process) = self.stage.network.process(connection) else { return };
        let Some(server) = self.stage.network.server(connection) else { return };
        note!(self.stage, "FAULT: process {process} is stopped, and connection {connection} ends");
        self.pause(process, duration);
        let until = self.until(self.stage.now, 0.1, 0.5);
        for other in 0..SERVERS {
            for direction in [UP, DOWN] {
                if other == server {
                    // What was said arrives.
                    self.stage.network.block(process, other, UP, until);
                } else {
                    self.stage.network.refuse(process, other, self.stage.now);
                    self.stage.network.unblock(process, other, direction, self.stage.now);
                }
            }
        }
    }

    /// A create or a removal stays unread at a follower that stands still. The client goes elsewhere, mostly after having tried
    /// the same server again. When that goes on, it takes the session up and carries out what it was asked for.
    pub(super) fn detour(&mut self, process: usize) {
        let errand = self.errand();
        let still = self.duration(0.2, 1.8);
        self.trap_after(Duration::ZERO, process, Trap::StandStillAt(errand, still));
        self.restless(process);
    }

    /// A server has stopped with a request unread.
    pub(in crate::simulation) fn detain(&mut self, connection: ConnectionId, duration: Duration) {
        let Some(process) = self.stage.network.process(connection) else { return };
        let Some(server) = self.stage.network.server(connection) else { return };
        self.stand_still(server, duration);
        if self.stage.rng.u8(..4) > 0 {
            let until = self.until(self.stage.now, 0.02, 0.4);
            self.exile(process, server, until);
            let soon = self.duration(0.001, 0.02);
            self.stage.later(soon, Happening::Break(connection));
        }
    }
}
