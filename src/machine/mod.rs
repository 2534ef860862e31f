//! The decisions of one contender of one election. Pure: no I/O, and time and randomness are arguments.
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
//!      └── own znode gone, session lost, withdrawn: from any place. The znode goes to `removals` until it is removed.
//! ```
//!
//! Call order: feed one [`Event`] to [`Machine::handle`], then take [`Action`]s from [`Machine::poll_action`] until there
//! are none, and carry them out in this order. Feed [`Event::Tick`] at the time that [`Machine::poll_timeout`] returns. Each
//! [`Action::Ask`] gets one reply, at the latest by a timeout. [`Event::SessionLost`] ends all pending requests instead.
//!
//! A failed request is repeated (after a pause that doubles, with jitter), or leads back to the last certain state.
//! [`Failure::Refused`] ends the campaign, and so does a directory or path in which no contender can lead.
//!
//! `changes` and `replies` change the state, [`Machine::advance`] asks for what the state calls for, `standing` reports it.
//! `sequential`, `master` and `stat_check` judge what a server has answered.

mod changes;
mod event;
mod master;
pub(crate) mod naming;
mod replies;
mod sequential;
mod standing;
pub(crate) mod stat_check;
mod state;
#[cfg(test)]
mod transcript;

use std::collections::VecDeque;
use std::time::Duration;

pub(crate) use self::event::{Action, Event, ProofDemand, Reply, Request, Seen, Ticket};
use self::state::{Ahead, Held, OwnWatch, Place, Removal};
use crate::backoff::Backoff;
use crate::error::{Failure, Lost};
use crate::lease::Lease;
use crate::mistakes::mistake;
use crate::path::join;
use crate::timestamp::Timestamp;
use crate::types::{Mode, Standing};

const BACKOFF: Backoff = Backoff { first: Duration::from_millis(50), longest: Duration::from_secs(5) };

/// The properties of an election that decisions depend on.
#[derive(Clone, Debug)]
pub(crate) struct ElectionSpec {
    pub(crate) mode: Mode,
    /// Sequential mode: the directory. Master mode: the one znode.
    pub(crate) path: String,
    /// Sequential mode: the prefix of the names of contenders.
    pub(crate) prefix: String,
}

/// The state of one contender. See the [module](self) for the order of calls.
pub(crate) struct Machine {
    spec: ElectionSpec,
    rng: fastrand::Rng,
    /// The application campaigns or leads.
    wanted: bool,
    /// There is a connection.
    connected: bool,
    place: Place,
    /// Znodes of this contender that have to be removed.
    removals: VecDeque<Removal>,
    /// The pending request. A read of the own znode can be pending beside it.
    pending: Option<Pending>,
    /// The number of tickets so far.
    tickets: u64,
    /// The last create. Earlier ones have a known outcome.
    create: Ticket,
    /// Failures in a row, for the pause before the next attempt.
    failures: u32,
    retry_at: Option<Timestamp>,
    /// Why the previous place in the queue was lost, until there is another.
    after: Option<Lost>,
    reported: Standing,
    actions: VecDeque<Action>,
}

/// A request whose reply has not come.
struct Pending {
    ticket: Ticket,
    /// It may create a znode.
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

    /// The successor of a machine whose task has panicked. There may be a znode, which it finds and removes.
    pub(crate) fn recovering(&self, seed: u64) -> Self {
        let &Self { tickets, create, .. } = self;
        Self { place: Place::Unsure, tickets, create, ..Self::new(self.spec.clone(), seed) }
    }

    /// Processes what happened at `now`.
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

    /// The next action to carry out.
    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to feed [`Event::Tick`].
    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        let retry = self.retry_at.filter(|_| self.connected);
        let expiry = self.leading().map(|held| held.lease.end());
        retry.into_iter().chain(expiry).min()
    }

    /// Whether the machine still waits for the reply to this request.
    pub(crate) fn awaits(&self, ticket: Ticket) -> bool {
        let own = matches!(&self.place, Place::Held(held) if matches!(held.own, OwnWatch::Asked(asked) if asked == ticket));
        own || self.pending.as_ref().is_some_and(|pending| pending.ticket == ticket)
    }

    /// Whether there are znodes of this contender that have to be removed, or may be some that have to be found.
    pub(crate) fn has_leftovers(&self) -> bool {
        !self.removals.is_empty() || matches!(self.place, Place::Unsure)
    }

    /// Whether the session has to be proven at present.
    pub(crate) fn proving(&self, now: Timestamp) -> Option<ProofDemand<'_>> {
        let Place::Held(held) = &self.place else {
            return None;
        };
        // It is this contender's turn, or may be: the list is requested at the same time.
        let at_once = matches!(held.ahead, Ahead::Unknown | Ahead::Nobody) && !held.proven.is_valid(now);
        // The contender that leads next collects proofs in advance, because the first proof takes time.
        let ready = held.next_in_line && matches!(held.ahead, Ahead::Watched(_));
        (held.leading || at_once || ready).then_some(ProofDemand { node: &held.node, at_once })
    }

    fn leading(&self) -> Option<&Held> {
        match &self.place {
            Place::Held(held) if held.leading => Some(held),
            _ => None,
        }
    }

    /// Ends a leadership whose lease is over, before the event is processed.
    fn expire(&mut self, now: Timestamp) {
        if self.leading().is_some_and(|held| !held.lease.is_valid(now)) {
            self.withdraw(Lost::LeaseExpired);
        }
    }

    /// Begins or extends a leadership, if all conditions hold: no contender ahead, a watch on the own znode that has not
    /// fired, and a valid lease from a proof.
    fn lead(&mut self, now: Timestamp) {
        let Place::Held(held) = &mut self.place else {
            return;
        };
        if mistake!(NoFirstProof) && !held.leading {
            held.proven = held.proven.max(Lease::until(now + Duration::from_secs(2)));
        }
        let our_turn = matches!(held.ahead, Ahead::Nobody) && matches!(held.own, OwnWatch::Set);
        if !our_turn || !held.proven.is_valid(now) || held.proven <= held.lease {
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

    /// Asks for what the state calls for, if no request is pending.
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

    /// A request has failed. The state is unchanged, so [`Self::advance`] repeats the request.
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
}
