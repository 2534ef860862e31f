//! The session of a process: what `session/keeper.rs` and the ZooKeeper client do together.
//!
//! ```text
//!   Connecting ──▶ Connected ◀──▶ Suspended      the client reconnects by itself, and its watches with it
//!       ▲                             │ for 0.6 of the session timeout
//!       │                             ▼
//!       └── the server says expired ─ another client takes the session up, without watches, and catches up
//! ```

mod calls;

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use super::claims::FakeClaims;
use super::fake_client::{FakeClient, Slot, WatchId};
use super::wire::check;
use crate::lease::Evidence;
use crate::simulation::mistakes::Mistake;
use crate::simulation::network::{Down, Up};
use crate::simulation::settings::{SERVERS, Settings};
use crate::simulation::world::{World, trace};
use crate::timestamp::Timestamp;
use crate::types::SessionId;
use zookeeper_embedded::replica::{Body, ConnectionId, EventKind, Request, SetWatches};

/// What the contenders of the process hear.
#[derive(Debug)]
pub(super) enum Notice {
    Connected,
    Suspended,
    /// Another client is to take the session up.
    Reopening,
    SessionLost,
    Fired {
        watch: WatchId,
        deleted: bool,
    },
}

pub(super) struct FakeSession {
    process: usize,
    /// By which part of the session timeout leases end before the session can.
    margin: f64,
    /// The session timeout that is wished for.
    wish: Duration,
    /// The session timeout as negotiated over the present connection, or the last.
    timeout: Duration,
    client: Rc<FakeClient>,
    line: Transport,
    state: SessionState,
    /// The client has taken over from another, and neither knows its watches nor what it has seen.
    fresh: bool,
    /// Whether a server has ever answered.
    served: bool,
    /// The last transaction that the client has seen.
    seen: i64,
    /// When another client takes over.
    replace_at: Option<Timestamp>,
    /// Since when another client has tried to take the session up.
    reopening: Option<Timestamp>,
    /// The least session timeout that the ensemble has given. That it has given it before is assumed: the first connect
    /// to a server of which nobody knows that it gives less is one that a client must not lose the answer to.
    least_timeout: Duration,
    /// How long a client is left to connect anew by itself.
    patience: Duration,
    attempts: u32,
    /// Requests that wait for a connection. They are sent even when nobody waits for the answer any more.
    queue: VecDeque<(Request, Call)>,
    calls: BTreeMap<i32, Call>,
    xids: i32,
    /// A request whose answer allows to tell of the connection.
    handshake: Option<Handshake>,
    pub(super) notices: VecDeque<Notice>,
}

/// Somebody waits for an answer, unless it is overdue.
struct Call {
    waiting: Option<(Slot, Timestamp)>,
}

/// The connection.
enum Transport {
    Pausing { until: Timestamp },
    Trying { connection: ConnectionId, began: Timestamp, until: Timestamp },
    Open { connection: ConnectionId, heard: Timestamp },
}

/// What the contenders know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SessionState {
    Connecting,
    Connected,
    Suspended,
}

enum Handshake {
    CatchUp(Slot),
    Watches(i32),
}

