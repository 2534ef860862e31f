//! Several faults at the worst moments, with one aim each.

use std::time::Duration;

use super::super::network::{DOWN, UP};
use super::super::run::World;
use super::super::settings::SERVERS;
use super::super::stage::{Happening, note};
use super::super::traps::{Errand, Exile, Trap};
use crate::embedded::replica::ConnectionId;

impl World {
    /// Something that would not happen by chance.
    pub(super) fn plot(&mut self, process: usize) {
        match self.stage.rng.u8(..10) {
            0..3 => self.conspire(process),
            3..5 if !self.stage.settings.drops_directories => self.depose(process),
            5..7 if !self.stage.settings.drops_directories => self.detour(process),
            7 => self.silence(process),
            8 => self.mislead(process),
            9 => self.shorten(process),
            _ => self.conspire(process),
        }
    }

    fn trap_after(&mut self, after: Duration, process: usize, trap: Trap) {
        self.stage.later(after, Happening::Trap { process, trap });
    }

    /// A request that leaves a znode, or removes one.
    fn errand(&mut self) -> Errand {
        if self.stage.rng.bool() { Errand::Create } else { Errand::Removal }
    }

    /// Applications resign and withdraw, now and again.
    fn restless(&mut self, process: usize) {
        for _ in 0..3 {
            let after = self.duration(0.05, 1.0);
            self.stage.later(after, Happening::Resign { process });
        }
    }

    /// A process stands still, and asks for something as soon as it wakes; perhaps it stands still again. Its server is cut off
    /// right after having answered, this time or soon. So the ensemble has not heard of the session for long, whatever
    /// the process has heard.
    pub(super) fn conspire(&mut self, process: usize) {
        let (first, second) = (self.duration(0.1, 0.9), self.duration(0.1, 0.9));
        self.trap_after(Duration::ZERO, process, Trap::PauseOnceAsked(first));
        if self.stage.rng.bool() {
            self.trap_after(first, process, Trap::PauseOnceAsked(second));
        }
        let later = if self.stage.rng.bool() { self.duration(0.01, 0.25) } else { Duration::ZERO };
        self.trap_after(first + later, process, Trap::CutOffOnceCommitted);
    }

    /// The leader server is cut off in the instant in which the others restart, and goes on taking itself for the leader.
    /// The process is left on its side; or it creates or removes something on the other side, does not hear of that, and
    /// reaches only the old one from then on. Shown there how its znode stands, it stands still, and goes on elsewhere.
    fn depose(&mut self, process: usize) {
        let Some(old) = self.ensemble.leader() else { return };
        let now = self.stage.now;
        let until = self.until(now, 1.2, 3.0);
        self.cut(old, now, until, (true, true));
        for other in (0..SERVERS).filter(|other| *other != old) {
            let back = self.until(now, 0.001, 0.02);
            self.kill_server(other, false, back);
        }
        let exile = Exile { server: old, until: self.until(now, 0.9, 2.5) };
        if self.stage.rng.u8(..3) == 0 {
            self.banish(process, exile);
        } else {
            let elsewhere = self.until(now, 0.2, 0.8);
            for direction in [UP, DOWN] {
                self.stage.network.block(process, old, direction, elsewhere);
            }
            self.break_connection(process);
            let errand = self.errand();
            self.trap_after(self.stage.settings.tick / 2, process, Trap::ExileAt(errand, exile));
        }
        self.restless(process);
    }

    /// A process reaches one server only, and is not to read what that shows it.
    pub(in super::super) fn banish(&mut self, process: usize, exile: Exile) {
        self.exile(process, exile.server, exile.until);
        let stranded = self.duration(0.01, 0.1);
        self.trap_after(Duration::ZERO, process, Trap::StrandOnceShown(stranded));
    }

