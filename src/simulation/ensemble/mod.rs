//! An ensemble of ZooKeeper servers, as its clients see it.
//!
//! ```text
//!   client ──▶ its server ──request──▶ leader server ──propose──▶ followers
//!                                             ▲                       │
//!                                             └──────── ack ──────────┘
//!              its server ◀── commit ── leader server: a majority has it
//!   client ◀── events, then the reply, once its own server has applied it
//! ```
//!
//! The leader server orders a write, and the write commits with a majority. A client's own server answers reads from
//! its applied state. Only the leader server expires sessions. It hears of a follower's sessions when the follower
//! replies to its pings, every half tick, and when a client connects. Requests that a follower forwards do not count.
//! Links between servers keep the order of messages. They stall, within the limit that the lease assumes, or are cut. A
//! server that is cut off serves reads until the sync limit is over. So does a leader server without followers, which
//! also answers a sync while its whole log is committed.
//!
//! Unexpected properties of ZooKeeper, each in its own file:
//!
//! - [`tracker`]: in a bucket that is being closed, a session looks alive until its turn. A session has the timeout of
//!   the connection over which it was last heard of, and with a new leader server that of its creation.
//! - [`processors`]: a resumed session belongs to its new server, and only requests from the owner are executed. A
//!   resume overtakes the session's own requests. It takes effect however late it is, also when no client waits for it.
//! - [`pause`]: a resumed server executes the packets that arrived during its pause.
//! - [`server`]: reads are answered on a connection whose session has moved to another.
//!
//! Left out: servers that lose written data, observers, changes of the ensemble's members. Once servers can talk,
//! electing a leader server and bringing a server up to date takes no time.

mod election;
mod leader;
mod links;
mod pause;
mod processors;
mod role;
mod server;
mod sockets;
mod tracker;
mod transactions;

use std::time::Duration;

use self::links::Links;
use self::role::{Following, Role};
use self::server::Server;
use self::transactions::{deletions, describe, is_done};
use super::event::WorldEvent;
use super::invariants::guarded_writes;
use super::messages::{Message, MessageBody};
use super::network::{Down, Up};
use super::settings::{LATEST_PING, OPERATOR, SERVERS};
use super::time::Instant;
use super::world::{World, trace};
use crate::types;
use zookeeper_embedded::SessionId;
use zookeeper_embedded::replica::{Body, ConnectionId, Replica, Transaction};

pub(super) struct Ensemble {
    servers: [Server; SERVERS],
    links: Links,
    /// The number of terms so far. A term is the time for which a follower follows a leader server.
    terms: u64,
    sessions: i64,
    /// The number of log entries that some server has applied.
    applied: usize,
}

impl Ensemble {
    pub(super) fn new(world: &mut World) -> Self {
        let mut ensemble = Self {
            servers: world.settings.bounds.map(Server::new),
            links: Links::default(),
            terms: 0,
            sessions: 0,
            applied: 0,
        };
        for server in 0..SERVERS {
            ensemble.start(world, server);
        }
        ensemble.look(world, 0);
        ensemble.operate(world, Transaction::Open(OPERATOR, Duration::ZERO));
        ensemble
    }

    /// Starts a server that is not running.
    pub(super) fn start(&mut self, world: &mut World, server: usize) {
        let this = &mut self.servers[server];
        if !this.running {
            trace!(world, "server {server} starts");
            this.running = true;
            this.life += 1;
            self.wait_half_a_tick(world, server);
        }
    }

    /// Kills a server. Its clients and the other servers are told, unless its whole machine dies.
    pub(super) fn kill(&mut self, world: &mut World, server: usize, silently: bool) {
        if self.servers[server].running {
            trace!(world, "server {server} is killed{}", if silently { " with its machine" } else { "" });
            if !silently {
                self.drop_followers(world, server);
            }
            self.stop_serving(world, server, silently);
            self.close_sockets(world, server, silently);
            self.servers[server].running = false;
        }
    }

    /// A message between servers arrives.
    pub(super) fn deliver(
        &mut self,
        world: &mut World,
        from: usize,
        to: usize,
        sent: Instant,
        message: Message,
    ) {
        let this = &mut self.servers[to];
        if this.running
            && !self.links.has_lost(sent, from, to)
            && let Some(message) = this.sockets.defer_message(from, message)
        {
            self.handle_message(world, from, to, message);
        }
    }

