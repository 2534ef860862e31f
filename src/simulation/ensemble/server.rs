//! One server: its part of the log, its replica, and the clients that it serves.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use super::super::network::{Down, Up};
use super::super::settings::Bounds;
use super::super::stage::{Stage, note};
use super::super::time::Instant;
use super::leader::Leading;
use super::standstill::Sockets;
use super::{Entry, Following, Origin, Outcome, Petition, Role, Wish};
use zookeeper_embedded::SessionId;
use zookeeper_embedded::replica::{Action, Body, ConnectionId, Replica, Request, Told, Transaction};

pub(super) struct Server {
    pub(super) running: bool,
    /// How often it was started.
    pub(super) life: u32,
    pub(super) role: Role,
    /// The last change of the leader that it took part in.
    pub(super) epoch: u32,
    pub(super) log: Vec<Rc<Entry>>,
    /// How much of the log is committed, as far as it knows, and applied.
    pub(super) applied: usize,
    pub(super) replica: Replica,
    /// The sessions that it has heard of since the leader's last ping.
    pub(super) heard: BTreeMap<i64, Duration>,
    /// What is on its way through the server.
    pub(super) queue: VecDeque<Petition>,
    pub(super) stuck_until: Instant,
    pub(super) sockets: Sockets,
    bounds: Bounds,
    served: BTreeMap<ConnectionId, Served>,
}

/// A client, as its server knows it.
struct Served {
    session: Option<SessionId>,
    /// The session timeout that was negotiated over this connection.
    timeout: Duration,
    /// Requests that have not been answered: answers keep their order.
    queue: VecDeque<Queued>,
}

enum Queued {
    Read {
        xid: i32,
        request: Request,
    },
    /// It is with the leader server.
    Waiting {
        xid: i32,
    },
    Done {
        xid: i32,
        result: Outcome,
    },
}

