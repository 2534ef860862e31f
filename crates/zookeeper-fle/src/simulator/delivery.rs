//! From what a server wants to what reaches another one.

use std::time::Duration;

use super::super::election::{Action, Elector, Event};
use super::super::notification::Notification;
use super::super::vote::{Round, ServerId, ServerState, Vote, Zxid};
use super::happening::{By, Effect, What};
use super::network::Connection;
use super::server::{SimulatedServer, Tenure};
use super::{Item, Simulation};

/// What of a server's election shows what it makes of a message.
struct Before {
    looking: bool,
    /// Whether the sender and the server that it votes for have a vote, and a database.
    counts: bool,
    finalizing: bool,
    round: Round,
    proposal: Option<Vote>,
}

impl Simulation {
    /// A message has arrived.
    pub(super) fn deliver(&mut self, from: ServerId, to: ServerId, notification: Notification) {
        let now = self.now;
        let counts = self.quorum.is_voter(from)
            && self.quorum.is_voter(notification.vote.leader)
            && notification.vote.zxid != Zxid::UNINITIALISED;
        let Some(elector) = self.servers.get_mut(&to).and_then(|it| it.elector.as_mut()) else { return };
        let before = Before {
            counts,
            looking: elector.state() == ServerState::Looking,
            finalizing: elector.is_finalizing(),
            round: elector.round(),
            proposal: elector.proposal(),
        };
        let actions = elector.handle(now, Event::Notification { from, notification: notification.clone() });
        let effect = before.effect(elector, from, &notification, &actions);
        self.happens(to, What::Hears { from, notification, effect });
        self.carry_out(to, actions, By::Joining);
    }

    /// Tells a server's election what has happened.
    pub(super) fn handle(&mut self, id: ServerId, event: Event) {
        let now = self.now;
        let Some(elector) = self.servers.get_mut(&id).and_then(|it| it.elector.as_mut()) else { return };
        let actions = elector.handle(now, event);
        self.carry_out(id, actions, By::Votes);
    }

    /// Does what a server wants; `by` is by what it decides if it does: without having heard anything by the votes
    /// that it has, else by joining.
    pub(super) fn carry_out(&mut self, id: ServerId, actions: Vec<Action>, by: By) {
        for action in actions {
            match action {
                Action::Broadcast(notification) => {
                    self.happens(id, What::Says(notification.clone()));
                    for to in self.others(id) {
                        self.send(id, to, notification.clone());
                    }
                }
                Action::Send { to, notification } => {
                    self.happens(id, What::Answers { to, notification: notification.clone() });
                    self.send(id, to, notification);
                }
                Action::Connect => {
                    self.happens(id, What::Connects);
                    for to in self.others(id) {
                        self.connect(id, to);
                    }
                }
                Action::WaitUntil(time) => self.wait(id, Some(time)),
                Action::Decided(decision) => {
                    self.wait(id, None);
                    self.happens(id, What::Decided { decision, by });
                    self.entered += 1;
                    let tenure = Tenure::begin(self.now, &decision, self.entered);
                    self.rouse();
                    if let Some(server) = self.servers.get_mut(&id) {
                        server.tenure = Some(tenure);
                    }
                }
            }
        }
    }

    /// Puts a message on its way.
    fn send(&mut self, from: ServerId, to: ServerId, notification: Notification) {
        if self.links.connection(from, to) == Some(Connection::Up) {
            self.transmit(from, to, &notification);
        } else {
            self.links.put(from, to, notification);
            self.connect(from, to);
        }
    }

    /// Makes a connection unless there is one, or tells the server that it cannot.
    fn connect(&mut self, from: ServerId, to: ServerId) {
        if self.links.connection(from, to).is_some() {
            return;
        }
        if self.hear_each_other(from, to) {
            self.links.set_connection(from, to, Connection::Connecting);
            let takes = self.links.handshake(from, to, &mut self.rng);
            self.enter(self.now.saturating_add(takes), Item::Connected(from, to));
        } else if self.links.waits(from, to) {
            self.handle(from, Event::Undelivered { to });
        }
    }