    fn handle_message(&mut self, world: &mut World, from: usize, to: usize, message: Message) {
        let Message { term, body } = message;
        match &mut self.servers[to].role {
            Role::Leading(leading) => {
                let member = leading.members[from].as_mut().filter(|member| member.term == term);
                if let Some(member) = member {
                    member.heard = world.now;
                    self.on_message_to_leader(world, to, from, body);
                }
            }
            Role::Following(following) if following.leader == from && following.term == term => {
                following.heard = world.now;
                self.on_message_from_leader(world, to, body);
            }
            Role::Following(_) | Role::Looking => {}
        }
    }

    fn on_message_from_leader(&mut self, world: &mut World, server: usize, body: MessageBody) {
        match body {
            MessageBody::Ping => {
                let heard = std::mem::take(&mut self.servers[server].heard);
                let heard =
                    heard.into_iter().map(|(session, timeout)| (SessionId::from_raw(session), timeout));
                self.send_to_leader(world, server, MessageBody::PingReply(heard.collect()));
                self.read_clients(world, server);
            }
            MessageBody::Propose(entry) => {
                let log = &mut self.servers[server].log;
                log.push(entry);
                let length = log.len();
                self.send_to_leader(world, server, MessageBody::Ack(length));
            }
            MessageBody::Commit(length) => self.apply(world, server, length),
            MessageBody::Revalidated { reply_to, session, valid } => {
                self.servers[server].resumed(world, reply_to.connection, session, valid);
            }
            MessageBody::Synced(reply_to) => {
                self.servers[server].finish(world, reply_to.connection, reply_to.xid, Ok(Body::Synced(None)));
            }
            MessageBody::Moved(reply_to) => self.servers[server].close(world, reply_to.connection),
            MessageBody::Dropped => self.look_for_leader(world, server),
            MessageBody::Forward(_) | MessageBody::PingReply(_) | MessageBody::Ack(_) => {
                unreachable!("sent to leader servers only")
            }
        }
    }

    fn send_to_leader(&mut self, world: &mut World, server: usize, body: MessageBody) {
        if let Some(Following { leader, term, .. }) = self.servers[server].following() {
            let (leader, message) = (*leader, Message { term: *term, body });
            self.send(world, server, leader, message);
        }
    }

    fn send(&mut self, world: &mut World, from: usize, to: usize, message: Message) {
        let latency = world.latency();
        if let Some(arrival) = self.links.arrival(world.now, latency, from, to) {
            world.queue.push(arrival, WorldEvent::ServerMessage { from, to, sent: world.now, message });
        }
    }

    /// Half a tick has passed: a leader server pings, and each server checks which others are silent.
    pub(super) fn half_tick(&mut self, world: &mut World, server: usize, life: u32) {
        let this = &mut self.servers[server];
        if !this.running || this.life != life || this.sockets.defer_tick() {
            return;
        }
        let patience = world.settings.tick * world.settings.sync_limit;
        match &this.role {
            Role::Looking => self.look(world, server),
            Role::Following(following) if world.now > following.heard + patience => {
                trace!(world, "server {server} gives up its leader server");
                self.look_for_leader(world, server);
            }
            Role::Following(_) => {}
            Role::Leading(_) => self.ping(world, server, patience),
        }
        self.wait_half_a_tick(world, server);
    }

    fn wait_half_a_tick(&mut self, world: &mut World, server: usize) {
        let life = self.servers[server].life;
        let late = 1.0 + LATEST_PING * world.rng.f64();
        let half = (world.settings.tick / 2).mul_f64(late);
        world.schedule(half, WorldEvent::HalfTick { server, life });
    }

    /// A packet from a client arrives.
    pub(super) fn receive(&mut self, world: &mut World, connection: ConnectionId, packet: Up) {
        let Some(server) = world.network.server(connection) else {
            return;
        };
        let this = &mut self.servers[server];
        if !this.running {
            if !matches!(packet, Up::Close) {
                world.send_down(connection, Down::Closed);
            }
        } else if let Some(packet) = this.sockets.defer_packet(connection, packet) {
            self.handle_packet(world, server, connection, packet);
        }
    }

