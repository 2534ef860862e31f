//! The network between clients and servers: connections that keep the order of packets, stall, and break.

use std::collections::BTreeMap;
use std::time::Duration;

use super::settings::SERVERS;
use super::time::Instant;
use super::triggers::{ArmedFaults, Trigger, TriggeredFault};
use zookeeper_embedded::SessionId;
use zookeeper_embedded::replica::{Body, Code, ConnectionId, Event, Request};

/// A packet from a client to a server.
#[derive(Debug)]
pub(super) enum Up {
    /// The request to open or resume a session.
    Connect {
        session: Option<SessionId>,
        seen: i64,
        /// The session timeout that the client asks for.
        timeout: Duration,
    },
    Request {
        xid: i32,
        request: Request,
    },
    /// The end of the connection.
    Close,
}

/// A packet from a server to a client.
#[derive(Debug)]
pub(super) enum Down {
    /// With the negotiated session timeout.
    Connected(SessionId, Duration),
    /// The session no longer exists.
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
    /// Until when no packet passes, for each process and server, in each direction. Packets pass then, because TCP
    /// repeats them.
    blocked_until: Vec<[[Instant; 2]; SERVERS]>,
    /// Until when new connections of each process are broken from the start.
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

    /// The unbroken connections of a process, oldest first.
    pub(super) fn of_process(&self, process: usize) -> Vec<ConnectionId> {
        let unbroken = |(_, it): &(&ConnectionId, &NetworkConnection)| it.process == process && !it.broken;
        self.connections.iter().filter(unbroken).map(|(connection, _)| *connection).collect()
    }

    /// When a packet from the client arrives. `None` if it is lost.
    pub(super) fn up(
        &mut self,
        connection: ConnectionId,
        now: Instant,
        latency: Duration,
    ) -> Option<Instant> {
        self.arrival(connection, UP, now, latency)
    }

    /// When a packet from the server arrives. `None` if it is lost.
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

    /// Holds packets back until then.
    pub(super) fn block(&mut self, process: usize, server: usize, direction: usize, until: Instant) {
        let blocked = &mut self.blocked_until[process][server][direction];
        *blocked = until.max(*blocked);
    }

    /// Unblocks a path for packets sent from now on.
    pub(super) fn unblock(&mut self, process: usize, server: usize, direction: usize, now: Instant) {
        self.blocked_until[process][server][direction] = now;
    }

    /// Makes a server refuse the connections of a process until then.
    pub(super) fn refuse(&mut self, process: usize, server: usize, until: Instant) {
        self.refused_until[process][server] = until;
    }

    pub(super) fn refuses(&self, process: usize, server: usize, now: Instant) -> bool {
        now < self.refused_until[process][server]
    }

    /// Breaks new connections of a process until then. Neither end is told.
    pub(super) fn lose(&mut self, process: usize, until: Instant) {
        self.lost_until[process] = until.max(self.lost_until[process]);
    }

    /// Breaks a connection. Returns whether it was unbroken.
    pub(super) fn break_off(&mut self, connection: ConnectionId) -> bool {
        self.connections
            .get_mut(&connection)
            .is_some_and(|connection| !std::mem::replace(&mut connection.broken, true))
    }

    pub(super) fn arm(&mut self, process: usize, fault: TriggeredFault) {
        self.armed[process].set(fault);
    }

    /// Takes out the fault that fires at this moment on the connection, if any.
    pub(super) fn fire(&mut self, connection: ConnectionId, moment: Trigger) -> Option<TriggeredFault> {
        let process = self.connections.get(&connection).filter(|connection| !connection.broken)?.process;
        self.armed[process].fire(moment)
    }
}
