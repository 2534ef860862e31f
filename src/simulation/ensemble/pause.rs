//! Servers that stand still as a whole, as with SIGSTOP, and go on.
//!
//! Meanwhile the kernel accepts connections and takes in what is sent. When the server goes on, it carries that out, be it
//! of clients that have given up long ago: if it is still a follower, or once it is one again. The order is kept on each
//! connection, and not between them.
//!
//! What the lease assumes holds all the same: between the answer to one request and the passing on of a later one a
//! follower answers a ping of the leader server. So clients are listened to when that has been done. For the same reason
//! a leader server does not stand still for longer than its links may.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::super::network::{Down, Up};
use super::super::stage::{Happening, Stage, note};
use super::{Ensemble, Message, Role, Word};
use zookeeper_embedded::replica::ConnectionId;

/// What a server has to read.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    attention: Attention,
    from_servers: VecDeque<(usize, Message)>,
    from_clients: BTreeMap<ConnectionId, VecDeque<Up>>,
    /// The server's clock has ticked.
    ticked: bool,
}

/// Whom a server listens to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Attention {
    #[default]
    Everybody,
    /// It has gone on, and its threads for clients have not, until the leader server has been answered.
    Servers,
    /// It stands still.
    Nobody,
}

impl Sockets {
    pub(super) fn stands_still(&self) -> bool {
        self.attention == Attention::Nobody
    }

    /// Leaves a server's word unread, if the time has not come for it.
    pub(super) fn keep_word(&mut self, from: usize, message: Message) -> Option<Message> {
        if self.stands_still() {
            self.from_servers.push_back((from, message));
            return None;
        }
        Some(message)
    }

    /// Leaves a client's packet unread, if the time has not come for it.
    pub(super) fn keep_packet(&mut self, connection: ConnectionId, packet: Up) -> Option<Up> {
        if self.attention != Attention::Everybody || self.from_clients.contains_key(&connection) {
            self.from_clients.entry(connection).or_default().push_back(packet);
            return None;
        }
        Some(packet)
    }

    /// Puts off half a tick, if the server stands still.
    pub(super) fn keep_tick(&mut self) -> bool {
        self.ticked |= self.stands_still();
        self.stands_still()
    }

    /// The server has closed a connection: what was not read of it is lost.
    pub(super) fn close(&mut self, connection: ConnectionId) {
        self.from_clients.remove(&connection);
    }
}

impl Ensemble {
    /// A server stands still, unless it leads, does not run, or stands still already; tells with which number it
    /// can be made to go on.
    pub(in super::super) fn stand_still(&mut self, stage: &mut Stage, server: usize) -> Option<u32> {
        let this = &mut self.servers[server];
        if !this.running || this.leading().is_some() || this.sockets.stands_still() {
            return None;
        }
        note!(stage, "FAULT: server {server} stands still");
        this.sockets.attention = Attention::Nobody;
        Some(this.life)
    }

    /// A server goes on, unless it was killed in the meantime.
    pub(in super::super) fn go_on(&mut self, stage: &mut Stage, server: usize, life: u32) {
        let this = &mut self.servers[server];
        if this.life != life || !this.sockets.stands_still() {
            return;
        }
        note!(stage, "server {server} goes on");
        this.sockets.attention = Attention::Servers;
        if std::mem::take(&mut this.sockets.ticked) {
            self.wait_half_a_tick(stage, server);
        }
        // The threads that pass requests on may be behind, too.
        if stage.rng.bool() {
            let behind = stage.between(stage.settings.tick / 1000, stage.settings.tick / 4);
            self.stick(stage, server, stage.now + behind);
        }
        while let Some((from, message)) = self.servers[server].sockets.from_servers.pop_front() {
            self.listen(stage, from, server, message);
        }
        self.unstick(stage, server);
        if matches!(self.servers[server].role, Role::Looking) && stage.rng.bool() {
            self.attend(stage, server);
        }
    }

    /// A server has heard its leader, or is its own: it reads what clients have sent, each connection in its own time.
    pub(super) fn attend(&mut self, stage: &mut Stage, server: usize) {
        let this = &mut self.servers[server];
        if this.sockets.attention != Attention::Servers {
            return;
        }
        this.sockets.attention = Attention::Everybody;
        let life = this.life;
        let unread: Vec<ConnectionId> = this.sockets.from_clients.keys().copied().collect();
        for connection in unread {
            let after = if stage.rng.bool() { Duration::ZERO } else { stage.latency() };
            stage.later(after, Happening::Read { server, life, connection });
        }
    }

    /// A server reads what a client has sent.
    pub(in super::super) fn read(
        &mut self,
        stage: &mut Stage,
        server: usize,
        life: u32,
        connection: ConnectionId,
    ) {
        let this = &mut self.servers[server];
        if this.life != life || this.sockets.attention != Attention::Everybody {
            return;
        }
        for packet in this.sockets.from_clients.remove(&connection).unwrap_or_default() {
            note!(stage, "server {server} reads of connection {connection}: {packet:?}");
            self.take_in(stage, server, connection, packet);
        }
    }

    /// The server is killed: what it has not read is lost, and those who are connected hear of it.
    pub(super) fn close_sockets(&mut self, stage: &mut Stage, server: usize, silently: bool) {
        let sockets = std::mem::take(&mut self.servers[server].sockets);
        for connection in sockets.from_clients.into_keys().filter(|_| !silently) {
            stage.send_down(connection, Down::Closed);
        }
    }

    /// Something of what the leader server has said is lost: whoever follows it begins anew, as soon as it can.
    pub(super) fn lose_leader(&mut self, stage: &mut Stage, follower: usize) {
        let this = &mut self.servers[follower];
        match this.following() {
            Some(following) if this.sockets.stands_still() => {
                let (leader, term) = (following.leader, following.term);
                this.sockets.from_servers.push_back((leader, Message { term, body: Word::Dropped }));
            }
            _ => self.leave(stage, follower),
        }
    }
}
