//! A ZooKeeper server's handling of connections and requests. Pure: no sockets, clocks or tasks.
//!
//! ```text
//!  opened(connection)          ─┐                        ┌─ Connected: the response to a connect request
//!  connect(connection, request) │                        │  Reply: to a request
//!  request(connection, request) ├─► Engine ─► Output[] ──┤  Event: of a watch
//!  tick(), expire(session)      │                        ├─ Close: close the connection after earlier messages
//!  closed(connection)          ─┘                        └─ Cut: close the connection now
//! ```
//!
//! The caller sends the outputs in their order. Each call sees the changes of all earlier calls. The event of a write
//! comes before its reply, as ZooKeeper guarantees. Instants are durations since the server's start. After
//! [`Message::Close`] or [`Message::Cut`] the connection is unknown, and further requests on it are ignored.

mod access;
pub(crate) mod connection_id;
pub(crate) mod output;
mod path;
mod prep;
mod reads;
#[cfg(feature = "engine")]
pub mod replica;
#[cfg(test)]
mod scenarios;
pub(crate) mod sessions;
pub(crate) mod tree;
pub(crate) mod watches;
mod writes;

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::protocol::acl::{Acl, Id};
use crate::protocol::code::Code;
use crate::protocol::reply::{Body, ConnectResponse, Reply};
use crate::protocol::request::{ConnectRequest, Request};
use crate::session_id::SessionId;

use self::connection_id::ConnectionId;
use self::output::{Message, Output};
use self::sessions::{Session, Sessions};
use self::tree::{Stamp, Tree};
use self::watches::Watches;

/// The interval between two deletions of empty containers.
const CONTAINER_CHECK: Duration = Duration::from_secs(60);
/// The `xid` of a reply to a heartbeat.
const PING: i32 = -2;

/// The most identities that a connection can prove. Limited because each is compared with each entry of an ACL.
const MAX_IDS: usize = 1024;

/// The state of a server.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    pub(crate) tree: Tree,
    pub(crate) sessions: Sessions,
    pub(crate) watches: Watches,
    connections: HashMap<ConnectionId, Connection>,
    zxid: i64,
    /// The wall clock at the server's start, in milliseconds since 1970.
    started: i64,
    container_check: Duration,
    passwords: fastrand::Rng,
}

/// An open connection.
#[derive(Clone, Debug)]
struct Connection {
    address: IpAddr,
    /// The identities that the client has proven. The first is its address.
    ids: Vec<Id>,
    session: Option<SessionId>,
    timeout: Duration,
}

impl Engine {
    /// A new server, which has only ZooKeeper's own znodes.
    ///
    /// `started` is the wall clock in milliseconds since 1970. `first_session` is the id of the first session that is
    /// opened. The passwords of sessions are generated from `seed`.
    pub(crate) fn new(tick: Duration, started: i64, first_session: SessionId, seed: u64) -> Self {
        Self {
            tree: Tree::new(),
            sessions: Sessions::new(tick, first_session),
            watches: Watches::default(),
            connections: HashMap::new(),
            zxid: 0,
            started,
            container_check: CONTAINER_CHECK,
            passwords: fastrand::Rng::with_seed(seed),
        }
    }

    /// The last committed transaction.
    pub(crate) const fn zxid(&self) -> i64 {
        self.zxid
    }

    /// Registers a connection from this address.
    pub(crate) fn opened(&mut self, connection: ConnectionId, address: IpAddr) {
        let ids = vec![access::address_id(address)];
        let opened = Connection { address, ids, session: None, timeout: Duration::ZERO };
        self.connections.insert(connection, opened);
    }

    /// Whether a connection is registered and not closed.
    pub(crate) fn is_open(&self, connection: ConnectionId) -> bool {
        self.connections.contains_key(&connection)
    }

    /// The session that is used over a connection.
    pub(crate) fn session(&self, connection: ConnectionId) -> Option<SessionId> {
        self.connections.get(&connection)?.session
    }

