//! The network between the servers: connections, send queues, delays, losses, partitions.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use fastrand::Rng;

use crate::notification::Notification;
use crate::vote::ServerId;

/// How the network treats messages.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// The shortest and the longest time that a message takes from one server to another, drawn evenly for each message.
    /// Default: 1 to 5 ms.
    ///
    /// Messages from one server to another keep their order, as on a TCP connection: a message that would overtake
    /// another one arrives together with it.
    pub delay: RangeInclusive<Duration>,
    /// The probability, from 0 to 1, that a message is lost, and its connection with it. Default: 0.
    pub loss: f64,
    /// The number of delays that pass before a new connection carries a message. Default: 0. TCP takes 2, a round trip.
    pub handshake: u32,
}

impl Default for Network {
    fn default() -> Self {
        let delay = Duration::from_millis(1)..=Duration::from_millis(5);
        Self { delay, loss: 0.0, handshake: 0 }
    }
}

impl Network {
    pub(super) fn assert_sound(&self) {
        let (shortest, longest) = (self.delay.start(), self.delay.end());
        assert!(
            shortest <= longest,
            "Network::delay goes from {shortest:?} to {longest:?}: write the shorter one first"
        );
        let loss = self.loss;
        assert!((0.0..=1.0).contains(&loss), "Network::loss is {loss}: write a probability from 0 to 1");
    }
}

/// The connections, the send queues, and the partition.
#[derive(Clone, Debug)]
pub(super) struct Connections {
    network: Network,
    /// Fixed delays, by sender and receiver.
    delays: BTreeMap<(ServerId, ServerId), Duration>,
    /// During a partition: the servers of a group reach each other. A server in no group reaches no other.
    groups: Option<Vec<BTreeSet<ServerId>>>,
    /// By pair of servers, the lower id first.
    connections: BTreeMap<(ServerId, ServerId), ConnectionState>,
    /// By sender and receiver.
    queues: BTreeMap<(ServerId, ServerId), SendQueue>,
}

/// The state of the connection between two servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectionState {
    /// It is being made.
    Connecting,
    /// It carries messages.
    Up,
}

/// The messages that a server keeps for another one.
#[derive(Clone, Debug, Default)]
struct SendQueue {
    /// The message to be sent. A newer one replaces it.
    waiting: Option<Notification>,
    /// The last message sent. A new connection carries it again if no message waits.
    last: Option<Notification>,
    /// The arrival of the last message, which no later message overtakes.
    arrival: Duration,
}

impl Connections {
    pub(super) fn new(network: Network) -> Self {
        Self {
            network,
            delays: BTreeMap::new(),
            groups: None,
            connections: BTreeMap::new(),
            queues: BTreeMap::new(),
        }
    }

    pub(super) fn set_network(&mut self, network: Network) {
        self.network = network;
    }

    pub(super) fn set_delay(&mut self, from: ServerId, to: ServerId, delay: Duration) {
        self.delays.insert((from, to), delay);
    }

    pub(super) fn set_groups(&mut self, groups: Option<Vec<BTreeSet<ServerId>>>) {
        self.groups = groups;
    }

    /// Whether no partition separates these two.
    pub(super) fn reach_each_other(&self, a: ServerId, b: ServerId) -> bool {
        self.groups.as_ref().is_none_or(|groups| groups.iter().any(|it| it.contains(&a) && it.contains(&b)))
    }

    pub(super) fn connection(&self, a: ServerId, b: ServerId) -> Option<ConnectionState> {
        self.connections.get(&pair(a, b)).copied()
    }

    pub(super) fn set_connection(&mut self, a: ServerId, b: ServerId, connection: ConnectionState) {
        self.connections.insert(pair(a, b), connection);
    }

    pub(super) fn disconnect(&mut self, a: ServerId, b: ServerId) {
        self.connections.remove(&pair(a, b));
    }

    /// Removes the connections and the send queues of a server that has crashed.
    pub(super) fn forget(&mut self, id: ServerId) {
        self.connections.retain(|(a, b), _| *a != id && *b != id);
        self.queues.retain(|(from, _), _| *from != id);
    }

    /// Puts a message into the send queue. It replaces the one that waits there.
    pub(super) fn enqueue(&mut self, from: ServerId, to: ServerId, notification: Notification) {
        self.queues.entry((from, to)).or_default().waiting = Some(notification);
    }

    /// Whether a message waits in the send queue.
    pub(super) fn has_waiting(&self, from: ServerId, to: ServerId) -> bool {
        self.queues.get(&(from, to)).is_some_and(|queue| queue.waiting.is_some())
    }

    /// The first message over a new connection: the one that waits, or else the last one once more.
    pub(super) fn take_first(&mut self, from: ServerId, to: ServerId) -> Option<Notification> {
        let queue = self.queues.get_mut(&(from, to))?;
        queue.arrival = Duration::ZERO;
        queue.waiting.take().or_else(|| queue.last.clone())
    }

    /// Sends a message. Returns its arrival, or `None` if it is lost.
    pub(super) fn transmit(
        &mut self,
        now: Duration,
        from: ServerId,
        to: ServerId,
        notification: &Notification,
        rng: &mut Rng,
    ) -> Option<Duration> {
        let arrival = now.saturating_add(self.delay(from, to, rng));
        let queue = self.queues.entry((from, to)).or_default();
        queue.last = Some(notification.clone());
        if self.network.loss > 0.0 && rng.f64() < self.network.loss {
            return None;
        }
        queue.arrival = queue.arrival.max(arrival);
        Some(queue.arrival)
    }

    /// The time that a new connection takes.
    pub(super) fn handshake(&self, from: ServerId, to: ServerId, rng: &mut Rng) -> Duration {
        let mut direction = (from, to);
        let mut time = Duration::ZERO;
        for _ in 0..self.network.handshake {
            time = time.saturating_add(self.delay(direction.0, direction.1, rng));
            direction = (direction.1, direction.0);
        }
        time
    }

    fn delay(&self, from: ServerId, to: ServerId, rng: &mut Rng) -> Duration {
        if let Some(delay) = self.delays.get(&(from, to)) {
            return *delay;
        }
        let (shortest, longest) = (self.network.delay.start(), self.network.delay.end());
        let span = u64::try_from((*longest - *shortest).as_micros()).unwrap_or(u64::MAX);
        *shortest + Duration::from_micros(if span == 0 { 0 } else { rng.u64(0..=span) })
    }
}

fn pair(a: ServerId, b: ServerId) -> (ServerId, ServerId) {
    (a.min(b), a.max(b))
}
