//! The network between the servers: who hears whom, and which connections there are.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use fastrand::Rng;

use super::super::notification::Notification;
use super::super::vote::ServerId;

/// How the network treats messages.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// How long a message takes from one server to another, from the shortest to the longest: drawn evenly for each.
    /// Default: 1 to 5 ms.
    ///
    /// The messages from one server to another keep their order nevertheless, as on every TCP connection: one that
    /// would overtake another arrives together with it.
    pub delay: RangeInclusive<Duration>,
    /// How probable it is, from 0 to 1, that a message gets lost, and the connection with it. Default: 0.
    pub loss: f64,
    /// How many delays it takes to make a connection before it carries a message. Default: 0, as if it had been
    /// there. Over TCP it is 2, a round trip.
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

/// The connections, the messages that wait for one, and who hears whom.
#[derive(Clone, Debug)]
pub(super) struct Links {
    network: Network,
    /// Delays that do not depend on luck.
    delays: BTreeMap<(ServerId, ServerId), Duration>,
    /// While there is a partition: those in one group hear each other. Who is in none hears nobody.
    groups: Option<Vec<BTreeSet<ServerId>>>,
    /// The connections of pairs, the lower id first. Where there is no entry there is none.
    connections: BTreeMap<(ServerId, ServerId), Connection>,
    /// From a server to another.
    channels: BTreeMap<(ServerId, ServerId), Channel>,
}

/// What a pair of servers has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connection {
    /// It is being made.
    Connecting,
    /// It carries messages.
    Up,
}

/// What a server keeps for another one.
#[derive(Clone, Debug, Default)]
struct Channel {
    /// The queue, which has one place: the newest message wins.
    waiting: Option<Notification>,
    /// The last message sent, which goes over every new connection if nothing waits.
    last: Option<Notification>,
    /// When the last message arrives: none overtakes it.
    arrival: Duration,
}

impl Links {
    pub(super) fn new(network: Network) -> Self {
        Self {
            network,
            delays: BTreeMap::new(),
            groups: None,
            connections: BTreeMap::new(),
            channels: BTreeMap::new(),
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

    /// Whether no partition is between these two.
    pub(super) fn hear_each_other(&self, a: ServerId, b: ServerId) -> bool {
        self.groups.as_ref().is_none_or(|groups| groups.iter().any(|it| it.contains(&a) && it.contains(&b)))
    }

    pub(super) fn connection(&self, a: ServerId, b: ServerId) -> Option<Connection> {
        self.connections.get(&pair(a, b)).copied()
    }

    pub(super) fn set_connection(&mut self, a: ServerId, b: ServerId, connection: Connection) {
        self.connections.insert(pair(a, b), connection);
    }

    pub(super) fn disconnect(&mut self, a: ServerId, b: ServerId) {
        self.connections.remove(&pair(a, b));
    }

    /// A server has crashed: its connections and all that it kept for others are gone.
    pub(super) fn forget(&mut self, id: ServerId) {
        self.connections.retain(|(a, b), _| *a != id && *b != id);
        self.channels.retain(|(from, _), _| *from != id);
    }

    /// Puts a message into the queue, in the place of what is there.
    pub(super) fn put(&mut self, from: ServerId, to: ServerId, notification: Notification) {
        self.channels.entry((from, to)).or_default().waiting = Some(notification);
    }

    /// Whether a message waits in the queue.
    pub(super) fn waits(&self, from: ServerId, to: ServerId) -> bool {
        self.channels.get(&(from, to)).is_some_and(|channel| channel.waiting.is_some())
    }

    /// What goes over a new connection first: what waits, else what was sent last.
    pub(super) fn take_first(&mut self, from: ServerId, to: ServerId) -> Option<Notification> {
        let channel = self.channels.get_mut(&(from, to))?;
        channel.arrival = Duration::ZERO;
        channel.waiting.take().or_else(|| channel.last.clone())
    }

    /// Sends a message, and says when it arrives; `None` if it is lost.
    pub(super) fn transmit(
        &mut self,
        now: Duration,
        from: ServerId,
        to: ServerId,
        notification: &Notification,
        rng: &mut Rng,
    ) -> Option<Duration> {
        let arrival = now.saturating_add(self.delay(from, to, rng));
        let channel = self.channels.entry((from, to)).or_default();
        channel.last = Some(notification.clone());
        if self.network.loss > 0.0 && rng.f64() < self.network.loss {
            return None;
        }
        channel.arrival = channel.arrival.max(arrival);
        Some(channel.arrival)
    }

    /// How long it takes to make a connection.
    pub(super) fn handshake(&self, from: ServerId, to: ServerId, rng: &mut Rng) -> Duration {
        let mut way = (from, to);
        let mut takes = Duration::ZERO;
        for _ in 0..self.network.handshake {
            takes = takes.saturating_add(self.delay(way.0, way.1, rng));
            way = (way.1, way.0);
        }
        takes
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
