//! A server's replica of an ensemble's data, for the simulation of ensembles: the tree and the watches of an
//! `Engine`, to which committed transactions are applied.
//!
//! The open sessions are part of the data. The caller decides when they expire, and manages time, connections and
//! clients.

use std::collections::BTreeMap;
use std::time::Duration;

pub use crate::engine::connection_id::ConnectionId;
pub use crate::protocol::acl::anyone;
pub use crate::protocol::code::Code;
pub use crate::protocol::reply::{Body, Event, EventKind, Outcome, Stat};
pub use crate::protocol::request::{Action, CreateAnswer, Request, SetWatches, Write, create};

use crate::engine::Engine;
use crate::engine::output::{Message, Output};
use crate::engine::watches::Watches;
use crate::session_id::SessionId;

/// A watch event, and the connection that it is sent to.
pub type Told = (ConnectionId, Event);

/// A change of an ensemble's data, as the members agree on it.
#[derive(Clone, Debug)]
pub enum Transaction {
    /// Opens a session with this negotiated timeout.
    Open(SessionId, Duration),
    /// Closes a session, and deletes its ephemeral znodes.
    Close(SessionId),
    /// A write of a session.
    Write(SessionId, Write),
    /// Several writes of a session: either all of them succeed or none has an effect.
    Multi(SessionId, Vec<Write>),
}

/// A replica of an ensemble's data. Replicas that have applied the same transactions in the same order are equal.
#[derive(Clone, Debug)]
pub struct Replica {
    engine: Engine,
    /// The open sessions, with the timeouts that they were opened with.
    alive: BTreeMap<i64, Duration>,
}

impl Default for Replica {
    fn default() -> Self {
        Self::new()
    }
}

impl Replica {
    /// The replica of a new ensemble.
    pub fn new() -> Self {
        let engine = Engine::new(Duration::from_secs(1), 0, SessionId::from_raw(1), 0);
        Self { engine, alive: BTreeMap::new() }
    }

    /// The last applied transaction.
    pub fn zxid(&self) -> i64 {
        self.engine.zxid()
    }

    /// Applies a transaction, and appends the events of this replica's watches to `told`.
    ///
    /// A failed transaction takes a zxid too.
    ///
    /// # Errors
    ///
    /// The error code of a failed write; `RUNTIME_INCONSISTENCY` if the session is not open.
    pub fn apply(
        &mut self,
        at: Duration,
        transaction: &Transaction,
        told: &mut Vec<Told>,
    ) -> Result<Body, Code> {
        // Not registered, so without identities: the simulation's ACLs grant everything to every client.
        let no_client = ConnectionId::new(0);
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
                self.engine.write(at, no_client, *session, write.clone(), &mut out)
            }
            Transaction::Multi(session, writes) => {
                self.engine.multi(at, no_client, *session, writes.clone(), &mut out)
            }
        };
        told.extend(events(out));
        result
    }

    /// Handles a request that is not a write, and appends the events of watches that it fires to `told`.
    ///
    /// # Errors
    ///
    /// The error code of a failed read.
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

    /// Forgets a connection and its watches.
    pub fn closed(&mut self, connection: ConnectionId) {
        self.engine.closed(connection);
    }

    /// Whether a session is open in this replica.
    pub fn is_alive(&self, session: SessionId) -> bool {
        self.alive.contains_key(&session.raw())
    }

    /// The open sessions, with the timeouts that they were opened with.
    pub fn alive(&self) -> impl Iterator<Item = (SessionId, Duration)> {
        self.alive.iter().map(|(id, timeout)| (SessionId::from_raw(*id), *timeout))
    }

    /// The stat of the znode at a path, if the znode exists.
    pub fn stat(&self, path: &str) -> Option<Stat> {
        self.engine.tree.node(path).map(|node| node.stat())
    }

    /// The names of a znode's children; empty if the znode does not exist.
    pub fn children(&self, path: &str) -> Vec<String> {
        self.engine.tree.node(path).map(|node| node.children()).unwrap_or_default()
    }

    /// A copy of the data without watches, for another server, or for one whose clients are all disconnected.
    pub fn without_clients(&self) -> Self {
        let mut replica = self.clone();
        replica.engine.watches = Watches::default();
        replica
    }
}

fn events(out: Vec<Output>) -> impl Iterator<Item = Told> {
    out.into_iter().filter_map(|Output { to, message }| match message {
        Message::Event(event) => Some((to, event)),
        _ => None,
    })
}
