//! One server: its log, its replica, and the clients that are connected to it.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use super::role::{Following, Leading, Role};
use super::sockets::Sockets;
use super::transactions::TransactionResult;
use crate::simulation::messages::{ForwardedRequest, LogEntry, Operation, ReplyTo};
use crate::simulation::network::{Down, Up};
use crate::simulation::settings::Bounds;
use crate::simulation::time::Instant;
use crate::simulation::world::{World, trace};
use zookeeper_embedded::SessionId;
use zookeeper_embedded::replica::{ConnectionId, Replica, Request, Told, Transaction};

pub(super) struct Server {
    pub(super) running: bool,
    /// The number of starts.
    pub(super) life: u32,
    pub(super) role: Role,
    /// The last change of the leader server that it took part in.
    pub(super) epoch: u32,
    pub(super) log: Vec<Rc<LogEntry>>,
    /// The number of log entries that are known to be committed, and applied.
    pub(super) applied: usize,
    pub(super) replica: Replica,
    /// The sessions that it has heard of since the leader server's last ping.
    pub(super) heard: BTreeMap<i64, Duration>,
    /// The requests on their way through the server.
    pub(super) queue: VecDeque<ForwardedRequest>,
    pub(super) held_until: Instant,
    pub(super) sockets: Sockets,
    bounds: Bounds,
    served: BTreeMap<ConnectionId, ServedClient>,
}

/// A client, as its server sees it.
struct ServedClient {
    session: Option<SessionId>,
    /// The session timeout that was negotiated over this connection.
    timeout: Duration,
    /// The requests without a reply. Replies keep the order of requests.
    queue: VecDeque<PendingReply>,
}

enum PendingReply {
    Read {
        xid: i32,
        request: Request,
    },
    /// The leader server has it.
    Waiting {
        xid: i32,
    },
    Done {
        xid: i32,
        result: TransactionResult,
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
            held_until: Instant::ZERO,
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

    /// The rank in the election of the leader server.
    pub(super) fn knowledge(&self) -> (u32, usize) {
        (self.epoch, self.log.len())
    }

    /// The session of a connection, and the session timeout that was negotiated over it.
    pub(super) fn session_of(&self, connection: ConnectionId) -> Option<(SessionId, Duration)> {
        let served = self.served.get(&connection)?;
        Some((served.session?, served.timeout))
    }

    /// Handles a packet, and returns the request for the leader server, if any.
    pub(super) fn receive(
        &mut self,
        world: &mut World,
        server: usize,
        connection: ConnectionId,
        packet: Up,
    ) -> Option<ForwardedRequest> {
        match packet {
            Up::Close => {
                self.forget(connection);
                None
            }
            // The client has seen a later state than this server has, so it tries another server.
            Up::Connect { seen, .. } if seen > self.replica.zxid() => {
                world.send_down(connection, Down::Closed);
                None
            }
            Up::Connect { session, timeout, .. } => {
                let timeout = self.bounds.negotiate(timeout);
                // Packets over another connection of the session are outdated.
                if let Some(session) = session {
                    self.close_session(world, session);
                }
                self.served
                    .insert(connection, ServedClient { session: None, timeout, queue: VecDeque::new() });
                let operation = match session {
                    Some(session) => Operation::Revalidate(session, timeout),
                    None => Operation::Open(timeout),
                };
                Some(ForwardedRequest { reply_to: ReplyTo { server, connection, xid: 0 }, operation })
            }
            Up::Request { xid, request } => {
                let served = self.served.get_mut(&connection)?;
                let session = served.session?;
                let operation = match request {
                    Request::Write(write) => Operation::Transact(Transaction::Write(session, write)),
                    Request::Multi(writes) => Operation::Transact(Transaction::Multi(session, writes)),
                    Request::CloseSession => Operation::Transact(Transaction::Close(session)),
                    Request::Sync { .. } => Operation::Sync,
                    read => {
                        served.queue.push_back(PendingReply::Read { xid, request: read });
                        self.drain(world, connection);
                        return None;
                    }
                };
                served.queue.push_back(PendingReply::Waiting { xid });
                Some(ForwardedRequest { reply_to: ReplyTo { server, connection, xid }, operation })
            }
        }
    }

    /// A write or a sync has completed.
    pub(super) fn finish(
        &mut self,
        world: &mut World,
        connection: ConnectionId,
        xid: i32,
        result: TransactionResult,
    ) {
        let Some(served) = self.served.get_mut(&connection) else {
            return;
        };
        let waiting =
            |pending: &&mut PendingReply| matches!(pending, PendingReply::Waiting { xid: it } if *it == xid);
        if let Some(pending) = served.queue.iter_mut().find(waiting) {
            *pending = PendingReply::Done { xid, result };
        }
        self.drain(world, connection);
    }

    /// Sends the replies that are ready.
    fn drain(&mut self, world: &mut World, connection: ConnectionId) {
        while let Some(served) = self.served.get_mut(&connection) {
            let (xid, result) = match served.queue.pop_front() {
                Some(PendingReply::Done { xid, result }) => (xid, result),
                Some(PendingReply::Read { xid, request }) => {
                    let mut told = Vec::new();
                    let result = self.replica.read(connection, request, &mut told);
                    tell(world, told);
                    (xid, result)
                }
                Some(waiting @ PendingReply::Waiting { .. }) => return served.queue.push_front(waiting),
                None => return,
            };
            world.send_down(connection, Down::Reply { xid, zxid: self.replica.zxid(), result });
        }
    }

    /// The leader server has decided whether a session can be resumed.
    pub(super) fn resumed(
        &mut self,
        world: &mut World,
        connection: ConnectionId,
        session: SessionId,
        valid: bool,
    ) {
        if valid {
            self.attach(world, connection, session);
        } else if self.served.contains_key(&connection) {
            world.send_down(connection, Down::Expired);
            self.forget(connection);
        }
    }

    /// A connection has its session.
    pub(super) fn attach(&mut self, world: &mut World, connection: ConnectionId, session: SessionId) {
        if let Some(served) = self.served.get_mut(&connection) {
            served.session = Some(session);
            world.send_down(connection, Down::Connected(session, served.timeout));
        }
    }

    pub(super) fn close_session(&mut self, world: &mut World, session: SessionId) {
        let of_session = |(_, served): &(&ConnectionId, &ServedClient)| served.session == Some(session);
        let connections: Vec<ConnectionId> =
            self.served.iter().filter(of_session).map(|(connection, _)| *connection).collect();
        connections.into_iter().for_each(|connection| self.close(world, connection));
    }

    /// Applies the next entry of the log, and sends the events. The caller sends the reply.
    pub(super) fn apply_next(&mut self, world: &mut World) -> TransactionResult {
        let entry = self.log[self.applied].clone();
        self.applied += 1;
        let mut told = Vec::new();
        let result = self.replica.apply(entry.at, &entry.transaction, &mut told);
        tell(world, told);
        result
    }

    pub(super) fn close(&mut self, world: &mut World, connection: ConnectionId) {
        if self.served.contains_key(&connection) {
            self.forget(connection);
            world.send_down(connection, Down::Closed);
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

fn tell(world: &mut World, told: Vec<Told>) {
    for (connection, event) in told {
        trace!(world, "connection {connection}: event {:?} {}", event.kind, event.path);
        world.send_down(connection, Down::Event(event));
    }
}
