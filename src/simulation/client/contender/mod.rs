//! One contender: what `driver.rs` does, and its application.

mod application;
mod mistakes;
mod proofs;

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::super::invariants::{Claim, Who};
use super::super::stage::{Stage, note};
use super::super::time::Clock;
use super::desk::{Desk, WatchId};
use super::heart::Heart;
use super::requests::{Ahead, Contest, Outcome, Preview, recall, send};
use crate::error::Lost;
use crate::lease::Lease;
use crate::machine::{Action, Event, Machine, Reply, Request, Ticket};
use crate::simulation::mutation::Mutation;
use crate::timestamp::Timestamp;
use crate::types::{FencingToken, Standing};
use crate::znode::Node;

type Ask = Pin<Box<dyn Future<Output = Outcome>>>;

pub(in crate::simulation) struct Contender {
    who: Who,
    election: usize,
    contest: Rc<Contest>,
    machine: Machine,
    asks: Vec<(Ticket, Ask)>,
    own: Option<WatchId>,
    ahead: Option<WatchId>,
    /// Which znode is watched as the one ahead.
    ahead_token: Option<FencingToken>,
    /// The znode ahead has gone at this moment.
    departed: bool,
    /// The number under which proofs are asked for.
    proving: Option<u64>,
    /// When the newest proof was sent that the machine has heard of.
    proven: Timestamp,
    /// What came with the answer to a create.
    preview: Preview,
    /// The name of the own znode.
    created: Option<String>,
    standing: Standing,

    /// The application waits for leadership.
    campaign: bool,
    /// The campaign begins when the znode of the last one is removed.
    deferred: bool,
    leading: bool,
    leaderships: i64,
    /// The application wants to lead when it thinks of it.
    pub(in crate::simulation) willing: bool,
    /// The application has something to decide.
    pub(super) undecided: bool,
}

/// What a contender does in.
pub(super) struct Surroundings<'a> {
    pub(super) stage: &'a mut Stage,
    pub(super) desk: &'a Rc<Desk>,
    pub(super) heart: &'a mut Heart,
    pub(super) clock: Clock,
}

/// What a contender looks like from outside.
#[derive(Debug)]
pub(in crate::simulation) struct View<'a> {
    pub(in crate::simulation) who: Who,
    pub(in crate::simulation) election: usize,
    pub(in crate::simulation) willing: bool,
    pub(in crate::simulation) standing: &'a Standing,
    pub(in crate::simulation) leading: bool,
}

impl Contender {
    pub(super) fn new(who: Who, election: usize, contest: Contest, seed: u64) -> Self {
        Self {
            who,
            election,
            machine: Machine::new(contest.plan.clone(), seed),
            contest: Rc::new(contest),
            asks: Vec::new(),
            own: None,
            ahead: None,
            ahead_token: None,
            departed: false,
            proving: None,
            proven: Timestamp::MIN,
            preview: Preview::default(),
            created: None,
            standing: Standing::Idle,
            campaign: false,
            deferred: false,
            leading: false,
            leaderships: 0,
            willing: true,
            undecided: true,
        }
    }

