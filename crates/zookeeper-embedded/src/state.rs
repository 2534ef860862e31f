//! What all tasks of a server share: the engine, the links to its connections, and the faults that are set.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio::time::Instant;

use crate::engine::{ConnectionId, Engine, Message, Output};
use crate::faults::{Armed, Shapings, When};
use crate::jute::Reader;
use crate::outbox::Outbox;
use crate::request::{ConnectRequest, Request};
use crate::session_id::SessionId;

/// How many connections may be open without a session; the oldest gives way to one more.
const WITHOUT_SESSION: usize = 4096;
/// How many servers this process has started.
static SERVERS: AtomicU64 = AtomicU64::new(0);

/// What all tasks of a server share.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// What the state says of standing still, for those who wait.
    stopped: watch::Receiver<bool>,
}

/// The engine, and what surrounds it. Whoever holds it is the only one who acts.
#[derive(Debug)]
pub(super) struct State {
    pub(super) engine: Engine,
    pub(super) links: HashMap<ConnectionId, Link>,
    /// Connections without a session, oldest first.
    strangers: BTreeSet<ConnectionId>,
    pub(super) shapings: Shapings,
    pub(super) armed: Vec<Armed>,
    pub(super) traffic: Traffic,
    started: Instant,
    connections: u64,
    /// Whether the server stands still.
    stopped: watch::Sender<bool>,
    killed: bool,
    /// Nobody serves any more.
    ended: bool,
}

/// A connection, as the other tasks know it.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) address: SocketAddr,
    pub(super) outbox: Arc<Outbox>,
    pub(super) session: Option<SessionId>,
    pub(super) traffic: Traffic,
    /// Something was swallowed, perhaps its end: no client could go on over this connection.
    pub(super) broken: bool,
}

/// Frames in and out, and how long requests took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Traffic {
    pub(super) received: u64,
    pub(super) sent: u64,
    pub(super) last_op: i32,
    pub(super) last_xid: i32,
    pub(super) slowest: Duration,
    pub(super) total: Duration,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handled {
    /// It is dealt with.
    Done,
    /// The server stands still: offer it again later.
    NotNow,
    /// No client sends such a frame, or the server was killed: end the connection.
    Refused,
}

impl Shared {
    /// A server that starts now.
    pub(super) fn new(tick: Duration) -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall = i64::try_from(wall.as_millis()).unwrap_or(0);
        // As ZooKeeper: the server's number in the uppermost byte, and the time below it. Servers of one process differ
        // in the former, servers of different processes most likely in the latter.
        let server = SERVERS.fetch_add(1, Ordering::Relaxed) % 127 + 1;
        let first_session = SessionId::from_raw((server << 56 | (wall as u64) << 24 >> 8) as i64);
        let engine = Engine::new(tick, wall, first_session, fastrand::u64(..));
        let (stopped, seen) = watch::channel(false);
        let state = State {
            engine,
            links: HashMap::new(),
            strangers: BTreeSet::new(),
            shapings: Shapings::default(),
            armed: Vec::new(),
            traffic: Traffic::default(),
            started: Instant::now(),
            connections: 0,
            stopped,
            killed: false,
            ended: false,
        };
        Self { state: Mutex::new(state), stopped: seen }
    }

    /// The state, for as long as the guard lives.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stands still, or goes on.
    pub(super) fn set_stopped(&self, stopped: bool) {
        let mut state = self.lock();
        let stopped = stopped && !state.killed;
        if state.is_stopped() && !stopped {
            // Time has passed, whatever waits to be read: sessions that were not heard of expire first.
            state.act(Engine::tick);
        }
        state.stopped.send_replace(stopped);
    }

    /// Closes all connections and takes no more, or takes them again.
    pub(super) fn set_killed(&self, killed: bool) {
        let mut state = self.lock();
        if killed {
            state.stopped.send_replace(false);
            state.cut_where(|_| true);
        } else if state.killed {
            state.act(|engine, now, _| engine.sessions.begin_anew(now));
        }
        state.killed = killed;
    }

    /// Nobody serves any more, and nothing that was armed will strike.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        state.armed.clear();
    }

    /// Whether the server stands still.
    pub(super) fn is_stopped(&self) -> bool {
        *self.stopped.borrow()
    }

    /// Waits while the server stands still.
    pub(super) async fn running(&self) {
        // The sender lives in the state: waiting ends only when the value changes.
        let _ = self.stopped.clone().wait_for(|stopped| !stopped).await;
    }
}

impl State {
    /// Does something with the engine at the present instant, and sends what comes of it.
    pub(super) fn act<T>(&mut self, act: impl FnOnce(&mut Engine, Duration, &mut Vec<Output>) -> T) -> T {
        let mut out = Vec::new();
        let result = act(&mut self.engine, self.started.elapsed(), &mut out);
        self.send(out);
        result
    }

    /// Ends what has to end by now, unless the server stands still or was killed.
    pub(super) fn tick(&mut self) {
        if !self.is_stopped() && !self.killed {
            self.act(Engine::tick);
        }
    }

    fn is_stopped(&self) -> bool {
        *self.stopped.borrow()
    }