impl Server {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            running: false,
            life: 0,
            role: Role::Looking,
            epoch: 0,
            log: Vec::new(),
            applied: 0,
            replica: Replica::new(),
            heard: BTreeMap::new(),
            queue: VecDeque::new(),
            stuck_until: Instant::ZERO,
            sockets: Sockets::default(),
            bounds,
            served: BTreeMap::new(),
        }
    }

    pub(super) fn leading(&self) -> Option<&Leading> {
        match &self.role {
            Role::Leading(leading) => Some(leading),
            _ => None,
        }
    }

    pub(super) fn following(&self) -> Option<&Following> {
        match &self.role {
            Role::Following(following) => Some(following),
            _ => None,
        }
    }

    pub(super) fn leads_majority(&self) -> bool {
        self.leading().is_some_and(Leading::has_majority)
    }

    /// What decides who becomes leader.
    pub(super) fn knowledge(&self) -> (u32, usize) {
        (self.epoch, self.log.len())
    }

    /// The session of a connection, and the session timeout that counts there.
    pub(super) fn session_of(&self, connection: ConnectionId) -> Option<(SessionId, Duration)> {
        let served = self.served.get(&connection)?;
        Some((served.session?, served.timeout))
    }

    /// Takes a packet, and returns what the leader server has to do.
    pub(super) fn receive(
        &mut self,
        stage: &mut Stage,
        server: usize,
        connection: ConnectionId,
        packet: Up,
    ) -> Option<Petition> {
        match packet {
            Up::Close => {
                self.forget(connection);
                None
            }
            // Whoever has seen more than this server finds another.
            Up::Connect { seen, .. } if seen > self.replica.zxid() => {
                stage.send_down(connection, Down::Closed);
                None
            }
            Up::Connect { session, timeout, .. } => {
                let timeout = self.bounds.negotiate(timeout);
                // Whatever comes over another connection of the session is late.
                if let Some(session) = session {
                    self.close_session(stage, session);
                }
                self.served.insert(connection, Served { session: None, timeout, queue: VecDeque::new() });
                let wish = match session {
                    Some(session) => Wish::Resume(session, timeout),
                    None => Wish::Open(timeout),
                };
                Some(Petition { origin: Origin { server, connection, xid: 0 }, wish })
            }
            Up::Request { xid, request } => {
                let served = self.served.get_mut(&connection)?;
                let session = served.session?;
                let wish = match request {
                    Request::Write(write) => Wish::Transact(Transaction::Write(session, write)),
                    Request::Multi(writes) => Wish::Transact(Transaction::Multi(session, writes)),
                    Request::Sync { .. } => Wish::Sync,
                    read => {
                        served.queue.push_back(Queued::Read { xid, request: read });
                        self.drain(stage, connection);
                        return None;
                    }
                };
                served.queue.push_back(Queued::Waiting { xid });
                Some(Petition { origin: Origin { server, connection, xid }, wish })
            }
        }
    }

    /// A write or a sync is done.
    pub(super) fn finish(&mut self, stage: &mut Stage, connection: ConnectionId, xid: i32, result: Outcome) {
        let Some(served) = self.served.get_mut(&connection) else {
            return;
        };
        let waiting = |queued: &&mut Queued| matches!(queued, Queued::Waiting { xid: it } if *it == xid);
        if let Some(queued) = served.queue.iter_mut().find(waiting) {
            *queued = Queued::Done { xid, result };
        }
        self.drain(stage, connection);
    }

    /// Answers what can be answered.
    fn drain(&mut self, stage: &mut Stage, connection: ConnectionId) {
        while let Some(served) = self.served.get_mut(&connection) {
            let (xid, result) = match served.queue.pop_front() {
                Some(Queued::Done { xid, result }) => (xid, result),
                Some(Queued::Read { xid, request }) => {
                    let mut told = Vec::new();
                    let result = self.replica.read(connection, request, &mut told);
                    tell(stage, told);
                    (xid, result)
                }
                Some(waiting @ Queued::Waiting { .. }) => return served.queue.push_front(waiting),
                None => return,
            };
            stage.send_down(connection, Down::Reply { xid, zxid: self.replica.zxid(), result });
        }
    }

    /// The leader server has said whether a session can be taken up.
    pub(super) fn resumed(
        &mut self,
        stage: &mut Stage,
        connection: ConnectionId,
        session: SessionId,
        valid: bool,
    ) {
        if valid {
            self.attach(stage, connection, session);
        } else if self.served.contains_key(&connection) {
            stage.send_down(connection, Down::Expired);
            self.forget(connection);
        }
    }

    /// A client has its session.
    pub(super) fn attach(&mut self, stage: &mut Stage, connection: ConnectionId, session: SessionId) {
        if let Some(served) = self.served.get_mut(&connection) {
            served.session = Some(session);
            stage.send_down(connection, Down::Connected(session, served.timeout));
        }
    }

    fn close_session(&mut self, stage: &mut Stage, session: SessionId) {
        let of_session = |(_, served): &(&ConnectionId, &Served)| served.session == Some(session);
        let connections: Vec<ConnectionId> =
            self.served.iter().filter(of_session).map(|(connection, _)| *connection).collect();
        connections.into_iter().for_each(|connection| self.close(stage, connection));
    }

    /// Applies the next entry of the log: events first, then whatever its origin is told.
    pub(super) fn apply_next(&mut self, stage: &mut Stage) -> Outcome {
        let entry = self.log[self.applied].clone();
        self.applied += 1;
        let mut told = Vec::new();
        let result = self.replica.apply(entry.at, &entry.transaction, &mut told);
        tell(stage, told);
        if let Transaction::Close(session) = entry.transaction {
            self.close_session(stage, session);
        }
        result
    }

    /// Closes a connection.
    pub(super) fn close(&mut self, stage: &mut Stage, connection: ConnectionId) {
        if self.served.contains_key(&connection) {
            self.forget(connection);
            stage.send_down(connection, Down::Closed);
        }
    }

    fn forget(&mut self, connection: ConnectionId) {
        self.served.remove(&connection);
        self.replica.closed(connection);
        self.sockets.close(connection);
    }

    /// Forgets all clients, and returns their connections.
    pub(super) fn drop_clients(&mut self) -> Vec<ConnectionId> {
        let connections: Vec<ConnectionId> = std::mem::take(&mut self.served).into_keys().collect();
        for connection in &connections {
            self.replica.closed(*connection);
            self.sockets.close(*connection);
        }
        connections
    }
}

fn tell(stage: &mut Stage, told: Vec<Told>) {
    for (connection, event) in told {
        note!(stage, "connection {connection} is told: {:?} {}", event.kind, event.path);
        stage.send_down(connection, Down::Event(event));
    }
}

/// A transaction and what came of it, in a few words.
pub(super) fn describe(transaction: &Transaction, result: &Outcome) -> String {
    let what = match transaction {
        Transaction::Open(session, timeout) => return format!("session {session} opens with {timeout:?}"),
        Transaction::Close(session) => return format!("session {session} ends"),
        Transaction::Write(session, write) => {
            let path = write.path.as_deref().unwrap_or_default();
            match (&write.action, result) {
                (Action::Create { .. }, Ok(Body::PathAndStat(path, stat))) => {
                    return format!("{session} creates {path} with {:#x}", stat.czxid);
                }
                (Action::Create { .. }, _) => format!("{session} creates {path}"),
                (Action::Delete { .. }, _) => format!("{session} deletes {path}"),
                _ => format!("{session} writes {path}"),
            }
        }
        Transaction::Multi(session, writes) => {
            let paths: Vec<&str> = writes.iter().filter_map(|write| write.path.as_deref()).collect();
            format!("{session} checks or changes {}", paths.join(" "))
        }
    };
    match result {
        Ok(_) => what,
        Err(code) => format!("{what}: {code:?}"),
    }
}
