//! The leader server: orders writes, commits them with a majority, and expires sessions.

use std::rc::Rc;
use std::time::Duration;

use super::Ensemble;
use super::role::{Member, Role};
use super::transactions::session_of;
use crate::simulation::messages::{ForwardedRequest, LogEntry, Message, MessageBody, Operation, ReplyTo};
use crate::simulation::settings::{MAJORITY, SERVERS};
use crate::simulation::time::Instant;
use crate::simulation::world::{World, trace};
use crate::types;
use zookeeper_embedded::SessionId;
use zookeeper_embedded::replica::{Body, Transaction};

impl Ensemble {
    pub(super) fn on_message_to_leader(
        &mut self,
        world: &mut World,
        leader: usize,
        from: usize,
        word: MessageBody,
    ) {
        let Role::Leading(leading) = &mut self.servers[leader].role else {
            return;
        };
        match word {
            MessageBody::Forward(request) => self.process(world, leader, request),
            MessageBody::PingReply(sessions) => {
                let touch = |(session, timeout)| leading.tracker.touch(session, timeout, world.now);
                sessions.into_iter().for_each(touch);
            }
            MessageBody::Ack(length) => {
                if let Some(member) = &mut leading.members[from] {
                    member.acked = length;
                }
                self.commit(world, leader);
            }
            _ => unreachable!("sent to followers only"),
        }
    }

    pub(super) fn handle_request(&mut self, world: &mut World, leader: usize, request: ForwardedRequest) {
        let ForwardedRequest { reply_to, operation } = request;
        let Role::Leading(leading) = &mut self.servers[leader].role else {
            return;
        };
        match operation {
            Operation::Open(timeout) => {
                self.sessions += 1;
                let session = SessionId::from_raw(self.sessions);
                leading.tracker.track(session, timeout, Some(reply_to.server), world.now);
                self.propose(world, leader, Some(reply_to), Transaction::Open(session, timeout));
            }
            Operation::Revalidate(session, timeout) => {
                let valid = leading.tracker.revalidate(session, timeout, reply_to.server, world.now);
                trace!(world, "session {session} resumes at server {}: {valid}", reply_to.server);
                if reply_to.server == leader {
                    self.servers[leader].resumed(world, reply_to.connection, session, valid);
                } else {
                    self.tell(
                        world,
                        leader,
                        reply_to.server,
                        MessageBody::Revalidated { reply_to, session, valid },
                    );
                }
            }
            Operation::Transact(transaction) => {
                let session = session_of(&transaction);
                if leading.tracker.is_owner(session, reply_to.server) {
                    if let Transaction::Close(_) = transaction {
                        leading.tracker.forget(session);
                    }
                    self.propose(world, leader, Some(reply_to), transaction);
                } else {
                    trace!(world, "server {leader} refuses a request of session {session}, which has moved");
                    if reply_to.server == leader {
                        self.servers[leader].close(world, reply_to.connection);
                    } else {
                        self.tell(world, leader, reply_to.server, MessageBody::Moved(reply_to));
                    }
                }
            }
            Operation::Sync => {
                let server = &self.servers[leader];
                if server.applied == server.log.len() {
                    self.synced(world, leader, reply_to);
                } else if let Role::Leading(leading) = &mut self.servers[leader].role {
                    leading.syncs.push((self.servers[leader].log.len(), reply_to));
                }
            }
        }
    }

    pub(super) fn propose(
        &mut self,
        world: &mut World,
        leader: usize,
        reply_to: Option<ReplyTo>,
        transaction: Transaction,
    ) {
        let entry = Rc::new(LogEntry { at: world.now, reply_to, transaction });
        self.servers[leader].log.push(entry.clone());
        for follower in 0..SERVERS {
            self.tell(world, leader, follower, MessageBody::Propose(entry.clone()));
        }
    }

    /// Sends a message to a server, if it is a follower.
    fn tell(&mut self, world: &mut World, leader: usize, follower: usize, body: MessageBody) {
        if let Some(leading) = self.servers[leader].leading()
            && let Some(Member { term, .. }) = leading.members[follower]
        {
            self.send(world, leader, follower, Message { term, body });
        }
    }

    /// Commits the entries that a majority has.
    pub(super) fn commit(&mut self, world: &mut World, leader: usize) {
        let Some(leading) = self.servers[leader].leading() else {
            return;
        };
        let mut lengths: Vec<usize> = leading.members.iter().flatten().map(|member| member.acked).collect();
        lengths.push(self.servers[leader].log.len());
        lengths.sort_unstable_by(|a, b| b.cmp(a));
        let Some(length) = lengths.get(MAJORITY - 1).copied() else {
            return;
        };
        if length <= self.servers[leader].applied {
            return;
        }
        self.apply(world, leader, length);
        for follower in 0..SERVERS {
            self.tell(world, leader, follower, MessageBody::Commit(length));
        }
        if let Role::Leading(leading) = &mut self.servers[leader].role {
            let done: Vec<_> = leading.syncs.extract_if(.., |(upto, _)| *upto <= length).collect();
            done.into_iter().for_each(|(_, reply_to)| self.synced(world, leader, reply_to));
        }
    }

    fn synced(&mut self, world: &mut World, leader: usize, reply_to: ReplyTo) {
        if reply_to.server == leader {
            self.servers[leader].finish(world, reply_to.connection, reply_to.xid, Ok(Body::Synced(None)));
        } else {
            self.tell(world, leader, reply_to.server, MessageBody::Synced(reply_to));
        }
    }

    /// Pings the followers, and drops those that have been silent for too long.
    pub(super) fn ping(&mut self, world: &mut World, leader: usize, patience: Duration) {
        for follower in 0..SERVERS {
            self.tell(world, leader, follower, MessageBody::Ping);
            if let Role::Leading(leading) = &mut self.servers[leader].role
                && leading.members[follower].is_some_and(|member| world.now > member.heard + patience)
            {
                trace!(world, "server {leader} drops follower {follower}");
                self.tell(world, leader, follower, MessageBody::Dropped);
                if let Role::Leading(leading) = &mut self.servers[leader].role {
                    leading.members[follower] = None;
                }
            }
        }
        if self.servers[leader].leading().is_some_and(|leading| !leading.has_majority()) {
            self.look_for_leader(world, leader);
        }
    }

    /// When a session expires if the leader server of a majority does not hear of it again.
    pub(in crate::simulation) fn expires(&self, session: types::SessionId) -> Option<Instant> {
        self.servers[self.leader()?].leading()?.tracker.expires(SessionId::from_raw(session.raw()))
    }

    /// The next instant at which a session expires.
    pub(in crate::simulation) fn deadline(&self) -> Option<Instant> {
        self.servers.iter().filter_map(|server| server.leading()?.tracker.next()).min()
    }

    /// Closes the sessions that have expired.
    pub(in crate::simulation) fn expire(&mut self, world: &mut World) {
        for server in 0..SERVERS {
            while let Role::Leading(leading) = &mut self.servers[server].role
                && let Some(session) = leading.tracker.take_expired(world.now, &mut world.rng)
            {
                trace!(world, "server {server} closes session {session}, which has expired");
                self.propose(world, server, None, Transaction::Close(session));
            }
        }
    }

    /// Tells the followers that they are dropped, if the server leads.
    pub(super) fn drop_followers(&mut self, world: &mut World, leader: usize) {
        for follower in 0..SERVERS {
            self.tell(world, leader, follower, MessageBody::Dropped);
        }
    }
}
