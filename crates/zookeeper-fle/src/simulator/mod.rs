//! An ensemble in one thread and in virtual time: its servers, the network between them, and a trace of all events.
//!
//! ```
//! use std::time::Duration;
//! use zookeeper_fle::simulator::Simulation;
//! use zookeeper_fle::{Quorum, ServerId};
//!
//! // Five servers without any history. The first three start.
//! let mut ensemble = Simulation::new(Quorum::majority((1..=5).map(ServerId)), 7);
//! for id in 1..=3 {
//!     ensemble.start(ServerId(id));
//! }
//! ensemble.run_for(Duration::from_secs(1));
//! assert_eq!(ensemble.leader(), Some(ServerId(3)));
//!
//! // Server 5 starts late. It has the greatest id, and follows.
//! ensemble.start(ServerId(5));
//! ensemble.run_for(Duration::from_secs(1));
//! assert_eq!(ensemble.leader(), Some(ServerId(3)));
//! for event in ensemble.trace() {
//!     println!("{:?} {event}", event.at);
//! }
//! ```
//!
//! Every server runs an [`Elector`]. No code here waits or reads a clock: time jumps from one event to the next. All
//! randomness comes from the seed, so the same calls with the same seed give the same [trace](Simulation::trace).
//!
//! # The network
//!
//! A pair of servers has one connection or none. Its messages arrive in order, each after a [delay](Network::delay). A
//! server that sends without a connection makes one, if the other server runs and no
//! [partition](Simulation::partition) separates them. Otherwise the message waits in a send queue for one message, where a
//! newer message replaces it. In each direction, a new connection first carries the waiting message, or else the last
//! message once more, however old it is. A [lost](Network::loss) message ends the connection, and all messages on it are
//! lost too.
//!
//! # Limits
//!
//! In ZooKeeper an elected server becomes leader by Zab's discovery and synchronisation. The simulator has a stand-in for
//! these steps: followers find their leader, a leader with a quorum of followers gets a new epoch, all of them store it at
//! once, and a server that is out of contact for too long looks again ([`ZabTimeouts`], [`Simulation::write`]). Each step
//! is atomic and sends no messages, so the simulator shows nothing about Zab itself.

mod delivery;
mod network;
mod schedule;
mod server;
mod trace;
mod zab;
mod zab_timeouts;

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;

use crate::elector::{Elector, Event, History};
use crate::quorum::Quorum;
use crate::vote::{Epoch, ServerId, ServerState, Vote, Zxid};

pub use self::network::Network;
pub use self::server::SimulatedServer;
pub use self::trace::{Effect, EventKind, Reason, TraceEvent};
pub use self::zab_timeouts::ZabTimeouts;

use self::network::Connections;
use self::schedule::{Schedule, ScheduledEvent};

/// The end of time: no event happens later. The other half of [`Duration`] is for waits that begin before.
const END: Duration = Duration::from_secs(u64::MAX / 2);

/// An ensemble that runs in virtual time.
#[derive(Clone, Debug)]
pub struct Simulation {
    quorum: Quorum,
    servers: BTreeMap<ServerId, SimulatedServer>,
    connections: Connections,
    zab_timeouts: ZabTimeouts,
    rng: Rng,
    now: Duration,
    schedule: Schedule,
    /// Whether a [`ScheduledEvent::ZabTick`] is scheduled.
    zab_is_ticking: bool,
    /// The number of leaderships so far, established or not.
    leaderships: u64,
    trace: Vec<TraceEvent>,
    /// The number of trace events that [`step`](Self::step) has returned.
    returned: usize,
}

impl Simulation {
    /// An ensemble of the voters of this quorum. No server runs yet, and none has any history.
    #[must_use]
    pub fn new(quorum: Quorum, seed: u64) -> Self {
        let fresh = SimulatedServer::new(History { epoch: Epoch(0), zxid: Zxid(0) });
        Self {
            servers: quorum.voters().map(|id| (id, fresh.clone())).collect(),
            quorum,
            connections: Connections::new(Network::default()),
            zab_timeouts: ZabTimeouts::default(),
            rng: Rng::with_seed(seed),
            now: Duration::ZERO,
            schedule: Schedule::default(),
            zab_is_ticking: false,
            leaderships: 0,
            trace: Vec::new(),
            returned: 0,
        }
    }

