//! Scenarios in which a request is executed late, or a server replies from an outdated state.

use std::time::Duration;

use crate::simulation::event::WorldEvent;
use crate::simulation::network::{DOWN, UP};
use crate::simulation::run::Run;
use crate::simulation::settings::SERVERS;
use crate::simulation::triggers::{Confinement, LostPacket, TriggeredFault};
use crate::simulation::world::trace;
use zookeeper_embedded::replica::ConnectionId;

impl Run {
    /// The leader server is cut off when the others restart, and still considers itself the leader. The process reaches
    /// only this old leader server, at once or after a create, removal or guarded write on the other side, perhaps
    /// without the reply. When it is shown its znode there, it is paused, and then moves to another server.
    pub(super) fn old_leader(&mut self, process: usize) {
        let Some(old) = self.ensemble.leader() else { return };
        let now = self.world.now;
        let until = self.until(now, 1.2, 3.0);
        self.cut(old, now, until, (true, true));
        for other in (0..SERVERS).filter(|other| *other != old) {
            let back = self.until(now, 0.001, 0.02);
            self.kill_server(other, false, back);
        }
        let lost = [LostPacket::Request, LostPacket::Reply, LostPacket::Reply, LostPacket::Neither]
            [self.world.rng.usize(..4)];
        let confinement = Confinement { server: old, until: self.until(now, 0.9, 2.5), lost };
        if self.world.rng.u8(..3) == 0 {
            self.confine_and_stop(process, confinement);
        } else {
            // Once the others have a leader server.
            let elected = self.world.settings.tick * 11 / 20;
            self.world.schedule(elected, WorldEvent::BlockServer { process, server: old });
            self.world.schedule(elected, WorldEvent::Resign { process });
            let kind = self.request_kind();
            self.arm_after(elected, process, TriggeredFault::ConfineOn(kind, confinement));
        }
        self.resign_repeatedly(process);
    }

    /// A process reaches one server only, and is paused before it reads the state of its znode there.
    pub(in crate::simulation) fn confine_and_stop(&mut self, process: usize, confinement: Confinement) {
        self.break_connection(process);
        self.confine(process, confinement.server, confinement.until);
        let paused = self.duration(0.01, 0.1);
        self.arm_after(Duration::ZERO, process, TriggeredFault::PauseAndMoveOnStat(paused));
    }

    /// The process is paused with a reply unread, its connection ends, and the next one is to another server.
    pub(in crate::simulation) fn pause_and_move(&mut self, connection: ConnectionId, duration: Duration) {
        let Some(process) = self.world.network.process(connection) else { return };
        let Some(server) = self.world.network.server(connection) else { return };
        trace!(self.world, "FAULT: process {process} is paused, and connection {connection} ends");
        self.pause(process, duration);
        let until = self.until(self.world.now, 0.1, 0.5);
        for other in 0..SERVERS {
            for direction in [UP, DOWN] {
                if other == server {
                    // The replies that were sent arrive.
                    self.world.network.block(process, other, UP, until);
                } else {
                    self.world.network.refuse(process, other, self.world.now);
                    self.world.network.unblock(process, other, direction, self.world.now);
                }
            }
        }
    }

    /// A create, removal or guarded write stays unread at a paused follower. The client moves to another server, mostly
    /// after another attempt at the same server. After the pause, the follower resumes the session and executes the
    /// request.
    pub(super) fn late_request(&mut self, process: usize) {
        let kind = self.request_kind();
        let still = self.duration(0.2, 1.8);
        self.arm_after(Duration::ZERO, process, TriggeredFault::PauseServerOn(kind, still));
        self.resign_repeatedly(process);
    }

    /// Pauses a server with a request unread.
    pub(in crate::simulation) fn pause_server_of(&mut self, connection: ConnectionId, duration: Duration) {
        let Some(process) = self.world.network.process(connection) else { return };
        let Some(server) = self.world.network.server(connection) else { return };
        self.pause_server(server, duration);
        if self.world.rng.u8(..4) > 0 {
            let until = self.until(self.world.now, 0.02, 0.4);
            self.confine(process, server, until);
            let soon = self.duration(0.001, 0.02);
            self.world.schedule(soon, WorldEvent::BreakConnection(connection));
        }
    }
}