    fn handle_packet(&mut self, world: &mut World, server: usize, connection: ConnectionId, packet: Up) {
        let this = &mut self.servers[server];
        if let Role::Looking = this.role {
            if !matches!(packet, Up::Close) {
                world.send_down(connection, Down::Closed);
            }
            return;
        }
        if let Up::Request { .. } = packet
            && let Some((session, timeout)) = this.session_of(connection)
        {
            match &mut this.role {
                Role::Leading(leading) => leading.tracker.touch(session, timeout, world.now),
                _ => drop(this.heard.insert(session.raw(), timeout)),
            }
        }
        if let Some(request) = this.receive(world, server, connection, packet) {
            self.process(world, server, request);
        }
    }

    /// Applies the log up to this length.
    fn apply(&mut self, world: &mut World, server: usize, length: usize) {
        while self.servers[server].applied < length {
            let entry = self.servers[server].log[self.servers[server].applied].clone();
            let deletions = deletions(&self.servers[server].replica, &entry.transaction);
            let result = self.servers[server].apply_next(world);
            if self.servers[server].applied > self.applied {
                self.applied = self.servers[server].applied;
                trace!(world, "committed: {}", describe(&entry.transaction, &result));
                let replica = &self.servers[server].replica;
                let done = deletions.into_iter().filter(|it| replica.stat(&it.path).is_none());
                done.for_each(|deletion| world.checker.deleted(&deletion, world.now));
                if let (Transaction::Close(session), Some(_)) = (&entry.transaction, entry.reply_to) {
                    world.checker.closed(types::SessionId::from_raw(session.raw()));
                }
                let elections = world.settings.elections.len();
                let written = guarded_writes::written(&entry.transaction, elections);
                if let Some((election, token)) = written.filter(|_| is_done(&result)) {
                    world.checker.written(election, token);
                }
            }
            if let Some(reply_to) = entry.reply_to
                && reply_to.server == server
            {
                match (&entry.transaction, result) {
                    (Transaction::Open(session, _), _) => {
                        self.servers[server].attach(world, reply_to.connection, *session);
                    }
                    (_, result) => {
                        self.servers[server].finish(world, reply_to.connection, reply_to.xid, result)
                    }
                }
            }
            // After the reply, because the client may have closed the session.
            if let Transaction::Close(session) = entry.transaction {
                self.servers[server].close_session(world, session);
            }
        }
    }

    /// Proposes a transaction of an operator, if there is a leader server that can commit it.
    pub(super) fn operate(&mut self, world: &mut World, transaction: Transaction) {
        if let Some(leader) = self.leader() {
            self.propose(world, leader, None, transaction);
        }
    }

    /// The server that leads the majority, if any.
    pub(super) fn leader(&self) -> Option<usize> {
        (0..SERVERS).find(|server| self.servers[*server].leads_majority())
    }

    /// The tree of the server that has applied most.
    pub(super) fn truth(&self) -> &Replica {
        let furthest = (0..SERVERS).max_by_key(|server| self.servers[*server].applied).unwrap_or(0);
        &self.servers[furthest].replica
    }

    /// Cuts the link from one server to another.
    pub(super) fn cut(&mut self, now: Instant, from: usize, to: usize) {
        self.links.cut(now, from, to);
    }

    /// Ends one cut. Because messages may have been lost, the follower at one end starts a new term.
    pub(super) fn mend(&mut self, world: &mut World, from: usize, to: usize) {
        self.links.mend(from, to);
        for (leader, follower) in [(from, to), (to, from)] {
            if let Some(following) = self.servers[follower].following()
                && following.leader == leader
            {
                self.lose_leader(world, follower);
            }
            if let Role::Leading(leading) = &mut self.servers[leader].role {
                leading.members[follower] = None;
            }
        }
    }

    pub(super) fn is_stalled(&self, now: Instant, from: usize, to: usize) -> bool {
        self.links.is_stalled(now, from, to)
    }

    /// Delays the messages from one server to another until then.
    pub(super) fn stall(&mut self, from: usize, to: usize, until: Instant) {
        self.links.stall(from, to, until);
    }

    /// The server no longer has a leader server: it drops its clients and their requests.
    fn stop_serving(&mut self, world: &mut World, server: usize, silently: bool) {
        let this = &mut self.servers[server];
        this.role = Role::Looking;
        this.heard.clear();
        this.queue.clear();
        for connection in this.drop_clients() {
            if !silently {
                world.send_down(connection, Down::Closed);
            }
        }
    }

    fn look_for_leader(&mut self, world: &mut World, server: usize) {
        if !matches!(self.servers[server].role, Role::Looking) {
            trace!(world, "server {server} looks for a leader server");
            self.stop_serving(world, server, false);
        }
    }
}
