//! One contender of one election: what to do next. No I/O, no clock, no randomness of its own.
//!
//! ```text
//!                    Campaign
//!   Nowhere ─────────────────────────▶ create ──▶ Held ──▶ list ──▶ lowest, and the own watch set: Lead
//!      ▲                                 │  ▲       ▲        │
//!      │                                 │  │       │        └─▶ watch the predecessor ──▶ any event: list
//!      │  no parent ◀────────────────────┤  │       │
//!      │      └──▶ create the parents ───┼──┘       │
//!      │  Unsure (answer lost) ◀─────────┤          │
//!      │      └──▶ find own ─────────────┼──────────┘
//!      │  Blocked (master mode) ◀────────┘
//!      │      └──▶ watch the master's znode ──▶ it goes: create
//!      │
//!      └── own znode gone, session lost: from anywhere. Withdrawn: by way of `stale`, until it is removed.
//! ```
//!
//! Call order: feed one [`Event`] to [`Machine::handle`], then take [`Action`]s from
//! [`Machine::poll_action`] until there are none, and carry them out in this order. Feed [`Event::Tick`]
//! when [`Machine::poll_timeout`] has come. Every [`Action::Ask`] is answered once, at the latest by a
//! timeout, except after [`Event::SessionLost`], which ends all that are under way.
//!
//! A failed request leads to another attempt (after a pause that doubles, with jitter), or back to the last
//! thing known for certain. [`Failure::Refused`] ends a campaign, and so does a directory or a path in which nobody can lead.

mod event;
mod master;
pub(crate) mod naming;
mod replies;
mod sequential;
pub(crate) mod stat_check;
mod state;
#[cfg(test)]
mod transcript;

use std::collections::VecDeque;
use std::time::Duration;

pub(crate) use self::event::{Action, Event, ProofDemand, Reply, Request, Seen, Ticket};
use self::state::{Ahead, Held, OwnWatch, Place, Removal};
use crate::backoff::Backoff;
use crate::error::{Error, Failure, Lost};
use crate::lease::Lease;
use crate::path::join;
use crate::timestamp::Timestamp;
use crate::types::{Mode, Standing};

const BACKOFF: Backoff = Backoff { first: Duration::from_millis(50), longest: Duration::from_secs(5) };

/// What the machine has to know about its election.
#[derive(Clone, Debug)]
pub(crate) struct ElectionSpec {
    pub(crate) mode: Mode,
    /// Sequential mode: the directory. Master mode: the one znode.
    pub(crate) path: String,
    /// Sequential mode: how the names of contenders begin.
    pub(crate) prefix: String,
}

pub(crate) struct Machine {
    spec: ElectionSpec,
    rng: fastrand::Rng,
    /// The application campaigns or leads.
    wanted: bool,
    /// A server answers.
    connected: bool,
    place: Place,
    /// Znodes of ours that are to be removed.
    removals: VecDeque<Removal>,
    /// The request under way, but for looks at the own znode, which run beside it.
    pending: Option<Pending>,
    tickets: u64,
    /// The last create. Those before have been settled.
    create: Ticket,
    failures: u32,
    retry_at: Option<Timestamp>,
    /// Why the last place was lost, until there is another.
    after: Option<Lost>,
    reported: Standing,
    actions: VecDeque<Action>,
}

/// A request under way.
struct Pending {
    ticket: Ticket,
    /// It may leave a znode.
    creates: bool,
}

impl Machine {
    pub(crate) fn new(spec: ElectionSpec, seed: u64) -> Self {
        Self {
            spec,
            rng: fastrand::Rng::with_seed(seed),
            wanted: false,
            connected: false,
            place: Place::Nowhere,
            removals: VecDeque::new(),
            pending: None,
            tickets: 0,
            create: Ticket(0),
            failures: 0,
            retry_at: None,
            after: None,
            reported: Standing::Idle,
            actions: VecDeque::new(),
        }
    }

    /// A machine that begins where this one has failed: there may be a znode, which is to be found and removed.
    pub(crate) fn recovering(&self, seed: u64) -> Self {
        let &Self { tickets, create, .. } = self;
        Self { place: Place::Unsure, tickets, create, ..Self::new(self.spec.clone(), seed) }
    }