    /// The negotiated session timeout of a connection; zero before the session is opened.
    pub(crate) fn timeout(&self, connection: ConnectionId) -> Duration {
        self.connections.get(&connection).map_or(Duration::ZERO, |connection| connection.timeout)
    }

    /// Forgets a connection and its watches. Its session stays alive.
    pub(crate) fn closed(&mut self, connection: ConnectionId) {
        self.watches.forget(connection);
        let session = self.connections.remove(&connection).and_then(|closed| closed.session);
        if let Some(session) = session.and_then(|session| self.sessions.find(session)) {
            session.connection = session.connection.filter(|current| *current != connection);
        }
    }

    /// Handles the first frame of a connection: opens a session, or resumes one.
    pub(crate) fn connect(
        &mut self,
        now: Duration,
        connection: ConnectionId,
        request: &ConnectRequest,
        out: &mut Vec<Output>,
    ) {
        let ConnectRequest { last_zxid, timeout, session, ref password, knows_read_only } = *request;
        if self.connections.get(&connection).is_none_or(|open| open.session.is_some()) {
            return;
        }
        if last_zxid > self.zxid {
            // This client has seen transactions of another server.
            return self.close(connection, out);
        }
        let timeout = self.sessions.negotiate(timeout);
        let (session, password) = if session.raw() == 0 {
            self.zxid += 1;
            let password = self.passwords.u128(..).to_be_bytes();
            (self.sessions.open(now, timeout, password, connection), password)
        } else if let Some(password) = self.resume(now, session, password, timeout, connection, out) {
            (session, password)
        } else {
            let expired = ConnectResponse::expired(knows_read_only);
            out.push(Output { to: connection, message: Message::Connected(expired) });
            return self.close(connection, out);
        };
        if let Some(connection) = self.connections.get_mut(&connection) {
            connection.session = Some(session);
            connection.timeout = timeout;
        }
        let timeout = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        let response = ConnectResponse { timeout, session, password, knows_read_only };
        out.push(Output { to: connection, message: Message::Connected(response) });
    }

    /// Moves a session to another connection if it is alive and the password is correct. As in ZooKeeper, the previous
    /// connection is closed even if the password is wrong.
    fn resume(
        &mut self,
        now: Duration,
        session: SessionId,
        password: &[u8],
        timeout: Duration,
        connection: ConnectionId,
        out: &mut Vec<Output>,
    ) -> Option<[u8; 16]> {
        if let Some(before) = self.sessions.find(session)?.connection.take() {
            self.cut(before, out);
        }
        let found = self.sessions.find(session).filter(|found| found.accepts(password))?;
        found.connection = Some(connection);
        let password = found.password();
        self.sessions.touch(session, now, timeout);
        Some(password)
    }

    /// Handles the request with this number; `None` stands for an unknown op code.
    pub(crate) fn request(
        &mut self,
        now: Duration,
        connection: ConnectionId,
        xid: i32,
        request: Option<Request>,
        out: &mut Vec<Output>,
    ) {
        let Some(Connection { session: Some(session), timeout, .. }) = self.connections.get(&connection)
        else {
            return;
        };
        let session = *session;
        self.sessions.touch(session, now, *timeout);
        let Some(request) = request else {
            let result = Err(Code::UNIMPLEMENTED);
            out.push(Output { to: connection, message: Message::Reply(Reply { xid, zxid: -1, result }) });
            return self.close(connection, out);
        };
        let (xid, result) = match request {
            Request::Ping => (PING, Ok(Body::Empty)),
            Request::Auth { scheme, credentials } => {
                return self.authenticate(connection, xid, &scheme, credentials.as_deref(), out);
            }
            Request::MalformedAuth => return self.close(connection, out),
            Request::Write(write) => (xid, self.write(now, connection, session, write, out)),
            Request::Multi(writes) => (xid, self.multi(now, connection, session, writes, out)),
            Request::Reconfig => {
                self.zxid += 1;
                (xid, Err(Code::RECONFIG_DISABLED))
            }
            Request::MalformedWrite => {
                self.zxid += 1;
                (xid, Err(Code::MARSHALLING_ERROR))
            }
            Request::CloseSession => {
                self.end(now, session, out);
                (xid, Ok(Body::Empty))
            }
            read => (xid, self.read(connection, session, read, out)),
        };
        out.push(Output { to: connection, message: Message::Reply(Reply { xid, zxid: self.zxid, result }) });
        if self.sessions.find(session).is_none() {
            self.close(connection, out);
        }
    }