    /// Replaces the [default network](Network::default).
    ///
    /// # Panics
    /// As [`set_network`](Self::set_network).
    #[must_use]
    pub fn with_network(mut self, network: Network) -> Self {
        self.set_network(network);
        self
    }

    /// Replaces the [default time-outs](ZabTimeouts::default) of the stand-in for Zab.
    ///
    /// # Panics
    /// If the tick is zero, because virtual time would stand still.
    #[must_use]
    pub fn with_zab_timeouts(mut self, timeouts: ZabTimeouts) -> Self {
        timeouts.assert_sound();
        self.zab_timeouts = timeouts;
        self
    }

    /// Puts this history on a server's disk. A server that is not a voter is added as an observer.
    #[must_use]
    pub fn with_history(mut self, id: ServerId, history: History) -> Self {
        self.servers.entry(id).or_insert_with(|| SimulatedServer::new(history)).history = history;
        self
    }

    /// Replaces the network for all messages from now on.
    ///
    /// # Panics
    /// If the shortest delay is longer than the longest, or the loss is no probability from 0 to 1.
    pub fn set_network(&mut self, network: Network) {
        network.assert_sound();
        self.connections.set_network(network);
    }

    /// Gives all messages from one server to another exactly this delay from now on.
    pub fn set_delay(&mut self, from: ServerId, to: ServerId, delay: Duration) {
        self.connections.set_delay(from, to, delay);
    }

    /// Replaces the history on a server's disk. A server that runs votes with it from its next round on. Has no effect if
    /// the ensemble has no such server.
    pub fn set_history(&mut self, id: ServerId, history: History) {
        if let Some(server) = self.servers.get_mut(&id) {
            server.history = history;
        }
    }

    /// Starts a server, which looks for a leader at once. Has no effect if it runs.
    pub fn start(&mut self, id: ServerId) {
        let Some(server) = self.servers.get_mut(&id).filter(|it| !it.is_up()) else { return };
        server.elector = Some(Elector::new(id, self.quorum.clone()));
        let history = server.history;
        self.record(id, EventKind::Started(history));
        self.look(id);
    }

    /// Starts a server after this time, unless it runs by then.
    pub fn start_after(&mut self, id: ServerId, wait: Duration) {
        self.schedule.add(self.now.saturating_add(wait), ScheduledEvent::Start(id));
    }

    /// Crashes a server. It keeps its history, and loses its round and its votes. The messages that it has sent still
    /// arrive. Has no effect unless it runs.
    pub fn crash(&mut self, id: ServerId) {
        let Some(server) = self.servers.get_mut(&id).filter(|it| it.is_up()) else { return };
        (server.elector, server.zab_state, server.tick) = (None, None, None);
        self.connections.forget(id);
        self.schedule.retain(|event| match event {
            ScheduledEvent::ElectorTick(of) => *of != id,
            ScheduledEvent::Deliver { to, .. } => *to != id,
            ScheduledEvent::Connected(a, b) => *a != id && *b != id,
            ScheduledEvent::Start(_) | ScheduledEvent::ZabTick => true,
        });
        self.record(id, EventKind::Crashed);
        self.start_zab_ticks();
    }

    /// Partitions the network: only the servers of the same group reach each other, until the next partition or
    /// [`heal`](Self::heal). A server that is in no group reaches no other. Messages on their way between groups are lost.
    pub fn partition(&mut self, groups: &[&[ServerId]]) {
        let groups = groups.iter().map(|group| group.iter().copied().collect()).collect();
        self.connections.set_groups(Some(groups));
        for (a, b) in self.pairs() {
            if self.connections.reach_each_other(a, b) {
                self.reconnect(a, b);
            } else {
                self.disconnect(a, b);
            }
        }
        self.start_zab_ticks();
    }

    /// Ends the partition. Running servers without a connection get one.
    pub fn heal(&mut self) {
        self.connections.set_groups(None);
        for (a, b) in self.pairs() {
            self.reconnect(a, b);
        }
        self.start_zab_ticks();
    }

    /// Returns the next trace event, and lets time pass until there is one. `None` if there is none to come without
    /// another call: all running servers have settled and are synchronised with their leader.
    ///
    /// A server that finds no quorum repeats its vote for ever, so the events do not end then.
    pub fn step(&mut self) -> Option<TraceEvent> {
        while self.returned == self.trace.len() {
            if !self.advance(END) {
                return None;
            }
        }
        self.returned += 1;
        self.trace.get(self.returned - 1).cloned()
    }

