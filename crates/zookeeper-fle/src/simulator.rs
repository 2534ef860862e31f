//! A whole ensemble in one thread, in virtual time: its servers, the network between them, and everything that
//! happens.
//!
//! ```
//! use std::time::Duration;
//! use zookeeper_fle::simulator::Simulation;
//! use zookeeper_fle::{Quorum, ServerId};
//!
//! // Five servers without any history, of which the first three start.
//! let mut ensemble = Simulation::new(Quorum::majority((1..=5).map(ServerId)), 7);
//! for id in 1..=3 {
//!     ensemble.start(ServerId(id));
//! }
//! ensemble.run_for(Duration::from_secs(1));
//! assert_eq!(ensemble.leader(), Some(ServerId(3)));
//!
//! // 5 comes late. It has the greatest id, and follows.
//! ensemble.start(ServerId(5));
//! ensemble.run_for(Duration::from_secs(1));
//! assert_eq!(ensemble.leader(), Some(ServerId(3)));
//! for happening in ensemble.happenings() {
//!     println!("{:?} {happening}", happening.at);
//! }
//! ```
//!
//! Every server runs an [`Elector`]. Nothing here waits or asks a clock: time passes from one thing that happens to
//! the next. Chance comes from the seed alone, so that the same calls with the same seed give the same
//! [happenings](Simulation::happenings), every time.
//!
//! # The network
//!
//! Each pair of servers has one connection, or none. What is sent over it arrives in its order after a
//! [delay](Network::delay). A server that has something to say to another and no connection makes one, if the other
//! runs and no [partition](Simulation::partition) is between them; else the message waits, in a queue of one
//! place, where a newer one takes it. A new connection carries in both directions first what waits, or else
//! what was sent last once more, however old that is. A message that is [lost](Network::loss) takes the connection
//! with it and all that is under way on it.
//!
//! # What it is not
//!
//! An election does not make a leader: in ZooKeeper Zab's discovery and synchronisation do. Here is a stand-in for
//! them, so that life goes on after a decision: followers find their leader, a leader that a quorum follows gets a
//! new epoch, which all of them store at once, and whoever has lost the others for too long looks again
//! ([`Zab`], [`Simulation::write`]). It happens in single steps without any message, and shows nothing about Zab
//! itself.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;

use super::election::{Elector, Event, History};
use super::notification::Notification;
use super::quorum::Quorum;
use super::vote::{Epoch, ServerId, ServerState, Vote, Zxid};

mod delivery;
mod happening;
mod network;
mod server;
mod zab;

pub use self::happening::{By, Effect, Happening, What};
pub use self::network::Network;
pub use self::server::SimulatedServer;
pub use self::zab::Zab;

use self::network::Links;

/// The end of time: nothing happens later. What is left of a [`Duration`] after it is for waits that begin before.
const END: Duration = Duration::from_secs(u64::MAX / 2);

/// An ensemble, as it runs in virtual time.
#[derive(Clone, Debug)]
pub struct Simulation {
    quorum: Quorum,
    servers: BTreeMap<ServerId, SimulatedServer>,
    links: Links,
    zab: Zab,
    rng: Rng,
    now: Duration,
    /// What is to come, by time; at one time, in the order in which it was entered.
    agenda: BTreeMap<(Duration, u64), Item>,
    entered: u64,
    /// Whether a pulse of Zab's stand-in is on the agenda.
    pulsing: bool,
    happenings: Vec<Happening>,
    /// How many of them [`step`](Self::step) has returned.
    told: usize,
}

/// Something to come.
#[derive(Clone, Debug)]
enum Item {
    /// A server starts.
    Start(ServerId),
    /// The time that a server wanted to wait is over.
    Tick(ServerId),
    /// A connection is made.
    Connected(ServerId, ServerId),
    /// A message arrives.
    Deliver { from: ServerId, to: ServerId, notification: Notification },
    /// Those who have settled look for each other.
    Pulse,
}

