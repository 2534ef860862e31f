//! What a ZooKeeper server does with connections and requests, without sockets, clocks and tasks.
//!
//! ```text
//!  opened(connection)          ─┐                        ┌─ Connected: the connect request's answer
//!  connect(connection, request) │                        │  Reply: to a request
//!  request(connection, request) ├─► Engine ─► Output[] ──┤  Event: of a watch, to whoever left it
//!  tick(), expire(session)      │                        ├─ Close: end this connection
//!  closed(connection)          ─┘                        └─ Cut: the same, and send nothing any more
//! ```
//!
//! Outputs are to be sent in their order. Whatever happened to the tree by a call is visible to the next call,
//! and an event is put out before the reply to the write that caused it, as ZooKeeper promises. Instants are
//! durations since the server's start. After [`Message::Close`] or [`Message::Cut`] the connection is unknown: what
//! comes over it has no effect.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use crate::acl::{self, Acl, Id};
use crate::code::Code;
use crate::reply::{Body, ConnectResponse, Event, Reply};
use crate::request::{ConnectRequest, Request};
use crate::session_id::SessionId;
use crate::sessions::{Session, Sessions};
use crate::tree::{Stamp, Tree};
use crate::watches::{Tell, Watches};

/// How often containers without children are looked for.
const CONTAINER_CHECK: Duration = Duration::from_secs(60);
/// The `xid` of a heartbeat's answer.
const PING: i32 = -2;

/// How many credentials a connection may prove. They are compared one by one with the entries of ACLs.
const MOST_IDS: usize = 1024;

/// A connection, by a number that no other connection has had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(u64);

/// The state of a server.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    pub(super) tree: Tree,
    pub(super) sessions: Sessions,
    pub(super) watches: Watches,
    pub(super) connections: HashMap<ConnectionId, Connection>,
    zxid: i64,
    /// The wall clock at the server's start, in milliseconds since 1970.
    started: i64,
    container_check: Duration,
    passwords: fastrand::Rng,
}

/// An open connection.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    address: IpAddr,
    /// Who the client has proven to be; its address first.
    pub(super) ids: Vec<Id>,
    pub(super) session: Option<SessionId>,
    timeout: Duration,
}

/// Something to be sent over a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) to: ConnectionId,
    pub(crate) message: Message,
}

/// What is to be sent, or done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Connected(ConnectResponse),
    Reply(Reply),
    Event(Event),
    /// Close the connection once everything before is sent.
    Close,
    /// Close the connection now, whatever is still to be sent.
    Cut,
}

impl Engine {
    /// A server without znodes but ZooKeeper's own, that starts at this time (milliseconds since 1970) and gives its
    /// first session this id. Passwords of sessions are made from `seed`.
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

    /// The last transaction that was carried out.
    pub(crate) const fn zxid(&self) -> i64 {
        self.zxid
    }

    /// A client has connected from this address.
    pub(crate) fn opened(&mut self, connection: ConnectionId, address: IpAddr) {
        let ids = vec![Id::of_address(address)];
        let opened = Connection { address, ids, session: None, timeout: Duration::ZERO };
        self.connections.insert(connection, opened);
    }

    /// Whether a connection is known, and not closed.
    pub(crate) fn is_open(&self, connection: ConnectionId) -> bool {
        self.connections.contains_key(&connection)
    }

    /// The session timeout that was negotiated over a connection.
    pub(crate) fn timeout(&self, connection: ConnectionId) -> Duration {
        self.connections.get(&connection).map_or(Duration::ZERO, |connection| connection.timeout)
    }

    /// A connection is gone, and its watches with it. Its session lives on.
    pub(crate) fn closed(&mut self, connection: ConnectionId) {
        self.watches.forget(connection);
        let session = self.connections.remove(&connection).and_then(|closed| closed.session);
        if let Some(session) = session.and_then(|session| self.sessions.find(session)) {
            session.connection = session.connection.filter(|current| *current != connection);
        }
    }

    /// The first frame of a connection.
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
            // Whatever this client has seen, it was another server's.
            return self.close(connection, out);
        }
        let timeout = self.sessions.negotiate(timeout);
        let (session, password) = if session.raw() == 0 {
            self.zxid += 1;
            let password = self.passwords.u128(..).to_be_bytes();
            (self.sessions.open(now, timeout, password, connection), password)
        } else if let Some(password) = self.take_up(now, session, password, timeout, connection, out) {
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

    /// Moves a session to another connection, if it is alive and the password is its own. The connection that it had
    /// is closed in any case, as ZooKeeper does.
    fn take_up(
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

    /// A request with this number; `None` for one with an op code that nobody knows.
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

    /// Ends what has to end by now: sessions that were not heard of, containers that are empty.
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

    /// Ends a session and its connection, as when the session was not heard of.
    pub(crate) fn expire(&mut self, now: Duration, session: SessionId, out: &mut Vec<Output>) {
        if let Some(connection) = self.end(now, session, out).and_then(|ended| ended.connection) {
            self.cut(connection, out);
        }
    }

    /// Closes a connection after what was put out for it.
    pub(crate) fn close(&mut self, connection: ConnectionId, out: &mut Vec<Output>) {
        self.closed(connection);
        out.push(Output { to: connection, message: Message::Close });
    }

    /// Closes a connection at once.
    pub(crate) fn cut(&mut self, connection: ConnectionId, out: &mut Vec<Output>) {
        self.closed(connection);
        out.push(Output { to: connection, message: Message::Cut });
    }

    /// Ends a session and deletes its ephemeral znodes in one transaction.
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
        let id = Id::authenticate(scheme, credentials, connection.address);
        let id = id.filter(|_| connection.ids.len() < MOST_IDS);
        let result = id.clone().map(|_| Body::Empty).ok_or(Code::AUTH_FAILED);
        out.push(Output { to, message: Message::Reply(Reply { xid, zxid: 0, result }) });
        match id {
            Some(id) if !connection.ids.contains(&id) => connection.ids.push(id),
            Some(_) => {}
            None => self.close(to, out),
        }
    }

    /// Who a client has proven to be.
    pub(super) fn ids(&self, connection: ConnectionId) -> &[Id] {
        self.connections.get(&connection).map_or(&[], |connection| &connection.ids)
    }

    /// Refuses with `NoAuth` what the client may not do.
    pub(super) fn permit(&self, connection: ConnectionId, acl: &[Acl], permissions: i32) -> Result<(), Code> {
        acl::check(acl, permissions, self.ids(connection))
    }

    /// The next transaction.
    pub(super) fn next_stamp(&mut self, now: Duration) -> Stamp {
        self.zxid += 1;
        Stamp { zxid: self.zxid, time: self.started + i64::try_from(now.as_millis()).unwrap_or(i64::MAX) }
    }
}

impl ConnectionId {
    /// The connection with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Puts out events.
pub(super) fn tell(out: &mut Vec<Output>) -> impl Tell {
    |to, kind, path| {
        let event = Event { kind, path: path.to_owned() };
        out.push(Output { to, message: Message::Event(event) });
    }
}
