//! The state that all tasks of a server share: the engine, the open connections, and the faults that are set.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::engine::Engine;
use crate::engine::connection_id::ConnectionId;
use crate::engine::output::{Message, Output};
use crate::protocol::request::{ConnectRequest, RequestFrame};
use crate::server::faults::{Armed, Impairments, When};
use crate::server::outbox::Outbox;
use crate::server::pause::Pause;
use crate::session_id::SessionId;

/// The most open connections without a session. One more closes the oldest of them.
const MAX_WITHOUT_SESSION: usize = 4096;
/// How many servers this process has started.
static SERVERS: AtomicU64 = AtomicU64::new(0);

/// The state that all tasks of a server share.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// The same switch as the state's, to wait for without the lock.
    pub(super) pause: Pause,
}

/// The engine, the open connections and the faults. All tasks act under its lock.
#[derive(Debug)]
pub(super) struct State {
    pub(super) engine: Engine,
    pub(super) connections: HashMap<ConnectionId, ConnectionHandle>,
    /// The connections without a session, oldest first.
    without_session: BTreeSet<ConnectionId>,
    pub(super) impairments: Impairments,
    pub(super) armed: Vec<Armed>,
    pub(super) traffic: Traffic,
    started: Instant,
    /// The number of connections that were ever opened.
    opened: u64,
    pause: Pause,
    killed: bool,
    /// Whether the server's task has ended.
    ended: bool,
}

/// A handle of an open connection, for the other tasks.
#[derive(Debug)]
pub(super) struct ConnectionHandle {
    pub(super) address: SocketAddr,
    pub(super) outbox: Arc<Outbox>,
    pub(super) session: Option<SessionId>,
    pub(super) traffic: Traffic,
    /// Whether frames, or the close, were swallowed: the client cannot continue on this connection.
    pub(super) broken: bool,
}

/// Counters of frames, and the time that requests took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Traffic {
    pub(super) received: u64,
    pub(super) sent: u64,
    pub(super) last_op: i32,
    pub(super) last_xid: i32,
    pub(super) slowest: Duration,
    pub(super) total: Duration,
}

/// The result of handling a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handled {
    /// The frame was handled.
    Done,
    /// The server is stopped: offer the frame again later.
    NotNow,
    /// The frame is invalid, or the server was killed: close the connection.
    Refused,
}

impl Shared {
    /// The state of a server that starts now.
    pub(super) fn new(tick: Duration) -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall = i64::try_from(wall.as_millis()).unwrap_or(0);
        // As in ZooKeeper, the number of the server is the uppermost byte, and the time comes below it. Servers in one
        // process differ in the number, servers in different processes most likely in the time.
        let server = SERVERS.fetch_add(1, Ordering::Relaxed) % 127 + 1;
        let first_session = SessionId::from_raw((server << 56 | (wall as u64) << 24 >> 8) as i64);
        let engine = Engine::new(tick, wall, first_session, fastrand::u64(..));
        let pause = Pause::new();
        let state = State {
            engine,
            connections: HashMap::new(),
            without_session: BTreeSet::new(),
            impairments: Impairments::default(),
            armed: Vec::new(),
            traffic: Traffic::default(),
            started: Instant::now(),
            opened: 0,
            pause: pause.clone(),
            killed: false,
            ended: false,
        };
        Self { state: Mutex::new(state), pause }
    }

    /// Locks the state.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops the server, or lets it continue.
    pub(super) fn set_stopped(&self, stopped: bool) {
        let mut state = self.lock();
        let stopped = stopped && !state.killed;
        if state.pause.is_set() && !stopped {
            // Sessions expire before the heartbeats that wait to be read are handled.
            state.act(Engine::tick);
        }
        state.pause.set(stopped);
    }

    /// Closes all connections and accepts no more, or accepts them again.
    pub(super) fn set_killed(&self, killed: bool) {
        let mut state = self.lock();
        if killed {
            state.pause.set(false);
            state.cut_where(|_| true);
        } else if state.killed {
            state.act(|engine, now, _| engine.sessions.restart_timeouts(now));
        }
        state.killed = killed;
    }

    /// Marks the server as ended, and drops the faults that have not struck.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        state.armed.clear();
    }
}

impl State {
    /// Calls the engine with the current instant, and sends its outputs.
    pub(super) fn act<T>(&mut self, act: impl FnOnce(&mut Engine, Duration, &mut Vec<Output>) -> T) -> T {
        let mut out = Vec::new();
        let result = act(&mut self.engine, self.started.elapsed(), &mut out);
        self.send(out);
        result
    }

    /// Expires sessions and deletes empty containers, unless the server is stopped or killed.
    pub(super) fn tick(&mut self) {
        if !self.pause.is_set() && !self.killed {
            self.act(Engine::tick);
        }
    }

    /// The time since the server's start.
    pub(super) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Registers a connection; `None` if it has to be closed at once.
    pub(super) fn opened(&mut self, address: SocketAddr) -> Option<(ConnectionId, Arc<Outbox>)> {
        if self.killed {
            return None;
        }
        self.opened += 1;
        let connection = ConnectionId::new(self.opened);
        let outbox = Arc::new(Outbox::default());
        let handle = ConnectionHandle {
            address,
            outbox: outbox.clone(),
            session: None,
            traffic: Traffic::default(),
            broken: false,
        };
        self.connections.insert(connection, handle);
        self.engine.opened(connection, address.ip());
        self.without_session.insert(connection);
        if self.without_session.len() > MAX_WITHOUT_SESSION
            && let Some(oldest) = self.without_session.pop_first()
        {
            self.engine.closed(oldest);
            // Directly, because no fault may keep this connection open.
            self.connections.get(&oldest).inspect(|handle| handle.outbox.cut());
        }
        Some((connection, outbox))
    }