impl Simulation {
    /// An ensemble of the voters of this quorum. None of them runs yet, and none has any history.
    #[must_use]
    pub fn new(quorum: Quorum, seed: u64) -> Self {
        let fresh = SimulatedServer::new(History { epoch: Epoch(0), zxid: Zxid(0) });
        Self {
            servers: quorum.voters().map(|id| (id, fresh.clone())).collect(),
            quorum,
            links: Links::new(Network::default()),
            zab: Zab::default(),
            rng: Rng::with_seed(seed),
            now: Duration::ZERO,
            agenda: BTreeMap::new(),
            entered: 0,
            pulsing: false,
            happenings: Vec::new(),
            told: 0,
        }
    }

    /// With this network in place of the [default](Network::default).
    ///
    /// # Panics
    /// As [`set_network`](Self::set_network) does.
    #[must_use]
    pub fn with_network(mut self, network: Network) -> Self {
        self.set_network(network);
        self
    }

    /// With this patience in place of the [default](Zab::default).
    ///
    /// # Panics
    /// When the tick is zero: those who have settled would look for each other for ever at the same time.
    #[must_use]
    pub fn with_zab(mut self, zab: Zab) -> Self {
        zab.assert_sound();
        self.zab = zab;
        self
    }

    /// With this history on a server's disk. A server that has no vote, an observer, is added so.
    #[must_use]
    pub fn with_history(mut self, id: ServerId, history: History) -> Self {
        self.servers.entry(id).or_insert_with(|| SimulatedServer::new(history)).history = history;
        self
    }

    /// Changes the network, for all messages from now on.
    ///
    /// # Panics
    /// When the shortest delay is longer than the longest, or the loss is no probability from 0 to 1.
    pub fn set_network(&mut self, network: Network) {
        network.assert_sound();
        self.links.set_network(network);
    }

    /// Lets all messages from one server to another take exactly this long from now on.
    pub fn set_delay(&mut self, from: ServerId, to: ServerId, delay: Duration) {
        self.links.set_delay(from, to, delay);
    }

    /// Changes what a server has on its disk, best while it does not run: one that runs votes with it from its next
    /// round on. Without effect if the ensemble has no such server.
    pub fn set_history(&mut self, id: ServerId, history: History) {
        if let Some(server) = self.servers.get_mut(&id) {
            server.history = history;
        }
    }

    /// Starts a server, which looks for a leader at once. Without effect if it runs.
    pub fn start(&mut self, id: ServerId) {
        let Some(server) = self.servers.get_mut(&id).filter(|it| !it.is_up()) else { return };
        server.elector = Some(Elector::new(id, self.quorum.clone()));
        let history = server.history;
        self.happens(id, What::Started(history));
        self.look(id);
    }

    /// Starts a server after this time, unless it runs then.
    pub fn start_after(&mut self, id: ServerId, wait: Duration) {
        self.enter(self.now.saturating_add(wait), Item::Start(id));
    }

    /// Lets a server crash. Its history stays on its disk; its round and its votes are lost. What it has sent still
    /// arrives. Without effect if it does not run.
    pub fn crash(&mut self, id: ServerId) {
        let Some(server) = self.servers.get_mut(&id).filter(|it| it.is_up()) else { return };
        (server.elector, server.tenure, server.tick) = (None, None, None);
        self.links.forget(id);
        self.agenda.retain(|_, item| match item {
            Item::Tick(of) => *of != id,
            Item::Deliver { to, .. } => *to != id,
            Item::Connected(a, b) => *a != id && *b != id,
            Item::Start(_) | Item::Pulse => true,
        });
        self.happens(id, What::Crashed);
        self.rouse();
    }

    /// Lets the servers of each group hear only each other, and those that are in no group nobody, until the
    /// next partition or [`heal`](Self::heal). What is under way between groups is lost.
    pub fn partition(&mut self, groups: &[&[ServerId]]) {
        let groups = groups.iter().map(|group| group.iter().copied().collect()).collect();
        self.links.set_groups(Some(groups));
        for (a, b) in self.pairs() {
            if self.links.hear_each_other(a, b) {
                self.revive(a, b);
            } else {
                self.disconnect(a, b);
            }
        }
        self.rouse();
    }

    /// Ends the partition: those who run and have no connection get one.
    pub fn heal(&mut self) {
        self.links.set_groups(None);
        for (a, b) in self.pairs() {
            self.revive(a, b);
        }
        self.rouse();
    }

