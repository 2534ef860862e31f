//! The leader server: orders writes, commits them with a majority, and knows when sessions expire.

use std::rc::Rc;
use std::time::Duration;

use super::super::invariants::Deletion;
use super::super::settings::SERVERS;
use super::super::stage::{Stage, note};
use super::super::time::Instant;
use super::tracker::Tracker;
use super::{Ensemble, Entry, Message, Origin, Petition, Role, Wish, Word, majority};
use crate::types::{self, FencingToken};
use zookeeper_embedded::SessionId;
use zookeeper_embedded::replica::{Action, Body, Replica, Transaction, Write};

pub(super) struct Leading {
    pub(super) members: [Option<Member>; SERVERS],
    pub(super) tracker: Tracker,
    /// Syncs that wait until the log is committed up to a length.
    syncs: Vec<(usize, Origin)>,
}

/// A follower, as its leader knows it.
#[derive(Clone, Copy)]
pub(super) struct Member {
    pub(super) term: u64,
    pub(super) heard: Instant,
    /// How much of the log it has.
    pub(super) acked: usize,
}

impl Leading {
    pub(super) fn new(tracker: Tracker) -> Self {
        Self { members: [None; SERVERS], tracker, syncs: Vec::new() }
    }

    pub(super) fn has_majority(&self) -> bool {
        self.members.iter().flatten().count() + 1 >= majority()
    }
}

impl Ensemble {
    pub(super) fn on_word_to_leader(&mut self, stage: &mut Stage, leader: usize, from: usize, word: Word) {
        let Role::Leading(leading) = &mut self.servers[leader].role else {
            return;
        };
        match word {
            Word::Petition(petition) => self.process(stage, leader, petition),
            Word::Heard(sessions) => {
                let touch = |(session, timeout)| leading.tracker.touch(session, timeout, stage.now);
                sessions.into_iter().for_each(touch);
            }
            Word::Ack(length) => {
                if let Some(member) = &mut leading.members[from] {
                    member.acked = length;
                }
                self.commit(stage, leader);
            }
            _ => unreachable!("said to followers"),
        }
    }

    pub(super) fn on_petition(&mut self, stage: &mut Stage, leader: usize, petition: Petition) {
        let Petition { origin, wish } = petition;
        let Role::Leading(leading) = &mut self.servers[leader].role else {
            return;
        };
        match wish {
            Wish::Open(timeout) => {
                self.sessions += 1;
                let session = SessionId::from_raw(self.sessions);
                leading.tracker.track(session, timeout, Some(origin.server), stage.now);
                self.propose(stage, leader, Some(origin), Transaction::Open(session, timeout));
            }
            Wish::Resume(session, timeout) => {
                let valid = leading.tracker.take_up(session, timeout, origin.server, stage.now);
                note!(stage, "session {session} is at server {}: {valid}", origin.server);
                if origin.server == leader {
                    self.servers[leader].resumed(stage, origin.connection, session, valid);
                } else {
                    self.tell(stage, leader, origin.server, Word::Resumed { origin, session, valid });
                }
            }
            Wish::Transact(transaction) => {
                let session = session_of(&transaction);
                if leading.tracker.admits(session, origin.server) {
                    self.propose(stage, leader, Some(origin), transaction);
                } else {
                    note!(stage, "server {leader} refuses a request of session {session}, which has moved");
                    if origin.server == leader {
                        self.servers[leader].close(stage, origin.connection);
                    } else {
                        self.tell(stage, leader, origin.server, Word::Moved(origin));
                    }
                }
            }
            Wish::Sync => {
                let server = &self.servers[leader];
                if server.applied == server.log.len() {
                    self.synced(stage, leader, origin);
                } else if let Role::Leading(leading) = &mut self.servers[leader].role {
                    leading.syncs.push((self.servers[leader].log.len(), origin));
                }
            }
        }
    }

    pub(super) fn propose(
        &mut self,
        stage: &mut Stage,
        leader: usize,
        origin: Option<Origin>,
        transaction: Transaction,
    ) {
        let entry = Rc::new(Entry { at: stage.now, origin, transaction });
        self.servers[leader].log.push(entry.clone());
        for follower in 0..SERVERS {
            self.tell(stage, leader, follower, Word::Propose(entry.clone()));
        }
    }

    /// Tells a follower something, if it is one.
    fn tell(&mut self, stage: &mut Stage, leader: usize, follower: usize, body: Word) {
        if let Some(leading) = self.servers[leader].leading()
            && let Some(Member { term, .. }) = leading.members[follower]
        {
            self.send(stage, leader, follower, Message { term, body });
        }
    }

