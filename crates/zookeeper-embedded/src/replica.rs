//! A replica of an ensemble's data: the tree and the watches of an [`Engine`], to which committed transactions are
//! applied. Which sessions there are is part of the data here; when they expire is the ensemble's business, and so
//! is everything that has to do with time, links and clients. For the simulation of ensembles.

use std::collections::BTreeMap;
use std::time::Duration;

pub use crate::acl::Asked;
pub use crate::code::Code;
pub use crate::engine::ConnectionId;
pub use crate::reply::{Body, Event, EventKind, Outcome, Stat};
pub use crate::request::{Action, CreateAnswer, Request, SetWatches, Write, create};

use crate::acl;
use crate::engine::{Engine, Message, Output};
use crate::session_id::SessionId;

/// An event of a watch, and the connection that left it.
pub type Told = (ConnectionId, Event);

/// What an ensemble agrees on.
#[derive(Clone, Debug)]
pub enum Transaction {
    /// With the session timeout that was negotiated.
    Open(SessionId, Duration),
    Close(SessionId),
    Write(SessionId, Write),
    Multi(SessionId, Vec<Write>),
}

/// What a server knows of the ensemble's data. Replicas that have applied the same transactions in the same order
/// have the same data.
#[derive(Clone, Debug)]
pub struct Replica {
    engine: Engine,
    /// The sessions that are alive, with the session timeouts of their creation.
    alive: BTreeMap<i64, Duration>,
}

impl Replica {
    /// The data of a new ensemble.
    pub fn new() -> Self {
        let engine = Engine::new(Duration::from_secs(1), 0, SessionId::from_raw(1), 0);
        Self { engine, alive: BTreeMap::new() }
    }

    /// The last transaction that was applied.
    pub fn zxid(&self) -> i64 {
        self.engine.zxid()
    }

    /// Applies a transaction; whatever its result, it takes a zxid. Puts out the events of this replica's connections.
    pub fn apply(
        &mut self,
        at: Duration,
        transaction: &Transaction,
        told: &mut Vec<Told>,
    ) -> Result<Body, Code> {
        // Of no client in particular: the ACLs are open.
        let nobody = ConnectionId::new(0);
        let mut out = Vec::new();
        let result = match transaction {
            Transaction::Open(session, timeout) => {
                self.engine.next_stamp(at);
                self.alive.insert(session.raw(), *timeout);
                Ok(Body::Empty)
            }
            Transaction::Close(session) => {
                let stamp = self.engine.next_stamp(at);
                self.alive.remove(&session.raw());
                let ephemerals: Vec<String> =
                    self.engine.tree.ephemerals(*session).map(str::to_owned).collect();
                for path in ephemerals {
                    self.engine.delete(&path, stamp, &mut out);
                }
                Ok(Body::Empty)
            }
            Transaction::Write(session, _) | Transaction::Multi(session, _) if !self.is_alive(*session) => {
                self.engine.next_stamp(at);
                Err(Code::RUNTIME_INCONSISTENCY)
            }
            Transaction::Write(session, write) => {
                self.engine.write(at, nobody, *session, write.clone(), &mut out)
            }
            Transaction::Multi(session, writes) => {
                self.engine.multi(at, nobody, *session, writes.clone(), &mut out)
            }
        };
        told.extend(events(out));
        result
    }

    /// Answers a request that is no write.
    pub fn read(
        &mut self,
        connection: ConnectionId,
        request: Request,
        told: &mut Vec<Told>,
    ) -> Result<Body, Code> {
        let mut out = Vec::new();
        let result = self.engine.read(connection, SessionId::from_raw(0), request, &mut out);
        told.extend(events(out));
        result
    }

    /// A connection is gone, and its watches with it.
    pub fn closed(&mut self, connection: ConnectionId) {
        self.engine.closed(connection);
    }

    /// Whether a session has been opened and not closed, as far as this replica knows.
    pub fn is_alive(&self, session: SessionId) -> bool {
        self.alive.contains_key(&session.raw())
    }

    /// The sessions that are alive, with the session timeouts of their creation.
    pub fn alive(&self) -> impl Iterator<Item = (SessionId, Duration)> {
        self.alive.iter().map(|(id, timeout)| (SessionId::from_raw(*id), *timeout))
    }

    /// The znode at a path, if there is one.
    pub fn stat(&self, path: &str) -> Option<Stat> {
        self.engine.tree.node(path).map(|node| node.stat())
    }

    /// The names of a znode's children; none if it does not exist.
    pub fn children(&self, path: &str) -> Vec<String> {
        self.engine.tree.node(path).map(|node| node.children()).unwrap_or_default()
    }

    /// The same data, for another server, or for one that has lost all of its clients.
    pub fn without_clients(&self) -> Self {
        let mut replica = self.clone();
        replica.engine.watches = crate::watches::Watches::default();
        replica
    }
}

/// An entry of an ACL that lets everybody do everything.
pub fn anyone() -> Asked {
    Asked { permissions: acl::ALL, scheme: Some("world".into()), id: Some("anyone".into()) }
}

fn events(out: Vec<Output>) -> impl Iterator<Item = Told> {
    out.into_iter().filter_map(|Output { to, message }| match message {
        Message::Event(event) => Some((to, event)),
        _ => None,
    })
}