    /// The process stands still with what it was shown unread, its connection ends, and the next one is to another server.
    pub(in super::super) fn strand(&mut self, connection: ConnectionId, duration: Duration) {
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
                    self.stage.network.unblock(process, other, direction, self.stage.now);
                }
            }
        }
    }

    /// A create or a removal stays unread at a follower that stands still. The client goes elsewhere, mostly after having tried
    /// the same server again. When that goes on, it takes the session up and carries out what it was asked for.
    fn detour(&mut self, process: usize) {
        let errand = self.errand();
        let still = self.duration(0.2, 1.8);
        self.trap_after(Duration::ZERO, process, Trap::StandStillAt(errand, still));
        self.restless(process);
    }

    /// A server has stopped with a request unread.
    pub(in super::super) fn detain(&mut self, connection: ConnectionId, duration: Duration) {
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

    /// Nothing is heard of a session until the leader server is about to close it, or does already; perhaps nothing of the
    /// others but for one, so that those go which stand ahead.
    fn silence(&mut self, process: usize) {
        if self.stage.rng.bool()
            && let Some(leader) = self.ensemble.leader()
        {
            // All sessions have the same time left.
            let back = self.until(self.stage.now, 0.05, 1.0);
            self.kill_server(leader, false, back);
        }
        // Until everything that was heard has been told to the leader server.
        let told = self.stage.settings.tick + self.stage.settings.longest_stall;
        let spared = self.stage.rng.usize(..self.processes.len());
        let all = self.stage.rng.u8(..3) > 0;
        for it in (0..self.processes.len()).filter(|it| *it == process || (all && *it != spared)) {
            self.stage.network.lose(it, self.stage.now + told);
            self.break_connection(it);
            self.stage.later(told, Happening::LastMoment { process: it });
        }
    }

    /// What a process sends reaches the servers in the last moment of its session, or a little later.
    pub(in super::super) fn last_moment(&mut self, process: usize) {
        let session = self.processes[process].session();
        let Some(expires) = session.and_then(|session| self.ensemble.expires(session)) else { return };
        let closing = self.stage.settings.longest_closing;
        let at = expires + closing.mul_f64(self.stage.rng.f64());
        let at = at.saturating_sub(self.stage.latency()).min(self.stage.settings.faults_until);
        note!(self.stage, "FAULT: nothing of process {process} passes until {at:?}");
        for server in 0..SERVERS {
            self.stage.network.block(process, server, UP, at);
        }
    }

    /// A server that is cut off answers the reads of a session of which the leader server hears nothing, until that is about
    /// to close it, or does already. Then the client goes elsewhere.
    fn mislead(&mut self, process: usize) {
        let connection = self.processes[process].connection();
        let server = connection.and_then(|connection| self.stage.network.server(connection));
        let session = self.processes[process].session();
        let expires = session.and_then(|session| self.ensemble.expires(session));
        let (Some(server), Some(expires)) = (server, expires) else { return };
        if self.ensemble.leader() == Some(server) {
            return self.silence(process);
        }
        let now = self.stage.now;
        let until = self.until(now, 1.2, 2.5);
        self.cut(server, now, until, (true, true));
        let closing = self.stage.settings.longest_closing;
        let early = self.duration(0.001, 0.02);
        let at = (expires + closing.mul_f64(self.stage.rng.f64())).saturating_sub(early);
        self.stage.agenda.enter(at, Happening::Flee { process, server });
    }

    /// A process reaches its server no more.
    pub(in super::super) fn flee(&mut self, process: usize, server: usize) {
        let until = self.until(self.stage.now, 0.1, 0.5);
        for direction in [UP, DOWN] {
            self.stage.network.block(process, server, direction, until);
        }
        self.break_connection(process);
    }

    /// A session moves, and perhaps to a new client; after its next proof the leader server dies, and the session has the
    /// timeout of its creation again, or that of a server which it has left.
    fn shorten(&mut self, process: usize) {
        if self.stage.rng.bool() {
            let until = self.until(self.stage.now, 0.01, 0.7);
            self.stage.network.lose(process, until);
        }
        self.break_connection(process);
        let after = self.duration(0.01, 1.5);
        self.trap_after(after, process, Trap::BereaveOnceCommitted);
    }

    /// The leader server dies, and the process at this connection reaches nobody.
    pub(in super::super) fn bereave(&mut self, connection: ConnectionId) {
        let Some(process) = self.stage.network.process(connection) else { return };
        if let Some(leader) = self.ensemble.leader() {
            let back = self.until(self.stage.now, 0.05, 1.0);
            self.kill_server(leader, false, back);
        }
        let until = self.until(self.stage.now, 0.5, 2.0);
        note!(self.stage, "FAULT: nothing of process {process} passes until {until:?}");
        for server in 0..SERVERS {
            self.stage.network.block(process, server, UP, until);
        }
    }
}