impl FakeSession {
    pub(super) fn new(
        process: usize,
        margin: f64,
        wish: Duration,
        settings: &Settings,
        client: Rc<FakeClient>,
        now: Timestamp,
    ) -> Self {
        let uneven = settings.is_uneven();
        Self {
            process,
            margin,
            wish,
            timeout: wish,
            client,
            line: Transport::Pausing { until: now },
            state: SessionState::Connecting,
            fresh: true,
            served: false,
            seen: 0,
            replace_at: None,
            reopening: None,
            least_timeout: settings.least_timeout(),
            patience: if uneven { Duration::ZERO } else { wish.mul_f64(0.6) },
            attempts: 0,
            queue: VecDeque::new(),
            calls: BTreeMap::new(),
            xids: 0,
            handshake: None,
            notices: VecDeque::new(),
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.state == SessionState::Connected
    }

    /// The connection in use.
    pub(super) fn connection(&self) -> Option<ConnectionId> {
        match self.line {
            Transport::Pausing { .. } => None,
            Transport::Trying { connection, .. } | Transport::Open { connection, .. } => Some(connection),
        }
    }

    /// When there is something to do, whatever comes in.
    pub(super) fn wake_at(&self) -> Timestamp {
        let line = match self.line {
            Transport::Pausing { until } | Transport::Trying { until, .. } => until,
            Transport::Open { heard, .. } => heard + self.patience(),
        };
        let calls = self.calls.values().chain(self.queue.iter().map(|(_, call)| call));
        let deadlines = calls.filter_map(|call| call.waiting.map(|(_, deadline)| deadline));
        deadlines.chain(self.replace_at).chain([line]).min().unwrap_or(line)
    }

    /// After how much silence the client takes the connection for broken.
    fn patience(&self) -> Duration {
        self.timeout.mul_f64(0.45)
    }

    /// Does what time calls for.
    pub(super) fn tick(&mut self, world: &mut World) {
        let now = self.client.now();
        self.give_up_calls(now);
        if self.replace_at.is_some_and(|at| at <= now) {
            self.replace(world);
        }
        match self.line {
            Transport::Pausing { until } if until <= now => self.connect(world),
            Transport::Trying { until, .. } if until <= now => self.disconnect(world),
            Transport::Open { heard, .. } if heard + self.patience() <= now => self.disconnect(world),
            _ => {}
        }
    }

    fn connect(&mut self, world: &mut World) {
        let now = self.client.now();
        let server = world.rng.usize(..SERVERS);
        let connection = world.open_connection(self.process, server);
        let session = self.client.state().session;
        trace!(world, "process {} connects to server {server} as {connection}, {session:?}", self.process);
        let seen = if self.fresh { 0 } else { self.seen };
        if self.fresh && session.is_some() {
            self.reopening.get_or_insert(now);
        }
        // A reattaching client asks for no more than the least timeout that the ensemble has granted.
        let least = session.is_some() && !self.client.makes(Mistake::NewestTimeout);
        let timeout = if least { self.wish.min(self.least_timeout) } else { self.wish };
        let session = session.map(|session| zookeeper_embedded::SessionId::from_raw(session.raw()));
        world.send_up(connection, Up::Connect { session, seen, timeout });
        self.line = Transport::Trying { connection, began: now, until: now + self.timeout / 4 };
    }

    /// The connection is of no use any more.
    fn disconnect(&mut self, world: &mut World) {
        if let Some(connection) = self.connection() {
            world.send_up(connection, Up::Close);
        }
        self.on_closed(world);
    }

    fn on_closed(&mut self, world: &mut World) {
        let now = self.client.now();
        for call in std::mem::take(&mut self.calls).into_values() {
            self.fail(call, "connection loss");
        }
        self.handshake = None;
        self.client.state().moved = true;
        if self.state == SessionState::Connected {
            self.state = SessionState::Suspended;
            self.replace_at = Some(now + self.patience);
            self.attempts = 0;
            self.notices.push_back(Notice::Suspended);
        }
        let longest = if self.fresh { self.timeout / 2 } else { self.timeout / 8 };
        let pause = (Duration::from_millis(20) * (1 << self.attempts.min(8))).min(longest);
        self.attempts += 1;
        self.line = Transport::Pausing { until: now + pause.mul_f64(0.5 + 0.5 * world.rng.f64()) };
    }

    /// Another client takes over.
    fn replace(&mut self, world: &mut World) {
        trace!(world, "process {} replaces its client", self.process);
        let now = self.client.now();
        self.replace_at = None;
        self.fresh = true;
        self.seen = 0;
        self.reopening = Some(now);
        if let Some(evidence) = &mut self.client.state().evidence {
            // Of the attempts that follow, one that is not answered may set what its server gives.
            evidence.shorten(self.least_timeout);
        }
        self.notices.push_back(Notice::Reopening);
        if let Transport::Pausing { .. } = self.line {
            self.on_closed(world);
        } else {
            self.disconnect(world);
        }
        self.forget_client();
        self.attempts = 0;
        self.line = Transport::Pausing { until: now };
    }

    /// A packet has come.
    pub(super) fn receive(&mut self, world: &mut World, connection: ConnectionId, packet: Down) {
        if self.connection() != Some(connection) {
            return;
        }
        let now = self.client.now();
        if let Transport::Open { heard, .. } = &mut self.line {
            *heard = now;
        }
        match packet {
            Down::Connected(session, timeout) => {
                if let Transport::Trying { began, .. } = self.line {
                    self.line = Transport::Open { connection, heard: now };
                    self.timeout = timeout;
                    self.on_session(world, SessionId::from_raw(session.raw()), began);
                }
            }
            Down::Expired => self.on_expired(world),
            Down::Reply { xid, zxid, result } => {
                self.seen = self.seen.max(zxid);
                if let Some(Handshake::Watches(it)) = self.handshake
                    && it == xid
                {
                    self.announce();
                }
                let waiting = self.calls.remove(&xid).and_then(|call| call.waiting);
                if let Some((slot, _)) = waiting {
                    self.client.state().answer(slot, result);
                }
            }
            Down::Event(event) => {
                let deleted = event.kind == EventKind::Deleted;
                let fired = self.client.state().fire(&event.path, deleted);
                self.notices.extend(fired.into_iter().map(|watch| Notice::Fired { watch, deleted }));
            }
            Down::Closed => self.on_closed(world),
        }
    }

    fn on_session(&mut self, world: &mut World, session: SessionId, began: Timestamp) {
        if self.fresh {
            // Only of a client of our own making is it known what it has negotiated, and when its connect began.
            self.least_timeout = self.least_timeout.min(self.timeout);
            let began = self.reopening.take().unwrap_or(began);
            self.on_attached(session, began);
        } else {
            self.client.state().moved = true;
        }
        let watched = self.client.state().watched();
        self.attempts = 0;
        if self.fresh && self.served && !self.client.makes(Mistake::NoFlush) {
            // What another client has seen, this one's server may not know yet.
            let slot = self.client.state().enter(Request::Multi(vec![check("/", -1)]));
            self.handshake = Some(Handshake::CatchUp(slot));
            return;
        }
        if !watched.is_empty() {
            let watches = SetWatches { seen: self.seen, data: watched, ..SetWatches::default() };
            let xid = self.send(world, Request::SetWatches(watches), Call { waiting: None });
            // Tasks of their own tell of the connection and of events: either may be first.
            if world.rng.bool() {
                self.handshake = Some(Handshake::Watches(xid));
                return;
            }
        }
        self.announce();
    }

    /// A new client has created the session, or taken it up.
    fn on_attached(&self, session: SessionId, began: Timestamp) {
        let mut client = self.client.state();
        let known = client.session == Some(session);
        client.session = Some(session);
        client.newest_timeout = self.timeout;
        client.moved = false;
        let now = client.now;
        match &mut client.evidence {
            Some(evidence) if known => {
                if !self.client.makes(Mistake::NewestTimeout) {
                    evidence.shorten(self.timeout);
                }
                if self.client.makes(Mistake::NoClosingWindow) {
                    let least = evidence.terms().session_timeout();
                    *evidence = Evidence::created(least, self.margin, began);
                } else if !self.client.makes(Mistake::OlderConnectionCounts) {
                    evidence.taken_up(began, now);
                }
            }
            evidence => *evidence = Some(Evidence::created(self.timeout, self.margin, began)),
        }
    }

    /// Everybody may know that there is a connection.
    fn announce(&mut self) {
        self.handshake = None;
        self.fresh = false;
        self.served = true;
        self.replace_at = None;
        self.state = SessionState::Connected;
        self.notices.push_back(Notice::Connected);
    }

    /// Looks whether the server has caught up.
    pub(super) fn continue_handshake(&mut self, world: &mut World) {
        if let Some(Handshake::CatchUp(slot)) = self.handshake {
            let answer = self.client.state().take_answer(slot);
            match answer {
                Some(Ok(Body::Multi(_))) => self.announce(),
                Some(_) => self.disconnect(world),
                None => {}
            }
        }
    }

    fn on_expired(&mut self, world: &mut World) {
        trace!(world, "process {} hears that its session is over", self.process);
        let mut client = self.client.state();
        (client.session, client.evidence) = (None, None);
        client.claims = FakeClaims::default();
        drop(client);
        self.reopening = None;
        self.forget_client();
        self.state = SessionState::Connecting;
        self.fresh = true;
        self.replace_at = None;
        self.on_closed(world);
        self.notices.push_back(Notice::SessionLost);
    }
}
