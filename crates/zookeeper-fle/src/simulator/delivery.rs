//! Carries out the actions of electors: sends messages over connections, and delivers them.

use std::time::Duration;

use crate::elector::{Action, Elector, Event};
use crate::notification::Notification;
use crate::simulator::Simulation;
use crate::simulator::network::ConnectionState;
use crate::simulator::schedule::ScheduledEvent;
use crate::simulator::server::{SimulatedServer, ZabState};
use crate::simulator::trace::{Effect, EventKind, Reason};
use crate::vote::{Round, ServerId, ServerState, Vote, Zxid};

/// The receiver's election before a message, to tell the effect of the message.
struct ReceiverBefore {
    looking: bool,
    /// Whether the sender and the server voted for are voters and have a database.
    counts: bool,
    finalizing: bool,
    round: Round,
    proposal: Option<Vote>,
}

impl Simulation {
    /// Hands an arrived message to its receiver.
    pub(super) fn deliver(&mut self, from: ServerId, to: ServerId, notification: Notification) {
        let now = self.now;
        let counts = self.quorum.is_voter(from)
            && self.quorum.is_voter(notification.vote.leader)
            && notification.vote.zxid != Zxid::UNINITIALISED;
        let Some(elector) = self.servers.get_mut(&to).and_then(|it| it.elector.as_mut()) else { return };
        let before = ReceiverBefore {
            counts,
            looking: elector.state() == ServerState::Looking,
            finalizing: elector.is_finalizing(),
            round: elector.round(),
            proposal: elector.proposal(),
        };
        let actions = elector.handle(now, Event::Notification { from, notification: notification.clone() });
        let effect = before.effect(elector, from, &notification, &actions);
        self.record(to, EventKind::Received { from, notification, effect });
        self.carry_out(to, actions, Reason::Joining);
    }

    /// Hands an event other than a message to an elector.
    pub(super) fn handle(&mut self, id: ServerId, event: Event) {
        let now = self.now;
        let Some(elector) = self.servers.get_mut(&id).and_then(|it| it.elector.as_mut()) else { return };
        let actions = elector.handle(now, event);
        self.carry_out(id, actions, Reason::Votes);
    }

    /// Carries out the actions of an elector. `reason` is the reason for a decision among them: it is by joining if a
    /// message has led to it, otherwise by votes.
    pub(super) fn carry_out(&mut self, id: ServerId, actions: Vec<Action>, reason: Reason) {
        for action in actions {
            match action {
                Action::Broadcast(notification) => {
                    self.record(id, EventKind::Broadcast(notification.clone()));
                    for to in self.others(id) {
                        self.send(id, to, notification.clone());
                    }
                }
                Action::Send { to, notification } => {
                    self.record(id, EventKind::Replied { to, notification: notification.clone() });
                    self.send(id, to, notification);
                }
                Action::Connect => {
                    self.record(id, EventKind::Connecting);
                    for to in self.others(id) {
                        self.connect(id, to);
                    }
                }
                Action::WaitUntil(time) => self.wait(id, Some(time)),
                Action::Decided(decision) => {
                    self.wait(id, None);
                    self.record(id, EventKind::Decided { decision, reason });
                    self.leaderships += 1;
                    let state = ZabState::after(&decision, self.now, self.leaderships);
                    self.start_zab_ticks();
                    if let Some(server) = self.servers.get_mut(&id) {
                        server.zab_state = Some(state);
                    }
                }
            }
        }
    }

    /// Sends a message, or puts it into the send queue while there is no connection.
    fn send(&mut self, from: ServerId, to: ServerId, notification: Notification) {
        if self.connections.connection(from, to) == Some(ConnectionState::Up) {
            self.transmit(from, to, &notification);
        } else {
            self.connections.enqueue(from, to, notification);
            self.connect(from, to);
        }
    }

    /// Makes a connection unless there is one. If that is impossible, the elector learns that its message was not delivered.
    fn connect(&mut self, from: ServerId, to: ServerId) {
        if self.connections.connection(from, to).is_some() {
            return;
        }
        if self.reach_each_other(from, to) {
            self.connections.set_connection(from, to, ConnectionState::Connecting);
            let time = self.connections.handshake(from, to, &mut self.rng);
            self.schedule.add(self.now.saturating_add(time), ScheduledEvent::Connected(from, to));
        } else if self.connections.has_waiting(from, to) {
            self.handle(from, Event::Undelivered { to });
        }
    }