    /// Expires the sessions whose timeout has passed, and deletes empty containers.
    pub(crate) fn tick(&mut self, now: Duration, out: &mut Vec<Output>) {
        while let Some(session) = self.sessions.expired(now) {
            self.expire(now, session, out);
        }
        if now >= self.container_check {
            self.container_check = now + CONTAINER_CHECK;
            for path in self.tree.empty_containers() {
                let stamp = self.next_stamp(now);
                self.delete(&path, stamp, out);
            }
        }
    }

    /// Expires a session, and closes its connection.
    pub(crate) fn expire(&mut self, now: Duration, session: SessionId, out: &mut Vec<Output>) {
        if let Some(connection) = self.end(now, session, out).and_then(|ended| ended.connection) {
            self.cut(connection, out);
        }
    }

    /// Closes a connection after its earlier outputs.
    pub(crate) fn close(&mut self, connection: ConnectionId, out: &mut Vec<Output>) {
        self.closed(connection);
        out.push(Output { to: connection, message: Message::Close });
    }

    /// Closes a connection, and drops the outputs that are not sent yet.
    pub(crate) fn cut(&mut self, connection: ConnectionId, out: &mut Vec<Output>) {
        self.closed(connection);
        out.push(Output { to: connection, message: Message::Cut });
    }

    /// Ends a session, and deletes its ephemeral znodes in one transaction.
    fn end(&mut self, now: Duration, session: SessionId, out: &mut Vec<Output>) -> Option<Session> {
        let ended = self.sessions.end(session)?;
        let stamp = self.next_stamp(now);
        let ephemerals: Vec<String> = self.tree.ephemerals(session).map(str::to_owned).collect();
        for path in ephemerals {
            self.delete(&path, stamp, out);
        }
        Some(ended)
    }

    fn authenticate(
        &mut self,
        to: ConnectionId,
        xid: i32,
        scheme: &str,
        credentials: Option<&[u8]>,
        out: &mut Vec<Output>,
    ) {
        let Some(connection) = self.connections.get_mut(&to) else {
            return;
        };
        let id = access::authenticate(scheme, credentials, connection.address);
        let id = id.filter(|_| connection.ids.len() < MAX_IDS);
        let result = id.clone().map(|_| Body::Empty).ok_or(Code::AUTH_FAILED);
        out.push(Output { to, message: Message::Reply(Reply { xid, zxid: 0, result }) });
        match id {
            Some(id) if !connection.ids.contains(&id) => connection.ids.push(id),
            Some(_) => {}
            None => self.close(to, out),
        }
    }

    /// The identities that the client has proven.
    fn ids(&self, connection: ConnectionId) -> &[Id] {
        self.connections.get(&connection).map_or(&[], |connection| &connection.ids)
    }

    /// Refuses with `NoAuth` unless the ACL grants the client one of the permissions.
    fn permit(&self, connection: ConnectionId, acl: &[Acl], permissions: i32) -> Result<(), Code> {
        access::check(acl, permissions, self.ids(connection))
    }

    /// Assigns the next transaction id.
    fn next_stamp(&mut self, now: Duration) -> Stamp {
        self.zxid += 1;
        Stamp { zxid: self.zxid, time: self.started + i64::try_from(now.as_millis()).unwrap_or(i64::MAX) }
    }
}
