//! The sockets and the timer of a server: what it has received and, because it is paused, not yet read.

use std::collections::{BTreeMap, VecDeque};

use crate::simulation::messages::Message;
use crate::simulation::network::Up;
use zookeeper_embedded::replica::ConnectionId;

/// What a server has to read.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    pub(super) reading: Reading,
    pub(super) from_servers: VecDeque<(usize, Message)>,
    pub(super) from_clients: BTreeMap<ConnectionId, VecDeque<Up>>,
    /// The server's clock has ticked.
    pub(super) ticked: bool,
}

/// What a server reads.
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

    /// Leaves a server's word unread, if the time has not come for it.
    pub(super) fn defer_message(&mut self, from: usize, message: Message) -> Option<Message> {
        if self.is_paused() {
            self.from_servers.push_back((from, message));
            return None;
        }
        Some(message)
    }

    /// Leaves a client's packet unread, if the time has not come for it.
    pub(super) fn defer_packet(&mut self, connection: ConnectionId, packet: Up) -> Option<Up> {
        if self.reading != Reading::Everything || self.from_clients.contains_key(&connection) {
            self.from_clients.entry(connection).or_default().push_back(packet);
            return None;
        }
        Some(packet)
    }

    /// Puts off half a tick, if the server stands still.
    pub(super) fn defer_tick(&mut self) -> bool {
        self.ticked |= self.is_paused();
        self.is_paused()
    }

    /// The server has closed a connection: what was not read of it is lost.
    pub(super) fn close(&mut self, connection: ConnectionId) {
        self.from_clients.remove(&connection);
    }
}
