//! An ensemble of ZooKeeper servers, as far as its clients can tell.
//!
//! ```text
//!   client ──▶ its server ──petition──▶ leader server ──propose──▶ followers
//!                                             ▲                       │
//!                                             └──────── ack ──────────┘
//!              its server ◀── commit ── leader server: a majority has it
//!   client ◀── events, then the reply, once its own server has applied it
//! ```
//!
//! A write is ordered by the leader server and commits with a majority. Reads are answered by the client's own server
//! from what it has applied. The leader server alone expires sessions; it hears of a follower's sessions when that
//! answers its pings, every half tick, and when a client connects. Requests that a follower forwards tell it nothing.
//! Links between servers keep the order. They stand still for a while, within what the lease assumes, or are cut; a
//! server that is cut off serves reads until the sync limit is over, and so does a leader server without followers, which
//! also answers a sync as long as it has ordered nothing.
//!
//! What it takes from ZooKeeper that is not to be expected, each in its own file:
//!
//! - [`tracker`]: a session looks alive until it is its turn in the bucket that is being closed; a session has the timeout
//!   of the connection that it was last heard of over, and with a new leader server that of its creation.
//! - [`processors`]: taking a session up makes the server its owner, from which requests are taken; it overtakes the
//!   session's own requests, and happens however late, with or without a client that waits for it.
//! - [`standstill`]: a server that stands still carries out later what it was sent.
//! - [`server`]: reads are answered on a connection whose session has moved on.
//!
//! Left out: servers that lose what they had written, observers, changes of the ensemble's members. Electing a leader and
//! bringing a server up to date takes no time once they talk.

mod election;
mod leader;
mod links;
mod processors;
mod server;
mod standstill;
mod tracker;
mod words;

use std::time::Duration;

use self::leader::Leading;
use self::links::Link;
use self::server::Server;
pub(super) use self::words::Message;
use self::words::{Entry, Origin, Petition, Wish, Word};
use super::network::{Down, Up};
use super::settings::{LATEST_PING, SERVERS};
use super::stage::{Happening, Stage, note};
use super::time::Instant;
use zookeeper_embedded::SessionId;
use zookeeper_embedded::replica::{Body, Code, ConnectionId, Replica, Transaction};

/// The session of those who change the tree from outside. It never expires.
pub(super) const OPERATOR: SessionId = SessionId::from_raw(-1);

pub(super) struct Ensemble {
    servers: [Server; SERVERS],
    /// From each server to each other.
    links: [[Link; SERVERS]; SERVERS],
    /// How many terms there were: a term is the time for which a follower follows a leader.
    terms: u64,
    sessions: i64,
    /// How many entries of the log some server has applied.
    applied: usize,
}

/// What a server does.
enum Role {
    /// It looks for a leader, and serves nobody.
    Looking,
    Following(Following),
    Leading(Leading),
}

struct Following {
    leader: usize,
    term: u64,
    heard: Instant,
}

impl Ensemble {
    pub(super) fn new(stage: &mut Stage) -> Self {
        let mut ensemble = Self {
            servers: stage.settings.bounds.map(Server::new),
            links: Default::default(),
            terms: 0,
            sessions: 0,
            applied: 0,
        };
        for server in 0..SERVERS {
            ensemble.start(stage, server);
        }
        ensemble.look(stage, 0);
        ensemble.operate(stage, Transaction::Open(OPERATOR, Duration::ZERO));
        ensemble
    }

    /// Starts a server that is not running.
    pub(super) fn start(&mut self, stage: &mut Stage, server: usize) {
        let this = &mut self.servers[server];
        if !this.running {
            note!(stage, "server {server} starts");
            this.running = true;
            this.life += 1;
            self.wait_half_a_tick(stage, server);
        }
    }

