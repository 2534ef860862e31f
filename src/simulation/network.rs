//! The network between clients and servers: connections that keep the order, stand still, and break.

use std::collections::BTreeMap;
use std::time::Duration;

use super::settings::SERVERS;
use super::time::Instant;
use super::triggers::{ArmedFaults, Trigger, TriggeredFault};
use zookeeper_embedded::SessionId;
use zookeeper_embedded::replica::{Body, Code, ConnectionId, Event, Request};

/// What clients send.
#[derive(Debug)]
pub(super) enum Up {
    /// The request for a session: a new one, or an old one.
    Connect {
        session: Option<SessionId>,
        seen: i64,
        /// The session timeout that the client wishes for.
        timeout: Duration,
    },
    Request {
        xid: i32,
        request: Request,
    },
    /// The end of the connection.
    Close,
}

/// What servers send.
#[derive(Debug)]
pub(super) enum Down {
    /// With the session timeout that was negotiated.
    Connected(SessionId, Duration),
    /// There is no such session any more.
    Expired,
    Reply {
        xid: i32,
        zxid: i64,
        result: Result<Body, Code>,
    },
    Event(Event),
    /// The end of the connection.
    Closed,
}

/// The directions of a path.
pub(super) const UP: usize = 0;
pub(super) const DOWN: usize = 1;

#[derive(Debug)]
pub(super) struct Network {
    connections: BTreeMap<ConnectionId, NetworkConnection>,
    opened: u64,
    /// Until when nothing passes, for each process and server, in each direction. It passes then: TCP is patient.
    blocked_until: Vec<[[Instant; 2]; SERVERS]>,
    /// Until when everything is lost that a process sends over a new connection.
    lost_until: Vec<Instant>,
    /// Until when the servers refuse the connections of each process.
    refused_until: Vec<[Instant; SERVERS]>,
    armed: Vec<ArmedFaults>,
}

#[derive(Debug)]
struct NetworkConnection {
    process: usize,
    server: usize,
    /// When the last packet in each direction arrives.
    last: [Instant; 2],
    broken: bool,
}

impl Network {
    pub(super) fn new(processes: usize) -> Self {
        Self {
            connections: BTreeMap::new(),
            opened: 0,
            blocked_until: vec![[[Instant::ZERO; 2]; SERVERS]; processes],
            lost_until: vec![Instant::ZERO; processes],
            refused_until: vec![[Instant::ZERO; SERVERS]; processes],
            armed: (0..processes).map(|_| ArmedFaults::default()).collect(),
        }
    }

    /// A new connection.
    pub(super) fn open(&mut self, process: usize, server: usize, now: Instant) -> ConnectionId {
        self.opened += 1;
        let connection = ConnectionId::new(self.opened);
        let (last, broken) = ([Instant::ZERO; 2], now < self.lost_until[process]);
        self.connections.insert(connection, NetworkConnection { process, server, last, broken });
        connection
    }

    pub(super) fn server(&self, connection: ConnectionId) -> Option<usize> {
        self.connections.get(&connection).map(|connection| connection.server)
    }

    pub(super) fn process(&self, connection: ConnectionId) -> Option<usize> {
        self.connections.get(&connection).map(|connection| connection.process)
    }

    pub(super) fn is_broken(&self, connection: ConnectionId) -> bool {
        self.connections.get(&connection).is_none_or(|connection| connection.broken)
    }

    /// The connections of a process, oldest first.
    pub(super) fn of_process(&self, process: usize) -> Vec<ConnectionId> {
        let unbroken = |(_, it): &(&ConnectionId, &NetworkConnection)| it.process == process && !it.broken;
        self.connections.iter().filter(unbroken).map(|(connection, _)| *connection).collect()
    }

    /// When a packet from the client arrives, if at all.
    pub(super) fn up(
        &mut self,
        connection: ConnectionId,
        now: Instant,
        latency: Duration,
    ) -> Option<Instant> {
        self.arrival(connection, UP, now, latency)
    }

    /// When a packet from the server arrives, if at all.
    pub(super) fn down(
        &mut self,
        connection: ConnectionId,
        now: Instant,
        latency: Duration,
    ) -> Option<Instant> {
        self.arrival(connection, DOWN, now, latency)
    }

    fn arrival(
        &mut self,
        connection: ConnectionId,
        direction: usize,
        now: Instant,
        latency: Duration,
    ) -> Option<Instant> {
        let connection = self.connections.get_mut(&connection).filter(|connection| !connection.broken)?;
        let free = self.blocked_until[connection.process][connection.server][direction];
        let arrival = (now.max(free) + latency).max(connection.last[direction]);
        connection.last[direction] = arrival;
        Some(arrival)
    }

    /// Lets nothing pass until then.
    pub(super) fn block(&mut self, process: usize, server: usize, direction: usize, until: Instant) {
        let blocked = &mut self.blocked_until[process][server][direction];
        *blocked = until.max(*blocked);
    }

    /// Unblocks a path for packets sent from now on.
    pub(super) fn unblock(&mut self, process: usize, server: usize, direction: usize, now: Instant) {
        self.blocked_until[process][server][direction] = now;
    }

    /// Has the connections of a process to a server refused until then.
    pub(super) fn refuse(&mut self, process: usize, server: usize, until: Instant) {
        self.refused_until[process][server] = until;
    }

    pub(super) fn refuses(&self, process: usize, server: usize, now: Instant) -> bool {
        now < self.refused_until[process][server]
    }

    /// Lets no connection come about before then; nobody is told.
    pub(super) fn lose(&mut self, process: usize, until: Instant) {
        self.lost_until[process] = until.max(self.lost_until[process]);
    }

    /// Breaks a connection, and tells whether it was whole.
    pub(super) fn break_off(&mut self, connection: ConnectionId) -> bool {
        self.connections
            .get_mut(&connection)
            .is_some_and(|connection| !std::mem::replace(&mut connection.broken, true))
    }

    /// Sets a fault.
    pub(super) fn arm(&mut self, process: usize, fault: TriggeredFault) {
        self.armed[process].set(fault);
    }

    /// The fault that springs at this moment of the process's connection, if any.
    pub(super) fn fire(&mut self, connection: ConnectionId, moment: Trigger) -> Option<TriggeredFault> {
        let process = self.connections.get(&connection).filter(|connection| !connection.broken)?.process;
        self.armed[process].fire(moment)
    }
}
