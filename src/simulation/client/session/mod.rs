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

use self::calls::Call;
use super::super::mutation::Mutation;
use super::super::network::{Down, Up};
use super::super::settings::{SERVERS, Settings};
use super::super::stage::{Stage, note};
use super::desk::{Desk, Slot, WatchId};
use super::wire::check;
use super::znodes::Claims;
use crate::lease::Evidence;
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

pub(super) struct Session {
    process: usize,
    /// By which part of the session timeout leases end before the session can.
    margin: f64,
    /// The session timeout that is wished for.
    wish: Duration,
    /// The session timeout as negotiated over the present connection, or the last.
    timeout: Duration,
    desk: Rc<Desk>,
    line: Line,
    link: Link,
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
    herald: Option<Herald>,
    pub(super) notices: VecDeque<Notice>,
}

/// The connection.
enum Line {
    Pausing { until: Timestamp },
    Trying { connection: ConnectionId, began: Timestamp, until: Timestamp },
    Open { connection: ConnectionId, heard: Timestamp },
}

/// What the contenders know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Connecting,
    Connected,
    Suspended,
}

enum Herald {
    CatchUp(Slot),
    Watches(i32),
}

impl Session {
    pub(super) fn new(
        process: usize,
        margin: f64,
        wish: Duration,
        settings: &Settings,
        desk: Rc<Desk>,
        now: Timestamp,
    ) -> Self {
        let uneven = settings.is_uneven();
        Self {
            process,
            margin,
            wish,
            timeout: wish,
            desk,
            line: Line::Pausing { until: now },
            link: Link::Connecting,
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
            herald: None,
            notices: VecDeque::new(),
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.link == Link::Connected
    }

    /// The connection in use.
    pub(super) fn connection(&self) -> Option<ConnectionId> {
        match self.line {
            Line::Pausing { .. } => None,
            Line::Trying { connection, .. } | Line::Open { connection, .. } => Some(connection),
        }
    }

    /// When there is something to do, whatever comes in.
    pub(super) fn wake_at(&self) -> Timestamp {
        let line = match self.line {
            Line::Pausing { until } | Line::Trying { until, .. } => until,
            Line::Open { heard, .. } => heard + self.patience(),
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
    pub(super) fn tick(&mut self, stage: &mut Stage) {
        let now = self.desk.now();
        self.give_up_calls(now);
        if self.replace_at.is_some_and(|at| at <= now) {
            self.replace(stage);
        }
        match self.line {
            Line::Pausing { until } if until <= now => self.connect(stage),
            Line::Trying { until, .. } if until <= now => self.disconnect(stage),
            Line::Open { heard, .. } if heard + self.patience() <= now => self.disconnect(stage),
            _ => {}
        }
    }

    fn connect(&mut self, stage: &mut Stage) {
        let now = self.desk.now();
        let server = stage.rng.usize(..SERVERS);
        let connection = stage.open_connection(self.process, server);
        let session = self.desk.state().session;
        note!(stage, "process {} connects to server {server} as {connection}, {session:?}", self.process);
        let seen = if self.fresh { 0 } else { self.seen };
        if self.fresh && session.is_some() {
            self.reopening.get_or_insert(now);
        }
        // Whoever takes a session up asks for no more than the ensemble has given.
        let least = session.is_some() && !self.desk.errs(Mutation::NewestTimeout);
        let timeout = if least { self.wish.min(self.least_timeout) } else { self.wish };
        let session = session.map(|session| zookeeper_embedded::SessionId::from_raw(session.raw()));
        stage.send_up(connection, Up::Connect { session, seen, timeout });
        self.line = Line::Trying { connection, began: now, until: now + self.timeout / 4 };
    }

    /// The connection is of no use any more.
    fn disconnect(&mut self, stage: &mut Stage) {
        if let Some(connection) = self.connection() {
            stage.send_up(connection, Up::Close);
        }
        self.on_closed(stage);
    }

    fn on_closed(&mut self, stage: &mut Stage) {
        let now = self.desk.now();
        for call in std::mem::take(&mut self.calls).into_values() {
            self.fail(call, "connection loss");
        }
        self.herald = None;
        self.desk.state().moved = true;
        if self.link == Link::Connected {
            self.link = Link::Suspended;
            self.replace_at = Some(now + self.patience);
            self.attempts = 0;
            self.notices.push_back(Notice::Suspended);
        }
        let longest = if self.fresh { self.timeout / 2 } else { self.timeout / 8 };
        let pause = (Duration::from_millis(20) * (1 << self.attempts.min(8))).min(longest);
        self.attempts += 1;
        self.line = Line::Pausing { until: now + pause.mul_f64(0.5 + 0.5 * stage.rng.f64()) };
    }

    /// Another client takes over.
    fn replace(&mut self, stage: &mut Stage) {
        note!(stage, "process {} replaces its client", self.process);
        let now = self.desk.now();
        self.replace_at = None;
        self.fresh = true;
        self.seen = 0;
        self.reopening = Some(now);
        if let Some(evidence) = &mut self.desk.state().evidence {
            // Of the attempts that follow, one that is not answered may set what its server gives.
            evidence.shorten(self.least_timeout);
        }
        self.notices.push_back(Notice::Reopening);
        if let Line::Pausing { .. } = self.line {
            self.on_closed(stage);
        } else {
            self.disconnect(stage);
        }
        self.forget_client();
        self.attempts = 0;
        self.line = Line::Pausing { until: now };
    }

    /// A packet has come.
    pub(super) fn receive(&mut self, stage: &mut Stage, connection: ConnectionId, packet: Down) {
        if self.connection() != Some(connection) {
            return;
        }
        let now = self.desk.now();
        if let Line::Open { heard, .. } = &mut self.line {
            *heard = now;
        }
        match packet {
            Down::Connected(session, timeout) => {
                if let Line::Trying { began, .. } = self.line {
                    self.line = Line::Open { connection, heard: now };
                    self.timeout = timeout;
                    self.on_session(stage, SessionId::from_raw(session.raw()), began);
                }
            }
            Down::Expired => self.on_expired(stage),
            Down::Reply { xid, zxid, result } => {
                self.seen = self.seen.max(zxid);
                if let Some(Herald::Watches(it)) = self.herald
                    && it == xid
                {
                    self.announce();
                }
                let waiting = self.calls.remove(&xid).and_then(|call| call.waiting);
                if let Some((slot, _)) = waiting {
                    self.desk.state().answer(slot, result);
                }
            }
            Down::Event(event) => {
                let deleted = event.kind == EventKind::Deleted;
                let fired = self.desk.state().fire(&event.path, deleted);
                self.notices.extend(fired.into_iter().map(|watch| Notice::Fired { watch, deleted }));
            }
            Down::Closed => self.on_closed(stage),
        }
    }

    fn on_session(&mut self, stage: &mut Stage, session: SessionId, began: Timestamp) {
        if self.fresh {
            // Only of a client of our own making is it known what it has negotiated, and when its connect began.
            self.least_timeout = self.least_timeout.min(self.timeout);
            let began = self.reopening.take().unwrap_or(began);
            self.on_attached(session, began);
        } else {
            self.desk.state().moved = true;
        }
        let watched = self.desk.state().watched();
        self.attempts = 0;
        if self.fresh && self.served && !self.desk.errs(Mutation::NoFlush) {
            // What another client has seen, this one's server may not know yet.
            let slot = self.desk.state().enter(Request::Multi(vec![check("/", -1)]));
            self.herald = Some(Herald::CatchUp(slot));
            return;
        }
        if !watched.is_empty() {
            let watches = SetWatches { seen: self.seen, data: watched, ..SetWatches::default() };
            let xid = self.send(stage, Request::SetWatches(watches), Call { waiting: None });
            // Tasks of their own tell of the connection and of events: either may be first.
            if stage.rng.bool() {
                self.herald = Some(Herald::Watches(xid));
                return;
            }
        }
        self.announce();
    }

    /// A new client has created the session, or taken it up.
    fn on_attached(&self, session: SessionId, began: Timestamp) {
        let mut desk = self.desk.state();
        let known = desk.session == Some(session);
        desk.session = Some(session);
        desk.newest_timeout = self.timeout;
        desk.moved = false;
        let now = desk.now;
        match &mut desk.evidence {
            Some(evidence) if known => {
                if !self.desk.errs(Mutation::NewestTimeout) {
                    evidence.shorten(self.timeout);
                }
                if self.desk.errs(Mutation::NoClosingWindow) {
                    let least = evidence.terms().session_timeout();
                    *evidence = Evidence::created(least, self.margin, began);
                } else if !self.desk.errs(Mutation::OlderConnectionCounts) {
                    evidence.taken_up(began, now);
                }
            }
            evidence => *evidence = Some(Evidence::created(self.timeout, self.margin, began)),
        }
    }

    /// Everybody may know that there is a connection.
    fn announce(&mut self) {
        self.herald = None;
        self.fresh = false;
        self.served = true;
        self.replace_at = None;
        self.link = Link::Connected;
        self.notices.push_back(Notice::Connected);
    }

    /// Looks whether the server has caught up.
    pub(super) fn hear_herald(&mut self, stage: &mut Stage) {
        if let Some(Herald::CatchUp(slot)) = self.herald {
            let answer = self.desk.state().take_answer(slot);
            match answer {
                Some(Ok(Body::Multi(_))) => self.announce(),
                Some(_) => self.disconnect(stage),
                None => {}
            }
        }
    }

    fn on_expired(&mut self, stage: &mut Stage) {
        note!(stage, "process {} hears that its session is over", self.process);
        let mut desk = self.desk.state();
        (desk.session, desk.evidence) = (None, None);
        desk.claims = Claims::default();
        drop(desk);
        self.reopening = None;
        self.forget_client();
        self.link = Link::Connecting;
        self.fresh = true;
        self.replace_at = None;
        self.on_closed(stage);
        self.notices.push_back(Notice::SessionLost);
    }
}