    /// Kills a server. Its clients and the other servers hear of it, unless it is the whole machine that dies.
    pub(super) fn kill(&mut self, stage: &mut Stage, server: usize, silently: bool) {
        if self.servers[server].running {
            note!(stage, "server {server} is killed{}", if silently { " with its machine" } else { "" });
            if !silently {
                self.tell_everyone_to_go(stage, server);
            }
            self.retire(stage, server, silently);
            self.close_sockets(stage, server, silently);
            self.servers[server].running = false;
        }
    }

    /// A message between servers arrives.
    pub(super) fn hear(
        &mut self,
        stage: &mut Stage,
        from: usize,
        to: usize,
        sent: Instant,
        message: Message,
    ) {
        let this = &mut self.servers[to];
        if this.running
            && self.links[from][to].lost_until.is_none_or(|until| sent > until)
            && let Some(message) = this.sockets.keep_word(from, message)
        {
            self.listen(stage, from, to, message);
        }
    }

    fn listen(&mut self, stage: &mut Stage, from: usize, to: usize, message: Message) {
        let Message { term, body } = message;
        match &mut self.servers[to].role {
            Role::Leading(leading) => {
                let member = leading.members[from].as_mut().filter(|member| member.term == term);
                if let Some(member) = member {
                    member.heard = stage.now;
                    self.on_word_to_leader(stage, to, from, body);
                }
            }
            Role::Following(following) if following.leader == from && following.term == term => {
                following.heard = stage.now;
                self.on_word_of_leader(stage, to, body);
            }
            Role::Following(_) | Role::Looking => {}
        }
    }

    fn on_word_of_leader(&mut self, stage: &mut Stage, server: usize, word: Word) {
        match word {
            Word::Ping => {
                let heard = std::mem::take(&mut self.servers[server].heard);
                let heard =
                    heard.into_iter().map(|(session, timeout)| (SessionId::from_raw(session), timeout));
                self.send_to_leader(stage, server, Word::Heard(heard.collect()));
                self.attend(stage, server);
            }
            Word::Propose(entry) => {
                let log = &mut self.servers[server].log;
                log.push(entry);
                let length = log.len();
                self.send_to_leader(stage, server, Word::Ack(length));
            }
            Word::Commit(length) => self.apply(stage, server, length),
            Word::Resumed { origin, session, valid } => {
                self.servers[server].resumed(stage, origin.connection, session, valid);
            }
            Word::Synced(origin) => {
                self.servers[server].finish(stage, origin.connection, origin.xid, Ok(Body::Synced(None)));
            }
            Word::Moved(origin) => self.servers[server].close(stage, origin.connection),
            Word::Dropped => self.leave(stage, server),
            Word::Petition(_) | Word::Heard(_) | Word::Ack(_) => unreachable!("said to leaders"),
        }
    }

    fn send_to_leader(&mut self, stage: &mut Stage, server: usize, body: Word) {
        if let Some(Following { leader, term, .. }) = self.servers[server].following() {
            let (leader, message) = (*leader, Message { term: *term, body });
            self.send(stage, server, leader, message);
        }
    }

    /// Half a tick is over: leaders ping, and everybody looks who has fallen silent.
    pub(super) fn half_tick(&mut self, stage: &mut Stage, server: usize, life: u32) {
        let this = &mut self.servers[server];
        if !this.running || this.life != life || this.sockets.keep_tick() {
            return;
        }
        let patience = stage.settings.tick * stage.settings.sync_limit;
        match &this.role {
            Role::Looking => self.look(stage, server),
            Role::Following(following) if stage.now > following.heard + patience => {
                note!(stage, "server {server} gives its leader up");
                self.leave(stage, server);
            }
            Role::Following(_) => {}
            Role::Leading(_) => self.ping(stage, server, patience),
        }
        self.wait_half_a_tick(stage, server);
    }

    fn wait_half_a_tick(&mut self, stage: &mut Stage, server: usize) {
        let life = self.servers[server].life;
        let late = 1.0 + LATEST_PING * stage.rng.f64();
        let half = (stage.settings.tick / 2).mul_f64(late);
        stage.later(half, Happening::HalfTick { server, life });
    }