    /// Commits what a majority has.
    pub(super) fn commit(&mut self, stage: &mut Stage, leader: usize) {
        let Some(leading) = self.servers[leader].leading() else {
            return;
        };
        let mut lengths: Vec<usize> = leading.members.iter().flatten().map(|member| member.acked).collect();
        lengths.push(self.servers[leader].log.len());
        lengths.sort_unstable_by(|a, b| b.cmp(a));
        let Some(length) = lengths.get(majority() - 1).copied() else {
            return;
        };
        if length <= self.servers[leader].applied {
            return;
        }
        self.apply(stage, leader, length);
        for follower in 0..SERVERS {
            self.tell(stage, leader, follower, Word::Commit(length));
        }
        if let Role::Leading(leading) = &mut self.servers[leader].role {
            let done: Vec<_> = leading.syncs.extract_if(.., |(upto, _)| *upto <= length).collect();
            done.into_iter().for_each(|(_, origin)| self.synced(stage, leader, origin));
        }
    }

    fn synced(&mut self, stage: &mut Stage, leader: usize, origin: Origin) {
        if origin.server == leader {
            self.servers[leader].finish(stage, origin.connection, origin.xid, Ok(Body::Synced(None)));
        } else {
            self.tell(stage, leader, origin.server, Word::Synced(origin));
        }
    }

    /// Pings the followers, and lets go of those that have been silent for too long.
    pub(super) fn ping(&mut self, stage: &mut Stage, leader: usize, patience: Duration) {
        for follower in 0..SERVERS {
            self.tell(stage, leader, follower, Word::Ping);
            if let Role::Leading(leading) = &mut self.servers[leader].role
                && leading.members[follower].is_some_and(|member| stage.now > member.heard + patience)
            {
                note!(stage, "server {leader} drops follower {follower}");
                self.tell(stage, leader, follower, Word::Dropped);
                if let Role::Leading(leading) = &mut self.servers[leader].role {
                    leading.members[follower] = None;
                }
            }
        }
        if self.servers[leader].leading().is_some_and(|leading| !leading.has_majority()) {
            self.leave(stage, leader);
        }
    }

    /// When a session expires, if there is a leader server that commits that, and it hears no more of it.
    pub(in super::super) fn expires(&self, session: types::SessionId) -> Option<Instant> {
        self.servers[self.leader()?].leading()?.tracker.expires(SessionId::from_raw(session.raw()))
    }

    /// The next instant at which a session expires.
    pub(in super::super) fn deadline(&self) -> Option<Instant> {
        self.servers.iter().filter_map(|server| server.leading()?.tracker.next()).min()
    }

    /// Lets sessions expire whose time is over.
    pub(in super::super) fn expire(&mut self, stage: &mut Stage) {
        for server in 0..SERVERS {
            while let Role::Leading(leading) = &mut self.servers[server].role
                && let Some(session) = leading.tracker.take_expired(stage.now, &mut stage.rng)
            {
                note!(stage, "server {server} closes session {session}, which has expired");
                self.propose(stage, server, None, Transaction::Close(session));
            }
        }
    }

    /// The last words of a leader, or nothing.
    pub(super) fn tell_everyone_to_go(&mut self, stage: &mut Stage, leader: usize) {
        for follower in 0..SERVERS {
            self.tell(stage, leader, follower, Word::Dropped);
        }
    }
}

fn session_of(transaction: &Transaction) -> SessionId {
    match transaction {
        Transaction::Close(session)
        | Transaction::Open(session, _)
        | Transaction::Write(session, _)
        | Transaction::Multi(session, _) => *session,
    }
}

/// The znodes that a transaction deletes, if it can be carried out.
pub(super) fn deletions(replica: &Replica, transaction: &Transaction) -> Vec<Deletion> {
    let writes = match transaction {
        Transaction::Write(_, write) => std::slice::from_ref(write),
        Transaction::Multi(_, writes) => writes,
        Transaction::Open(..) | Transaction::Close(_) => return Vec::new(),
    };
    let deleting = writes.iter().filter(|write| matches!(write.action, Action::Delete { .. }));
    let deletion = |write: &Write| {
        let path = write.path.clone()?;
        let stat = replica.stat(&path)?;
        let (token, owner) =
            (FencingToken::from_zxid(stat.czxid), types::SessionId::from_raw(stat.ephemeral_owner));
        let by = types::SessionId::from_raw(session_of(transaction).raw());
        Some(Deletion { path, token, owner, by })
    };
    deleting.filter_map(deletion).collect()
}
