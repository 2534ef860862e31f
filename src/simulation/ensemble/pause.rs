//! Servers that are paused as a whole, as with SIGSTOP, and resumed.
//!
//! During the pause the kernel accepts connections and buffers packets. Once the server is resumed, and follows or
//! leads again, it executes those packets, even of clients that have given up. The order is kept on each connection,
//! but not between connections.
//!
//! The assumption of the lease holds: between the reply to one request and the forwarding of a later one, a follower
//! replies to a ping of the leader server. So a resumed server reads from clients only after that. For the same reason,
//! a leader server is never paused, but its links stall for a bounded time.

use std::time::Duration;

use super::Ensemble;
use super::role::Role;
use super::sockets::Reading;
use crate::simulation::event::WorldEvent;
use crate::simulation::messages::{Message, MessageBody};
use crate::simulation::network::Down;
use crate::simulation::world::{World, trace};
use zookeeper_embedded::replica::ConnectionId;

impl Ensemble {
    /// Pauses a server, unless it leads, does not run, or is paused already. Returns the life with which it can be
    /// resumed.
    pub(in crate::simulation) fn pause_server(&mut self, world: &mut World, server: usize) -> Option<u32> {
        let this = &mut self.servers[server];
        if !this.running || this.leading().is_some() || this.sockets.is_paused() {
            return None;
        }
        trace!(world, "FAULT: server {server} is paused");
        this.sockets.reading = Reading::Nothing;
        Some(this.life)
    }

    /// Resumes a server, unless it was killed in the meantime.
    pub(in crate::simulation) fn resume(&mut self, world: &mut World, server: usize, life: u32) {
        let this = &mut self.servers[server];
        if this.life != life || !this.sockets.is_paused() {
            return;
        }
        trace!(world, "server {server} is resumed");
        this.sockets.reading = Reading::ServersOnly;
        if std::mem::take(&mut this.sockets.ticked) {
            self.wait_half_a_tick(world, server);
        }
        // The threads that pass on requests may be late, too.
        if world.rng.bool() {
            let behind = world.between(world.settings.tick / 1000, world.settings.tick / 4);
            self.hold_queue(world, server, world.now + behind);
        }
        while let Some((from, message)) = self.servers[server].sockets.from_servers.pop_front() {
            self.handle_message(world, from, server, message);
        }
        self.release_queue(world, server);
        if matches!(self.servers[server].role, Role::Looking) && world.rng.bool() {
            self.read_clients(world, server);
        }
    }

    /// A server has heard from its leader server, or leads. It reads what clients have sent, each connection in its own
    /// time.
    pub(super) fn read_clients(&mut self, world: &mut World, server: usize) {
        let this = &mut self.servers[server];
        if this.sockets.reading != Reading::ServersOnly {
            return;
        }
        this.sockets.reading = Reading::Everything;
        let life = this.life;
        let unread: Vec<ConnectionId> = this.sockets.from_clients.keys().copied().collect();
        for connection in unread {
            let after = if world.rng.bool() { Duration::ZERO } else { world.latency() };
            world.schedule(after, WorldEvent::ReadSocket { server, life, connection });
        }
    }

    /// A server reads what a client has sent.
    pub(in crate::simulation) fn read(
        &mut self,
        world: &mut World,
        server: usize,
        life: u32,
        connection: ConnectionId,
    ) {
        let this = &mut self.servers[server];
        if this.life != life || this.sockets.reading != Reading::Everything {
            return;
        }
        for packet in this.sockets.from_clients.remove(&connection).unwrap_or_default() {
            trace!(world, "server {server} reads from connection {connection}: {packet:?}");
            self.handle_packet(world, server, connection, packet);
        }
    }

    /// The server is killed: its unread packets are lost, and connected clients are told.
    pub(super) fn close_sockets(&mut self, world: &mut World, server: usize, silently: bool) {
        let sockets = std::mem::take(&mut self.servers[server].sockets);
        for connection in sockets.from_clients.into_keys().filter(|_| !silently) {
            world.send_down(connection, Down::Closed);
        }
    }

    /// A message between leader server and follower may be lost, so the follower looks for a leader server again, once
    /// it is not paused.
    pub(super) fn lose_leader(&mut self, world: &mut World, follower: usize) {
        let this = &mut self.servers[follower];
        match this.following() {
            Some(following) if this.sockets.is_paused() => {
                let (leader, term) = (following.leader, following.term);
                this.sockets.from_servers.push_back((leader, Message { term, body: MessageBody::Dropped }));
            }
            _ => self.look_for_leader(world, follower),
        }
    }
}