    /// The next thing that happens, or has happened already and was not returned yet. `None` if nothing will happen
    /// any more unless somebody interferes: all who run have settled, and are in step with their leader.
    ///
    /// A server that finds no quorum repeats its vote for ever: then this does not end.
    pub fn step(&mut self) -> Option<Happening> {
        while self.told == self.happenings.len() {
            if !self.advance(END) {
                return None;
            }
        }
        self.told += 1;
        self.happenings.get(self.told - 1).cloned()
    }

    /// Lets this time pass, or what is left of it: time ends after half of [`Duration::MAX`], and nothing happens any
    /// more. Do not wait for that while a server repeats its vote for ever, as in [`step`](Self::step).
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now.saturating_add(time).min(END);
        while self.advance(end) {}
        self.now = end;
    }

    /// Lets time pass until a condition holds, and says whether it does; at most `limit`.
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

    /// How much time has passed.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.now
    }

    /// All that has happened since the beginning.
    #[must_use]
    pub fn happenings(&self) -> &[Happening] {
        &self.happenings
    }

    /// Who has a vote, and when votes suffice.
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

    /// The leader of whom all who run say that they follow it, and who says so itself. `None` as long as anybody
    /// looks or they disagree.
    #[must_use]
    pub fn leader(&self) -> Option<ServerId> {
        let mut leaders = self.servers.values().filter(|it| it.is_up()).map(SimulatedServer::leader);
        let leader = leaders.next()??;
        let leads = self.servers[&leader].state() == Some(ServerState::Leading);
        (leads && leaders.all(|it| it == Some(leader))).then_some(leader)
    }

    /// Whether all who run follow one leader, which is established and has them all in step: nothing changes then any
    /// more by itself.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let running = || self.servers.values().filter(|it| it.is_up());
        let epoch = running().next().and_then(SimulatedServer::established);
        self.leader().is_some() && epoch.is_some() && running().all(|it| it.established() == epoch)
    }

    /// Lets the next item of the agenda happen, if it is due at this time at the latest.
    fn advance(&mut self, end: Duration) -> bool {
        let Some(entry) = self.agenda.first_entry().filter(|it| it.key().0 <= end) else { return false };
        let ((at, _), item) = entry.remove_entry();
        self.now = at;
        match item {
            Item::Start(id) => self.start(id),
            Item::Tick(id) => self.handle(id, Event::Tick),
            Item::Connected(a, b) => self.connected(a, b),
            Item::Deliver { from, to, notification } => self.deliver(from, to, notification),
            Item::Pulse => {
                self.pulsing = self.pulse();
                if self.pulsing {
                    self.enter(self.now.saturating_add(self.zab.tick), Item::Pulse);
                }
            }
        }
        true
    }

    /// A server begins to look for a leader.
    fn look(&mut self, id: ServerId) {
        let now = self.now;
        let Some(server) = self.servers.get_mut(&id) else { return };
        server.tenure = None;
        let Some(elector) = &mut server.elector else { return };
        let actions = elector.look(now, server.history);
        let (round, vote) = (elector.round(), elector.proposal().unwrap_or(Vote::NONE));
        self.happens(id, What::Looks { round, vote });
        self.carry_out(id, actions, By::Votes);
    }

    /// Something has changed that those who have settled have to notice.
    fn rouse(&mut self) {
        if self.pulsing {
            return;
        }
        // Until now they were all in touch, or else they would have gone on looking for each other.
        for tenure in self.servers.values_mut().filter_map(|it| it.tenure.as_mut()) {
            tenure.contact = self.now;
        }
        self.pulsing = true;
        self.enter(self.now.saturating_add(self.zab.tick), Item::Pulse);
    }

    fn enter(&mut self, at: Duration, item: Item) -> (Duration, u64) {
        self.entered += 1;
        let key = (at, self.entered);
        self.agenda.insert(key, item);
        key
    }

    fn happens(&mut self, server: ServerId, what: What) {
        self.happenings.push(Happening { at: self.now, server, what });
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod stories;
#[cfg(test)]
mod tests;