    /// A packet from a client arrives.
    pub(super) fn receive(&mut self, stage: &mut Stage, connection: ConnectionId, packet: Up) {
        let Some(server) = stage.network.server(connection) else {
            return;
        };
        let this = &mut self.servers[server];
        if !this.running {
            if !matches!(packet, Up::Close) {
                stage.send_down(connection, Down::Closed);
            }
        } else if let Some(packet) = this.sockets.keep_packet(connection, packet) {
            self.take_in(stage, server, connection, packet);
        }
    }

    fn take_in(&mut self, stage: &mut Stage, server: usize, connection: ConnectionId, packet: Up) {
        let this = &mut self.servers[server];
        if let Role::Looking = this.role {
            if !matches!(packet, Up::Close) {
                stage.send_down(connection, Down::Closed);
            }
            return;
        }
        if let Up::Request { .. } = packet
            && let Some((session, timeout)) = this.session_of(connection)
        {
            match &mut this.role {
                Role::Leading(leading) => leading.tracker.touch(session, timeout, stage.now),
                _ => drop(this.heard.insert(session.raw(), timeout)),
            }
        }
        if let Some(petition) = this.receive(stage, server, connection, packet) {
            self.process(stage, server, petition);
        }
    }

    /// Applies the log up to this length.
    fn apply(&mut self, stage: &mut Stage, server: usize, length: usize) {
        while self.servers[server].applied < length {
            let entry = self.servers[server].log[self.servers[server].applied].clone();
            let deletions = leader::deletions(&self.servers[server].replica, &entry.transaction);
            let result = self.servers[server].apply_next(stage);
            if self.servers[server].applied > self.applied {
                self.applied = self.servers[server].applied;
                note!(stage, "committed: {}", server::describe(&entry.transaction, &result));
                let replica = &self.servers[server].replica;
                let done = deletions.into_iter().filter(|it| replica.stat(&it.path).is_none());
                done.for_each(|deletion| stage.referee.deleted(&deletion, stage.now));
            }
            if let Some(origin) = entry.origin
                && origin.server == server
            {
                match (&entry.transaction, result) {
                    (Transaction::Open(session, _), _) => {
                        self.servers[server].attach(stage, origin.connection, *session);
                    }
                    (_, result) => self.servers[server].finish(stage, origin.connection, origin.xid, result),
                }
            }
        }
    }

    /// Proposes a change that comes from outside, if there is a leader server that can commit it.
    pub(super) fn operate(&mut self, stage: &mut Stage, transaction: Transaction) {
        if let Some(leader) = self.leader() {
            self.propose(stage, leader, None, transaction);
        }
    }

    /// The server that leads the majority, if any.
    pub(super) fn leader(&self) -> Option<usize> {
        (0..SERVERS).find(|server| self.servers[*server].leads_majority())
    }

    /// What the leader server has applied, or, without one, whoever has applied most.
    pub(super) fn truth(&self) -> &Replica {
        let furthest = || (0..SERVERS).max_by_key(|server| self.servers[*server].applied).unwrap_or(0);
        &self.servers[self.leader().unwrap_or_else(furthest)].replica
    }

    /// The server has no leader any more: it lets go of everything that has to do with clients.
    fn retire(&mut self, stage: &mut Stage, server: usize, silently: bool) {
        let this = &mut self.servers[server];
        this.role = Role::Looking;
        this.heard.clear();
        this.queue.clear();
        for connection in this.drop_clients() {
            if !silently {
                stage.send_down(connection, Down::Closed);
            }
        }
    }

    fn leave(&mut self, stage: &mut Stage, server: usize) {
        if !matches!(self.servers[server].role, Role::Looking) {
            note!(stage, "server {server} looks for a leader");
            self.retire(stage, server, false);
        }
    }
}

/// What a petition or an entry of the log comes to.
type Outcome = Result<Body, Code>;

/// How many servers are a majority.
const fn majority() -> usize {
    SERVERS / 2 + 1
}