    /// How long the server has run.
    pub(super) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// A client has connected; `None` if its connection is to be closed at once.
    pub(super) fn opened(&mut self, address: SocketAddr) -> Option<(ConnectionId, Arc<Outbox>)> {
        if self.killed {
            return None;
        }
        self.connections += 1;
        let connection = ConnectionId::new(self.connections);
        let outbox = Arc::new(Outbox::default());
        let link = Link {
            address,
            outbox: outbox.clone(),
            session: None,
            traffic: Traffic::default(),
            broken: false,
        };
        self.links.insert(connection, link);
        self.engine.opened(connection, address.ip());
        self.strangers.insert(connection);
        if self.strangers.len() > WITHOUT_SESSION
            && let Some(oldest) = self.strangers.pop_first()
        {
            self.engine.closed(oldest);
            // Whatever is swallowed: this is for the server's own sake.
            self.links.get(&oldest).inspect(|link| link.outbox.cut());
        }
        Some((connection, outbox))
    }

    /// Closes the connections with such links, in the order in which they were opened.
    pub(super) fn cut_where(&mut self, meant: impl Fn(&Link) -> bool) {
        let links = self.links.iter().filter(|(_, link)| meant(link));
        let mut connections: Vec<ConnectionId> = links.map(|(connection, _)| *connection).collect();
        connections.sort_unstable();
        for connection in connections {
            self.act(|engine, _, out| engine.cut(connection, out));
        }
    }

    /// Waits for an operation with a fault, if there is still somebody to carry out operations.
    pub(super) fn arm(&mut self, armed: Armed) {
        // What waits for an operation of a session that has ended waits in vain.
        let Self { armed: waiting, engine, .. } = self;
        waiting.retain(|it| it.session.is_none_or(|session| engine.sessions.find(session).is_some()));
        if !self.ended {
            self.armed.push(armed);
        }
    }

    /// A connection is gone.
    pub(super) fn closed(&mut self, connection: ConnectionId) {
        self.links.remove(&connection);
        self.strangers.remove(&connection);
        self.engine.closed(connection);
    }

    /// A frame has come.
    pub(super) fn handle(&mut self, connection: ConnectionId, frame: &[u8]) -> Handled {
        if self.is_stopped() {
            return Handled::NotNow;
        }
        let Some(link) = self.links.get_mut(&connection) else {
            return Handled::Refused;
        };
        if self.killed {
            // Whoever has not heard of the end, since packets vanish, is not to hear of it now.
            return if link.broken { Handled::Done } else { Handled::Refused };
        }
        link.traffic.received += 1;
        self.traffic.received += 1;
        let begun = Instant::now();
        let handled = match link.session {
            None => self.connect(connection, frame),
            Some(session) => self.request(connection, session, frame),
        };
        let taken = begun.elapsed();
        let link = self.links.get_mut(&connection).map(|link| &mut link.traffic);
        for traffic in link.into_iter().chain([&mut self.traffic]) {
            traffic.total += taken;
            traffic.slowest = traffic.slowest.max(taken);
        }
        handled
    }

    fn connect(&mut self, connection: ConnectionId, frame: &[u8]) -> Handled {
        let Ok(request) = ConnectRequest::decode(frame) else {
            return Handled::Refused;
        };
        let asked = Some(request.session).filter(|session| session.raw() != 0);
        let shaping = self.shapings.of(asked);
        if shaping.refuse {
            return Handled::Refused;
        }
        // Packets that vanish in either direction let no connection come about.
        let swallowed = shaping.swallow_to_server || shaping.swallow_to_client;
        if let Some(link) = self.links.get_mut(&connection) {
            // Known by the session that it asks for, so that what is set for the session goes for the answer as well.
            link.session = asked;
            link.broken |= swallowed;
        }
        if !swallowed {
            self.strangers.remove(&connection);
            self.act(|engine, now, out| engine.connect(now, connection, &request, out));
        }
        Handled::Done
    }

    fn request(&mut self, connection: ConnectionId, session: SessionId, frame: &[u8]) -> Handled {
        let mut record = Reader::new(frame);
        let (Ok(xid), Ok(op_code)) = (record.int(), record.int()) else {
            return Handled::Refused;
        };
        if !self.engine.is_open(connection) {
            // What comes after the end, while the last replies leave.
            return Handled::Done;
        }
        let swallowed = self.shapings.of(Some(session)).swallow_to_server;
        if let Some(link) = self.links.get_mut(&connection) {
            if swallowed {
                link.broken = true;
                return Handled::Done;
            }
            link.traffic.last_op = op_code;
            link.traffic.last_xid = xid;
        }
        let request = Request::decode(op_code, record);
        let fires = |armed: &mut Armed| armed.fires(session, op_code, request.as_ref());
        let armed = self.armed.extract_if(.., fires).next();
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

    /// Hands outputs to the connections' outboxes.
    fn send(&mut self, out: Vec<Output>) {
        for Output { to, message } in out {
            let Some(link) = self.links.get_mut(&to) else {
                continue;
            };
            if let Message::Connected(response) = &message {
                link.session = Some(response.session).filter(|session| session.raw() != 0).or(link.session);
            }
            let shaping = self.shapings.of(link.session);
            if shaping.swallow_to_client {
                link.broken = true;
                continue;
            }
            let (outbox, delay) = (&link.outbox, shaping.delay);
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
            link.traffic.sent += 1;
            self.traffic.sent += 1;
        }
    }
}