    /// Takes in what happened at `now`.
    pub(crate) fn handle(&mut self, now: Timestamp, event: Event) {
        self.expire(now);
        match event {
            Event::Campaign => self.wanted = true,
            Event::Withdraw(reason) => self.withdraw(reason),
            Event::Connected => self.on_connected(),
            Event::Suspended => self.on_suspended(),
            Event::SessionLost { reopening } => self.on_session_lost(reopening),
            Event::Reply(ticket, reply) => self.on_reply(now, ticket, reply),
            Event::OwnChanged { deleted } => self.on_own_changed(now, deleted),
            Event::AheadChanged => self.on_ahead_changed(),
            Event::Proven { sent, lease } => self.on_proven(sent, lease),
            Event::Shortened(lease) => self.on_shortened(now, lease),
            Event::Tick => {}
        }
        self.lead(now);
        self.advance(now);
        self.report();
    }

    /// The next thing to do.
    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to call again with [`Event::Tick`].
    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        let retry = self.retry_at.filter(|_| self.connected);
        let expiry = self.leading().map(|held| held.lease.end());
        retry.into_iter().chain(expiry).min()
    }

    /// Whether the answer to this request is still waited for.
    pub(crate) fn awaits(&self, ticket: Ticket) -> bool {
        let own = matches!(&self.place, Place::Held(held) if matches!(held.own, OwnWatch::Asked(asked) if asked == ticket));
        own || self.pending.as_ref().is_some_and(|pending| pending.ticket == ticket)
    }

    /// Whether transactions are to prove the session at present.
    pub(crate) fn proving(&self, now: Timestamp) -> Option<ProofDemand<'_>> {
        let Place::Held(held) = &self.place else {
            return None;
        };
        // It is our turn, or may be: the list is being asked for at the same time.
        let at_once = matches!(held.ahead, Ahead::Unknown | Ahead::Nobody) && !held.proven.is_valid(now);
        // Whoever leads next, as far as that is known, is ready: a proof when the turn has come takes time.
        let ready = held.next && matches!(held.ahead, Ahead::Watched(_));
        (held.leading || at_once || ready).then_some(ProofDemand { node: &held.node, at_once })
    }

    fn leading(&self) -> Option<&Held> {
        match &self.place {
            Place::Held(held) if held.leading => Some(held),
            _ => None,
        }
    }

    /// Ends a leadership whose lease is over, before anything else is looked at.
    fn expire(&mut self, now: Timestamp) {
        if self.leading().is_some_and(|held| !held.lease.is_valid(now)) {
            self.withdraw(Lost::LeaseExpired);
        }
    }

    /// Begins to lead, or goes on, if what is known suffices: nobody ahead, the own znode seen standing by a watch
    /// that has not fired, and a session that the ensemble keeps.
    fn lead(&mut self, now: Timestamp) {
        let Place::Held(held) = &mut self.place else {
            return;
        };
        let ours = matches!(held.ahead, Ahead::Nobody) && matches!(held.own, OwnWatch::Set);
        if !ours || !held.proven.is_valid(now) || held.proven <= held.lease {
            return;
        }
        held.lease = held.proven;
        if held.leading {
            self.actions.push_back(Action::Extend(held.lease));
        } else {
            held.leading = true;
            self.failures = 0;
            self.actions.push_back(Action::Lead(held.node.clone(), held.lease));
        }
    }

    /// Sends whatever the present state calls for, if nothing is under way.
    fn advance(&mut self, now: Timestamp) {
        if !self.connected || self.retry_at.is_some_and(|at| now < at) {
            return;
        }
        self.retry_at = None;
        self.watch_own();
        if self.pending.is_some() {
            return;
        }
        if let Place::Unsure = self.place {
            return self.ask(Request::FindOwn(self.create));
        }
        if let Some(Removal { node, verify }) = self.removals.front() {
            let request = Request::Remove { node: node.clone(), verify: *verify };
            return self.ask(request);
        }
        if !self.wanted {
            return;
        }
        match &mut self.place {
            Place::Nowhere => self.ask(Request::Create),
            Place::NoParent => self.ask(Request::CreateParents),
            Place::Blocked { watched: false } => {
                let path = self.spec.path.clone();
                self.ask(Request::WatchAhead(path));
            }
            Place::Held(held) => match &held.ahead {
                Ahead::Unknown => self.ask(Request::List),
                Ahead::Chosen(name) => {
                    let path = join(&self.spec.path, name);
                    self.ask(Request::WatchAhead(path));
                }
                Ahead::Nobody | Ahead::Watched(_) => {}
            },
            Place::Blocked { watched: true } | Place::Unsure => {}
        }
    }

    fn watch_own(&mut self) {
        if let Place::Held(held) = &mut self.place
            && let OwnWatch::Off = held.own
        {
            self.tickets += 1;
            let ticket = Ticket(self.tickets);
            held.own = OwnWatch::Asked(ticket);
            self.actions.push_back(Action::Ask(ticket, Request::WatchOwn(held.node.clone())));
        }
    }

    fn ask(&mut self, request: Request) {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let creates = matches!(request, Request::Create);
        if creates {
            self.create = ticket;
        }
        self.pending = Some(Pending { ticket, creates });
        self.actions.push_back(Action::Ask(ticket, request));
    }

    fn withdraw(&mut self, reason: Lost) {
        self.wanted = false;
        self.leave_place(reason);
    }

    /// Gives up the place, whatever it is, and has the znode removed.
    fn leave_place(&mut self, reason: Lost) {
        match std::mem::replace(&mut self.place, Place::Nowhere) {
            Place::Held(held) => {
                if held.leading {
                    self.step_down(reason);
                }
                // While its watch is set and has not fired, the znode can be deleted by name without another look.
                // When a lease has run out, as with a process that stood still, the event may still be on its
                // way, and the directory may have been created anew in the meantime.
                let heard = self.connected && reason != Lost::LeaseExpired;
                let verify = !(heard && matches!(held.own, OwnWatch::Set));
                self.removals.push_back(Removal { node: held.node, verify });
                self.retry_at = None;
            }
            Place::Unsure => self.place = Place::Unsure,
            Place::Nowhere | Place::NoParent | Place::Blocked { .. } => {}
        }
    }

    fn step_down(&mut self, reason: Lost) {
        self.wanted = false;
        self.actions.push_back(Action::StepDown(reason));
    }

    fn give_up(&mut self, error: Error) {
        let campaigning = self.wanted;
        self.wanted = false;
        self.leave_place(Lost::Resigned);
        if campaigning {
            self.actions.push_back(Action::GiveUp(error));
        }
    }

    /// The own znode is gone: somebody deleted it. An event says so for `certain`; what a server shows may be old,
    /// and then the znode is removed like any other that is given up.
    fn on_own_gone(&mut self, now: Timestamp, certain: bool) {
        if let Place::Held(held) = std::mem::replace(&mut self.place, Place::Nowhere) {
            if held.leading {
                self.step_down(Lost::NodeDeleted);
            } else {
                self.after = Some(Lost::NodeDeleted);
                self.pause(now);
            }
            if certain {
                self.actions.push_back(Action::Forget(held.node));
            } else {
                self.removals.push_back(Removal { node: held.node, verify: true });
            }
        }
    }

    fn on_connected(&mut self) {
        self.connected = true;
        self.failures = 0;
        self.retry_at = None;
        // Events may have been missed and requests may have failed: look at everything again.
        match &mut self.place {
            Place::Held(held) => {
                held.own = OwnWatch::Off;
                // Once the lowest, for ever the lowest: whoever comes later stands behind.
                if !held.leading {
                    held.ahead = Ahead::at_first(self.spec.mode);
                }
            }
            Place::Blocked { watched } => *watched = false,
            Place::Nowhere | Place::NoParent | Place::Unsure => {}
        }
    }

    fn on_suspended(&mut self) {
        self.connected = false;
        self.removals.iter_mut().for_each(|removal| removal.verify = true);
    }

    fn on_session_lost(&mut self, reopening: bool) {
        self.connected = false;
        self.retry_at = None;
        let creating = self.pending.take().is_some_and(|pending| pending.creates);
        let mut left = creating || matches!(self.place, Place::Unsure);
        if let Place::Held(held) = std::mem::replace(&mut self.place, Place::Nowhere) {
            match held.leading {
                true => self.step_down(Lost::SessionExpired),
                false => self.after = Some(Lost::SessionExpired),
            }
            self.removals.push_back(Removal { node: held.node, verify: true });
        }
        // The server that has said so may have been deposed, or the client may have guessed it. So the znodes are removed
        // by the next session, if they stand.
        self.removals.iter_mut().for_each(|removal| removal.verify = true);
        if !reopening {
            left |= !std::mem::take(&mut self.removals).is_empty();
        }
        if left {
            self.actions.push_back(Action::Left(Error::RemovalUnconfirmed));
        }
        if !reopening {
            self.give_up(Error::SessionLost);
        }
    }

    fn on_proven(&mut self, sent: Timestamp, lease: Lease) {
        if let Place::Held(held) = &mut self.place
            && sent >= held.since
        {
            held.proven = held.proven.max(lease);
        }
    }

    /// What is known of the lease was measured with too long a session timeout.
    fn on_shortened(&mut self, now: Timestamp, lease: Lease) {
        if let Place::Held(held) = &mut self.place {
            held.proven = held.proven.min(lease);
            if held.leading && lease < held.lease {
                held.lease = lease;
                self.actions.push_back(Action::Shorten(lease));
                self.expire(now);
            }
        }
    }

    fn on_own_changed(&mut self, now: Timestamp, deleted: bool) {
        if let Place::Held(held) = &mut self.place {
            held.own = OwnWatch::Off;
            if deleted {
                self.on_own_gone(now, true);
            }
        }
    }

    fn on_ahead_changed(&mut self) {
        match &mut self.place {
            Place::Held(held) if matches!(held.ahead, Ahead::Watched(_)) => held.ahead = Ahead::Unknown,
            // Whatever happened to the master's znode, a create tells whether it stands.
            Place::Blocked { .. } => self.place = Place::Nowhere,
            _ => {}
        }
    }

    /// A request has failed, and the state says what to try again.
    fn failed(&mut self, now: Timestamp, failure: Failure) {
        match failure {
            Failure::Refused(error) => self.give_up(error),
            _ => self.pause(now),
        }
    }

    /// Waits before the next attempt.
    fn pause(&mut self, now: Timestamp) {
        self.retry_at = Some(now + BACKOFF.pause(self.failures, self.rng.f64()));
        self.failures += 1;
    }

    fn report(&mut self) {
        let standing = self.standing();
        if standing == self.reported {
            return;
        }
        if let Standing::Idle | Standing::Waiting { .. } | Standing::Leading { .. } = standing {
            self.after = None;
        }
        if standing == Standing::Idle {
            self.failures = 0;
            self.retry_at = None;
            self.actions.push_back(Action::Unwatch);
        }
        self.reported = standing.clone();
        self.actions.push_back(Action::Report(standing));
    }

    fn standing(&self) -> Standing {
        if !self.wanted {
            let nothing_left = matches!(self.place, Place::Nowhere | Place::NoParent | Place::Blocked { .. })
                && self.removals.is_empty()
                && self.pending.is_none();
            return if nothing_left { Standing::Idle } else { Standing::Leaving };
        }
        if let Some(Held { node, .. }) = self.leading() {
            return Standing::Leading { node: node.path.clone(), token: node.token };
        }
        if !self.connected {
            return Standing::Connecting { after: self.after };
        }
        match &self.place {
            Place::Held(Held { node, ahead: Ahead::Watched(name), .. }) => {
                Standing::Waiting { node: Some(node.path.clone()), behind: join(&self.spec.path, name) }
            }
            Place::Blocked { watched: true } => {
                Standing::Waiting { node: None, behind: self.spec.path.clone() }
            }
            // A second look changes nothing until it is known what it says.
            Place::Held(held) => match &self.reported {
                waiting @ Standing::Waiting { node: Some(node), .. } if *node == held.node.path => {
                    waiting.clone()
                }
                _ => Standing::Joining { after: self.after },
            },
            _ => Standing::Joining { after: self.after },
        }
    }
}