    /// Closes the connections that match, in the order in which they were opened.
    pub(super) fn cut_where(&mut self, matches: impl Fn(&ConnectionHandle) -> bool) {
        let matching = self.connections.iter().filter(|(_, handle)| matches(handle));
        let mut connections: Vec<ConnectionId> = matching.map(|(connection, _)| *connection).collect();
        connections.sort_unstable();
        for connection in connections {
            self.act(|engine, _, out| engine.cut(connection, out));
        }
    }

    /// Arms a fault, unless the server has ended.
    pub(super) fn arm(&mut self, armed: Armed) {
        // Faults of sessions that have ended cannot strike any more.
        let Self { armed: earlier, engine, .. } = self;
        earlier.retain(|it| it.session.is_none_or(|session| engine.sessions.find(session).is_some()));
        if !self.ended {
            self.armed.push(armed);
        }
    }

    /// Unregisters a connection.
    pub(super) fn closed(&mut self, connection: ConnectionId) {
        self.connections.remove(&connection);
        self.without_session.remove(&connection);
        self.engine.closed(connection);
    }

    /// Handles a frame that a connection received.
    pub(super) fn handle(&mut self, connection: ConnectionId, frame: &[u8]) -> Handled {
        if self.pause.is_set() {
            return Handled::NotNow;
        }
        let Some(handle) = self.connections.get_mut(&connection) else {
            return Handled::Refused;
        };
        if self.killed {
            // A client that did not get the close, because it was swallowed, must not get it now.
            return if handle.broken { Handled::Done } else { Handled::Refused };
        }
        handle.traffic.received += 1;
        self.traffic.received += 1;
        let begun = Instant::now();
        let handled = match handle.session {
            None => self.connect(connection, frame),
            Some(session) => self.request(connection, session, frame),
        };
        let taken = begun.elapsed();
        let own = self.connections.get_mut(&connection).map(|handle| &mut handle.traffic);
        for traffic in own.into_iter().chain([&mut self.traffic]) {
            traffic.total += taken;
            traffic.slowest = traffic.slowest.max(taken);
        }
        handled
    }

    fn connect(&mut self, connection: ConnectionId, frame: &[u8]) -> Handled {
        let Ok(request) = ConnectRequest::decode(frame) else {
            return Handled::Refused;
        };
        let requested = Some(request.session).filter(|session| session.raw() != 0);
        let impairment = self.impairments.of(requested);
        if impairment.refuse {
            return Handled::Refused;
        }
        // Without packets in one of the directions, TCP would not even connect.
        let swallowed = impairment.swallow_to_server || impairment.swallow_to_client;
        if let Some(handle) = self.connections.get_mut(&connection) {
            // Set before the response, so that the faults of the requested session apply to it.
            handle.session = requested;
            handle.broken |= swallowed;
        }
        if !swallowed {
            self.without_session.remove(&connection);
            self.act(|engine, now, out| engine.connect(now, connection, &request, out));
        }
        Handled::Done
    }

    fn request(&mut self, connection: ConnectionId, session: SessionId, frame: &[u8]) -> Handled {
        let Ok(frame) = RequestFrame::read(frame) else {
            return Handled::Refused;
        };
        let RequestFrame { xid, op_code, .. } = frame;
        if !self.engine.is_open(connection) {
            // The connection is being closed, and only waits for its last replies to be sent.
            return Handled::Done;
        }
        let swallowed = self.impairments.of(Some(session)).swallow_to_server;
        if let Some(handle) = self.connections.get_mut(&connection) {
            if swallowed {
                handle.broken = true;
                return Handled::Done;
            }
            handle.traffic.last_op = op_code;
            handle.traffic.last_xid = xid;
        }
        let request = frame.request();
        let triggers = |armed: &mut Armed| armed.triggers_on(session, op_code, request.as_ref());
        let armed = self.armed.extract_if(.., triggers).next();
        self.act(|engine, now, out| {
            if armed.as_ref().is_none_or(|armed| armed.when == When::After) {
                engine.request(now, connection, xid, request, out);
            }
            if armed.is_some() {
                out.retain(|output| output.to != connection);
                engine.close(connection, out);
            }
        });
        if let Some(armed) = armed {
            armed.done.send_replace(true);
        }
        Handled::Done
    }

    /// Passes outputs to the outboxes of the connections.
    fn send(&mut self, out: Vec<Output>) {
        for Output { to, message } in out {
            let Some(handle) = self.connections.get_mut(&to) else {
                continue;
            };
            if let Message::Connected(response) = &message {
                handle.session =
                    Some(response.session).filter(|session| session.raw() != 0).or(handle.session);
            }
            let impairment = self.impairments.of(handle.session);
            if impairment.swallow_to_client {
                handle.broken = true;
                continue;
            }
            let (outbox, delay) = (&handle.outbox, impairment.delay);
            match message {
                Message::Connected(response) => outbox.push(delay, |out| response.encode(out)),
                Message::Reply(reply) => outbox.push(delay, |out| reply.encode(out)),
                Message::Event(event) => outbox.push(delay, |out| event.encode(out)),
                Message::Close => {
                    outbox.close(delay);
                    continue;
                }
                Message::Cut => {
                    outbox.cut();
                    continue;
                }
            }
            handle.traffic.sent += 1;
            self.traffic.sent += 1;
        }
    }
}