    /// A connection is up. The messages on an earlier one are lost.
    pub(super) fn connected(&mut self, a: ServerId, b: ServerId) {
        self.disconnect(a, b);
        self.connections.set_connection(a, b, ConnectionState::Up);
        for (from, to) in [(a, b), (b, a)] {
            // The loss of the other direction's message may have ended the connection.
            if self.connections.connection(a, b).is_some()
                && let Some(first) = self.connections.take_first(from, to)
            {
                self.transmit(from, to, &first);
            }
        }
    }

    /// Makes a connection between two servers that reach each other and have none.
    pub(super) fn reconnect(&mut self, a: ServerId, b: ServerId) {
        if self.reach_each_other(a, b) {
            self.connect(a, b);
        }
    }

    /// Ends the connection between two servers. The messages on it are lost.
    pub(super) fn disconnect(&mut self, a: ServerId, b: ServerId) {
        self.connections.disconnect(a, b);
        let between = |x: ServerId, y: ServerId| (x, y) == (a, b) || (y, x) == (a, b);
        self.schedule.retain(|event| match event {
            ScheduledEvent::Deliver { from, to, .. } => !between(*from, *to),
            ScheduledEvent::Connected(x, y) => !between(*x, *y),
            ScheduledEvent::Start(_) | ScheduledEvent::ElectorTick(_) | ScheduledEvent::ZabTick => true,
        });
    }

    fn transmit(&mut self, from: ServerId, to: ServerId, notification: &Notification) {
        if let Some(at) = self.connections.transmit(self.now, from, to, notification, &mut self.rng) {
            self.schedule.add(at, ScheduledEvent::Deliver { from, to, notification: notification.clone() });
        } else {
            self.disconnect(from, to);
            self.record(from, EventKind::MessageLost { to });
            self.handle(from, Event::Undelivered { to });
        }
    }

    /// Replaces the time of an elector's next tick.
    fn wait(&mut self, id: ServerId, until: Option<Duration>) {
        let tick = until.map(|at| self.schedule.add(at, ScheduledEvent::ElectorTick(id)));
        if let Some(server) = self.servers.get_mut(&id)
            && let Some(before) = std::mem::replace(&mut server.tick, tick)
        {
            self.schedule.remove(before);
        }
    }

    /// The other voters.
    fn others(&self, id: ServerId) -> Vec<ServerId> {
        self.quorum.voters().filter(|other| *other != id).collect()
    }

    /// All pairs of servers.
    pub(super) fn pairs(&self) -> Vec<(ServerId, ServerId)> {
        let ids = || self.servers.keys().copied();
        ids().flat_map(|a| ids().filter(move |b| a < *b).map(move |b| (a, b))).collect()
    }

    /// Whether both run and no partition separates them.
    pub(super) fn reach_each_other(&self, a: ServerId, b: ServerId) -> bool {
        let is_up = |id| self.servers.get(&id).is_some_and(|it: &SimulatedServer| it.is_up());
        is_up(a) && is_up(b) && self.connections.reach_each_other(a, b)
    }
}

impl ReceiverBefore {
    /// The effect of a message, from the elector's state after it and the actions that followed.
    fn effect(&self, after: &Elector, from: ServerId, received: &Notification, actions: &[Action]) -> Effect {
        let replies = || actions.iter().any(|it| matches!(it, Action::Send { to, .. } if *to == from));
        if !self.looking {
            return if replies() { Effect::Replied } else { Effect::Ignored };
        }
        match received.state {
            _ if !self.counts => Effect::Ignored,
            _ if after.state() != ServerState::Looking => Effect::Joined,
            ServerState::Observing => Effect::Ignored,
            ServerState::Looking if after.round() > self.round => Effect::LaterRound,
            ServerState::Looking if received.round < self.round => Effect::EarlierRound,
            ServerState::Looking if after.proposal() != self.proposal => Effect::Adopted,
            _ if self.finalizing => Effect::TooLate,
            ServerState::Looking => Effect::NotBetter,
            ServerState::Following | ServerState::Leading => Effect::Recorded,
        }
    }
}