    /// A connection is there. What is left of the one before is lost.
    pub(super) fn connected(&mut self, a: ServerId, b: ServerId) {
        self.disconnect(a, b);
        self.links.set_connection(a, b, Connection::Up);
        for (from, to) in [(a, b), (b, a)] {
            // The message of the other direction may have taken the connection with it.
            if self.links.connection(a, b).is_some()
                && let Some(first) = self.links.take_first(from, to)
            {
                self.transmit(from, to, &first);
            }
        }
    }

    /// Makes a connection where two could have one and have none.
    pub(super) fn revive(&mut self, a: ServerId, b: ServerId) {
        if self.hear_each_other(a, b) {
            self.connect(a, b);
        }
    }

    /// Ends the connection of two servers, and all that is under way on it.
    pub(super) fn disconnect(&mut self, a: ServerId, b: ServerId) {
        self.links.disconnect(a, b);
        let between = |x: ServerId, y: ServerId| (x, y) == (a, b) || (y, x) == (a, b);
        self.agenda.retain(|_, item| match item {
            Item::Deliver { from, to, .. } => !between(*from, *to),
            Item::Connected(x, y) => !between(*x, *y),
            Item::Start(_) | Item::Tick(_) | Item::Pulse => true,
        });
    }

    fn transmit(&mut self, from: ServerId, to: ServerId, notification: &Notification) {
        if let Some(at) = self.links.transmit(self.now, from, to, notification, &mut self.rng) {
            self.enter(at, Item::Deliver { from, to, notification: notification.clone() });
        } else {
            self.disconnect(from, to);
            self.happens(from, What::Lost { to });
            self.handle(from, Event::Undelivered { to });
        }
    }

    /// Sets the time of a server's next tick in the place of the one before.
    fn wait(&mut self, id: ServerId, until: Option<Duration>) {
        let tick = until.map(|at| self.enter(at, Item::Tick(id)));
        if let Some(server) = self.servers.get_mut(&id)
            && let Some(before) = std::mem::replace(&mut server.tick, tick)
        {
            self.agenda.remove(&before);
        }
    }

    /// The others that have a vote.
    fn others(&self, id: ServerId) -> Vec<ServerId> {
        self.quorum.voters().filter(|other| *other != id).collect()
    }

    /// All pairs of servers.
    pub(super) fn pairs(&self) -> Vec<(ServerId, ServerId)> {
        let ids = || self.servers.keys().copied();
        ids().flat_map(|a| ids().filter(move |b| a < *b).map(move |b| (a, b))).collect()
    }

    /// Whether both run and no partition is between them.
    pub(super) fn hear_each_other(&self, a: ServerId, b: ServerId) -> bool {
        let is_up = |id| self.servers.get(&id).is_some_and(|it: &SimulatedServer| it.is_up());
        is_up(a) && is_up(b) && self.links.hear_each_other(a, b)
    }
}

impl Before {
    /// What a server has made of this, as it is after it.
    fn effect(&self, after: &Elector, from: ServerId, heard: &Notification, actions: &[Action]) -> Effect {
        let answers = || actions.iter().any(|it| matches!(it, Action::Send { to, .. } if *to == from));
        if !self.looking {
            return if answers() { Effect::Answered } else { Effect::Ignored };
        }
        match heard.state {
            _ if !self.counts => Effect::Ignored,
            _ if after.state() != ServerState::Looking => Effect::Joined,
            ServerState::Observing => Effect::Ignored,
            ServerState::Looking if after.round() > self.round => Effect::LaterRound,
            ServerState::Looking if heard.round < self.round => Effect::EarlierRound,
            ServerState::Looking if after.proposal() != self.proposal => Effect::Adopted,
            _ if self.finalizing => Effect::TooLate,
            ServerState::Looking => Effect::NotBetter,
            ServerState::Following | ServerState::Leading => Effect::Noted,
        }
    }
}
