//! The sockets and the timer of a server: what it has received during a pause, and not yet read.

use std::collections::{BTreeMap, VecDeque};

use crate::simulation::messages::Message;
use crate::simulation::network::Up;
use zookeeper_embedded::replica::ConnectionId;

/// The unread input of a server.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    pub(super) reading: Reading,
    pub(super) from_servers: VecDeque<(usize, Message)>,
    pub(super) from_clients: BTreeMap<ConnectionId, VecDeque<Up>>,
    /// Half a tick has passed during the pause.
    pub(super) ticked: bool,
}

/// The input that a server reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Reading {
    #[default]
    Everything,
    /// The server was resumed, and its threads for clients wait until it has replied to the leader server.
    ServersOnly,
    /// The server is paused.
    Nothing,
}

impl Sockets {
    pub(super) fn is_paused(&self) -> bool {
        self.reading == Reading::Nothing
    }

    /// Leaves a server's message unread, if the receiver is paused.
    pub(super) fn defer_message(&mut self, from: usize, message: Message) -> Option<Message> {
        if self.is_paused() {
            self.from_servers.push_back((from, message));
            return None;
        }
        Some(message)
    }

    /// Leaves a client's packet unread, if the server does not read it yet.
    pub(super) fn defer_packet(&mut self, connection: ConnectionId, packet: Up) -> Option<Up> {
        if self.reading != Reading::Everything || self.from_clients.contains_key(&connection) {
            self.from_clients.entry(connection).or_default().push_back(packet);
            return None;
        }
        Some(packet)
    }

    /// Defers half a tick, if the server is paused.
    pub(super) fn defer_tick(&mut self) -> bool {
        self.ticked |= self.is_paused();
        self.is_paused()
    }

    /// The server has closed a connection: its unread packets are lost.
    pub(super) fn close(&mut self, connection: ConnectionId) {
        self.from_clients.remove(&connection);
    }
}