    pub(in crate::simulation) fn view(&self) -> View<'_> {
        let Self { who, election, willing, ref standing, leading, .. } = *self;
        View { who, election, willing, standing, leading }
    }

    pub(super) fn wake_at(&self) -> Option<Timestamp> {
        self.machine.poll_timeout()
    }

    /// Does what time calls for.
    pub(super) fn tick(&mut self, around: &mut Surroundings<'_>) {
        if self.wake_at().is_some_and(|at| at <= around.desk.now()) {
            self.feed(around, Event::Tick);
        }
    }

    pub(super) fn on_connected(&mut self, around: &mut Surroundings<'_>) {
        self.shorten(around);
        (self.own, self.ahead) = (None, None);
        self.feed(around, Event::Connected);
    }

    pub(super) fn on_suspended(&mut self, around: &mut Surroundings<'_>) {
        self.shorten(around);
        self.feed(around, Event::Suspended);
    }

    /// The session timeout may have turned out to be less than was known.
    fn shorten(&mut self, around: &mut Surroundings<'_>) {
        if !around.desk.errs(Mutation::NotShortened) {
            let longest = around.desk.longest_lease();
            self.feed(around, Event::Shortened(longest));
        }
    }

    pub(super) fn on_session_lost(&mut self, around: &mut Surroundings<'_>) {
        self.asks.clear();
        (self.own, self.ahead) = (None, None);
        self.feed(around, Event::SessionLost { reopening: true });
    }

    /// A watch has fired; perhaps one of this contender's.
    pub(super) fn on_fired(&mut self, around: &mut Surroundings<'_>, watch: WatchId, deleted: bool) {
        if self.own == Some(watch) || self.ahead == Some(watch) {
            around.desk.state().has_fired(watch);
        }
        if self.own == Some(watch) {
            self.own = None;
            self.feed(around, Event::OwnChanged { deleted });
        } else if self.ahead == Some(watch) {
            self.ahead = None;
            self.departed = true;
            let lists = self.feed(around, Event::AheadChanged);
            self.departed = false;
            if let (true, true, Some(token)) = (deleted, lists, self.ahead_token)
                && let Some(own) = self.node()
            {
                around.stage.referee.woken(self.election, self.who, token, own);
            }
        }
    }

    /// Goes on with requests that have been answered; returns whether there was one.
    pub(super) fn go_on(&mut self, around: &mut Surroundings<'_>) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        let mut any = false;
        let mut at = 0;
        while let Some((ticket, ask)) = self.asks.get_mut(at) {
            let ticket = *ticket;
            match ask.as_mut().poll(&mut cx) {
                Poll::Pending => at += 1,
                Poll::Ready(outcome) => {
                    drop(self.asks.remove(at));
                    self.on_outcome(around, ticket, outcome);
                    // The machine may have given up the others.
                    (any, at) = (true, 0);
                }
            }
        }
        any
    }

    fn on_outcome(&mut self, around: &mut Surroundings<'_>, ticket: Ticket, outcome: Outcome) {
        if !self.machine.awaits(ticket) {
            return;
        }
        let reply = match outcome {
            Outcome::Reply(reply) => reply,
            Outcome::Own(outcome) => Reply::Watched(outcome.map(|(seen, watch)| {
                self.own = watch;
                seen
            })),
            Outcome::Ahead(outcome) => Reply::Watched(outcome.map(|Ahead { seen, watch, token }| {
                self.ahead = watch;
                self.ahead_token = token;
                seen
            })),
            Outcome::Tried(created, preview) => {
                self.preview = preview;
                Reply::Created(created.map(|(node, lease)| (node, around.desk.capped(lease))))
            }
        };
        let reply = self.misread(around, reply);
        note!(around.stage, "{} hears {reply:?}", self.who);
        match &reply {
            Reply::Created(Ok((node, _))) => self.created = Some(node.name().to_owned()),
            Reply::Found(Ok(nodes)) => self.created = nodes.first().map(|node| node.name().to_owned()),
            _ => {}
        }
        self.feed(around, Event::Reply(ticket, reply));
        self.preview = Preview::default();
        for watch in self.own.into_iter().chain(self.ahead) {
            let fired = around.desk.state().has_fired(watch);
            fired.into_iter().for_each(|deleted| self.on_fired(around, watch, deleted));
        }
    }

    /// Tells the machine, and does what it says; returns whether that was to list the directory.
    fn feed(&mut self, around: &mut Surroundings<'_>, event: Event) -> bool {
        self.machine.handle(around.desk.now(), event);
        let mut lists = false;
        while let Some(action) = self.machine.poll_action() {
            lists |= matches!(action, Action::Ask(_, Request::List));
            self.act(around, action);
        }
        self.keep_proving(around);
        if self.is_idle() {
            self.start_campaign(around);
        }
        lists
    }

    fn act(&mut self, around: &mut Surroundings<'_>, action: Action) {
        if !matches!(action, Action::Ask(..)) {
            note!(around.stage, "{} does {action:?}", self.who);
        }
        match action {
            Action::Ask(ticket, request) => self.ask(around, ticket, request),
            Action::Unwatch => (self.own, self.ahead) = (None, None),
            Action::Lead(node, lease) => self.lead(around, &node, lease),
            Action::Extend(lease) => {
                if self.leading {
                    let (now, end) = (around.stage.now, around.clock.when(lease.end()));
                    let sent = around.clock.when(self.proven);
                    around.stage.referee.extended(self.who, now, end, sent);
                }
            }
            Action::Shorten(lease) => {
                if self.leading {
                    around.stage.referee.shortened(self.who, around.clock.when(lease.end()));
                }
            }
            Action::Forget(node) => around.desk.forget(&node),
            Action::StepDown(_) => self.step_down(around),
            Action::GiveUp(_) => {
                (self.campaign, self.deferred) = (false, false);
                self.undecided = true;
            }
            Action::RemovalFailed(_) | Action::Left(_) => {}
            Action::Report(standing) => self.standing = standing,
        }
    }

    fn ask(&mut self, around: &mut Surroundings<'_>, ticket: Ticket, request: Request) {
        note!(around.stage, "{} asks {request:?}", self.who);
        let guess = self.guess(around, &request);
        let outcome = guess.or_else(|| recall(around.desk, &request, &mut self.preview));
        let ask: Ask = match outcome {
            Some(outcome) => Box::pin(std::future::ready(outcome)),
            None => {
                let Stage { referee, now, .. } = &mut *around.stage;
                referee.asked(self.who, *now);
                if let (Request::Remove { node, verify }, Some(session)) =
                    (&request, around.desk.state().session)
                {
                    let bound = self.contest.counter.is_some();
                    referee.removes(session, node, (*verify, bound), *now);
                }
                Box::pin(send(self.contest.clone(), around.desk.clone(), ticket, request))
            }
        };
        self.asks.push((ticket, ask));
    }

    fn lead(&mut self, around: &mut Surroundings<'_>, node: &Node, lease: Lease) {
        if std::mem::take(&mut self.campaign) {
            self.leading = true;
            self.undecided = true;
            let (now, end) = (around.stage.now, around.clock.when(lease.end()));
            let token = self.misnumber(around).unwrap_or(node.token);
            let claim = Claim { election: self.election, token, end };
            around.stage.referee.leads(self.who, claim, now, around.clock.when(self.proven));
        } else {
            self.machine.handle(around.desk.now(), Event::Withdraw(Lost::Resigned));
        }
    }

    fn step_down(&mut self, around: &mut Surroundings<'_>) {
        if std::mem::take(&mut self.leading) {
            self.undecided = true;
            around.stage.referee.ended(self.who);
        }
    }

    fn is_idle(&self) -> bool {
        self.standing == Standing::Idle
    }

    /// The own znode, as far as the contender says where it stands.
    fn node(&self) -> Option<&str> {
        match &self.standing {
            Standing::Waiting { node: Some(node), .. } | Standing::Leading { node, .. } => Some(node),
            _ => None,
        }
    }
}