    /// Lets this time pass, or the rest of it: time ends after half of [`Duration::MAX`]. Do not run until then while a
    /// server repeats its vote for ever (see [`step`](Self::step)).
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now.saturating_add(time).min(END);
        while self.advance(end) {}
        self.now = end;
    }

    /// Lets time pass until a condition holds, at most `limit`. Returns whether it holds.
    pub fn run_until(&mut self, limit: Duration, mut holds: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now.saturating_add(limit).min(END);
        while !holds(self) {
            if !self.advance(end) {
                self.now = end;
                return false;
            }
        }
        true
    }

    /// The time since the beginning.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.now
    }

    /// All events since the beginning.
    #[must_use]
    pub fn trace(&self) -> &[TraceEvent] {
        &self.trace
    }

    /// The voters and their quorums.
    #[must_use]
    pub fn quorum(&self) -> &Quorum {
        &self.quorum
    }

    /// The servers, by their ids.
    pub fn servers(&self) -> impl Iterator<Item = (ServerId, &SimulatedServer)> {
        self.servers.iter().map(|(id, server)| (*id, server))
    }

    /// A server. `None` if the ensemble has no such server.
    #[must_use]
    pub fn server(&self, id: ServerId) -> Option<&SimulatedServer> {
        self.servers.get(&id)
    }

    /// The leader, if it leads and all running servers have settled on it; `None` while one of them is looking or
    /// disagrees.
    #[must_use]
    pub fn leader(&self) -> Option<ServerId> {
        let mut leaders = self.servers.values().filter(|it| it.is_up()).map(SimulatedServer::leader);
        let leader = leaders.next()??;
        let leads = self.servers[&leader].state() == Some(ServerState::Leading);
        (leads && leaders.all(|it| it == Some(leader))).then_some(leader)
    }

    /// Whether all running servers follow one established leader and are synchronised with it. Then no more events happen
    /// without another call.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let running = || self.servers.values().filter(|it| it.is_up());
        let epoch = running().next().and_then(SimulatedServer::established);
        self.leader().is_some() && epoch.is_some() && running().all(|it| it.established() == epoch)
    }

    /// Lets the next scheduled event happen, unless it is later than `end`.
    fn advance(&mut self, end: Duration) -> bool {
        let Some((at, event)) = self.schedule.take_due(end) else { return false };
        self.now = at;
        match event {
            ScheduledEvent::Start(id) => self.start(id),
            ScheduledEvent::ElectorTick(id) => self.handle(id, Event::Tick),
            ScheduledEvent::Connected(a, b) => self.connected(a, b),
            ScheduledEvent::Deliver { from, to, notification } => self.deliver(from, to, notification),
            ScheduledEvent::ZabTick => {
                self.zab_is_ticking = self.zab_tick();
                if self.zab_is_ticking {
                    self.schedule_zab_tick();
                }
            }
        }
        true
    }

    /// Lets a server begin an election.
    fn look(&mut self, id: ServerId) {
        let now = self.now;
        let Some(server) = self.servers.get_mut(&id) else { return };
        server.zab_state = None;
        let Some(elector) = &mut server.elector else { return };
        let actions = elector.look(now, server.history);
        let (round, vote) = (elector.round(), elector.proposal().unwrap_or(Vote::NONE));
        self.record(id, EventKind::RoundStarted { round, vote });
        self.carry_out(id, actions, Reason::Votes);
    }

    /// Starts the ticks of the stand-in for Zab, because a change may concern the settled servers.
    fn start_zab_ticks(&mut self) {
        if self.zab_is_ticking {
            return;
        }
        // Until now all were in contact: otherwise the ticks would not have stopped.
        for state in self.servers.values_mut().filter_map(|it| it.zab_state.as_mut()) {
            state.last_contact = self.now;
        }
        self.zab_is_ticking = true;
        self.schedule_zab_tick();
    }

    fn schedule_zab_tick(&mut self) {
        self.schedule.add(self.now.saturating_add(self.zab_timeouts.tick), ScheduledEvent::ZabTick);
    }

    fn record(&mut self, server: ServerId, kind: EventKind) {
        self.trace.push(TraceEvent { at: self.now, server, kind });
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod tests;
