//! One contender: what `driver.rs` does, and its application.

mod application;
mod mistakes;
mod proofs;

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::fake_client::{FakeClient, WatchId};
use super::heartbeat::FakeHeartbeat;
use super::requests::{Contest, FakeAhead, FakeOutcome, Preview, recall, send};
use crate::error::Lost;
use crate::lease::Lease;
use crate::machine::{Action, Event, Machine, Reply, Request, Ticket};
use crate::simulation::invariants::reports::{ContenderId, ContenderView, LeaderClaim};
use crate::simulation::mistakes::Mistake;
use crate::simulation::time::Clock;
use crate::simulation::world::{World, trace};
use crate::timestamp::Timestamp;
use crate::types::{FencingToken, Standing};
use crate::znode::Node;

type Ask = Pin<Box<dyn Future<Output = FakeOutcome>>>;

pub(in crate::simulation) struct FakeContender {
    id: ContenderId,
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
pub(super) struct Env<'a> {
    pub(super) world: &'a mut World,
    pub(super) client: &'a Rc<FakeClient>,
    pub(super) heartbeat: &'a mut FakeHeartbeat,
    pub(super) clock: Clock,
}

impl FakeContender {
    pub(super) fn new(id: ContenderId, election: usize, contest: Contest, seed: u64) -> Self {
        Self {
            id,
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

    pub(in crate::simulation) fn view(&self) -> ContenderView<'_> {
        let Self { id, election, willing, ref standing, leading, .. } = *self;
        ContenderView { id, election, willing, standing, leading }
    }

    pub(super) fn wake_at(&self) -> Option<Timestamp> {
        self.machine.poll_timeout()
    }

    /// Does what time calls for.
    pub(super) fn tick(&mut self, env: &mut Env<'_>) {
        if self.wake_at().is_some_and(|at| at <= env.client.now()) {
            self.feed(env, Event::Tick);
        }
    }

    pub(super) fn on_connected(&mut self, env: &mut Env<'_>) {
        self.shorten(env);
        (self.own, self.ahead) = (None, None);
        self.feed(env, Event::Connected);
    }

    pub(super) fn on_suspended(&mut self, env: &mut Env<'_>) {
        self.shorten(env);
        self.feed(env, Event::Suspended);
    }

    /// The session timeout may have turned out to be less than was known.
    fn shorten(&mut self, env: &mut Env<'_>) {
        if !env.client.makes(Mistake::NotShortened) {
            let longest = env.client.longest_lease();
            self.feed(env, Event::Shortened(longest));
        }
    }

    pub(super) fn on_session_lost(&mut self, env: &mut Env<'_>) {
        self.asks.clear();
        (self.own, self.ahead) = (None, None);
        self.feed(env, Event::SessionLost { reopening: true });
    }

    /// A watch has fired; perhaps one of this contender's.
    pub(super) fn on_fired(&mut self, env: &mut Env<'_>, watch: WatchId, deleted: bool) {
        if self.own == Some(watch) || self.ahead == Some(watch) {
            env.client.state().has_fired(watch);
        }
        if self.own == Some(watch) {
            self.own = None;
            self.feed(env, Event::OwnChanged { deleted });
        } else if self.ahead == Some(watch) {
            self.ahead = None;
            self.departed = true;
            let lists = self.feed(env, Event::AheadChanged);
            self.departed = false;
            if let (true, true, Some(token)) = (deleted, lists, self.ahead_token)
                && let Some(own) = self.node()
            {
                env.world.checker.woken(self.election, self.id, token, own);
            }
        }
    }

    /// Goes on with requests that have been answered; returns whether there was one.
    pub(super) fn go_on(&mut self, env: &mut Env<'_>) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        let mut any = false;
        let mut at = 0;
        while let Some((ticket, ask)) = self.asks.get_mut(at) {
            let ticket = *ticket;
            match ask.as_mut().poll(&mut cx) {
                Poll::Pending => at += 1,
                Poll::Ready(outcome) => {
                    drop(self.asks.remove(at));
                    self.on_outcome(env, ticket, outcome);
                    // The machine may have given up the others.
                    (any, at) = (true, 0);
                }
            }
        }
        any
    }

    fn on_outcome(&mut self, env: &mut Env<'_>, ticket: Ticket, outcome: FakeOutcome) {
        if !self.machine.awaits(ticket) {
            return;
        }
        let reply = match outcome {
            FakeOutcome::Reply(reply) => reply,
            FakeOutcome::Own(outcome) => Reply::Watched(outcome.map(|(seen, watch)| {
                self.own = watch;
                seen
            })),
            FakeOutcome::FakeAhead(outcome) => {
                Reply::Watched(outcome.map(|FakeAhead { seen, watch, token }| {
                    self.ahead = watch;
                    self.ahead_token = token;
                    seen
                }))
            }
            FakeOutcome::Tried(created, preview) => {
                self.preview = preview;
                Reply::Created(created.map(|(node, lease)| (node, env.client.capped(lease))))
            }
        };
        let reply = self.misread(env, reply);
        trace!(env.world, "{} hears {reply:?}", self.id);
        match &reply {
            Reply::Created(Ok((node, _))) => self.created = Some(node.name().to_owned()),
            Reply::Found(Ok(nodes)) => self.created = nodes.first().map(|node| node.name().to_owned()),
            _ => {}
        }
        self.feed(env, Event::Reply(ticket, reply));
        self.preview = Preview::default();
        for watch in self.own.into_iter().chain(self.ahead) {
            let fired = env.client.state().has_fired(watch);
            fired.into_iter().for_each(|deleted| self.on_fired(env, watch, deleted));
        }
    }

    /// Tells the machine, and does what it says; returns whether that was to list the directory.
    fn feed(&mut self, env: &mut Env<'_>, event: Event) -> bool {
        self.machine.handle(env.client.now(), event);
        let mut lists = false;
        while let Some(action) = self.machine.poll_action() {
            lists |= matches!(action, Action::Ask(_, Request::List));
            self.act(env, action);
        }
        self.keep_proving(env);
        if self.is_idle() {
            self.start_campaign(env);
        }
        lists
    }

    fn act(&mut self, env: &mut Env<'_>, action: Action) {
        if !matches!(action, Action::Ask(..)) {
            trace!(env.world, "{} does {action:?}", self.id);
        }
        match action {
            Action::Ask(ticket, request) => self.ask(env, ticket, request),
            Action::Unwatch => (self.own, self.ahead) = (None, None),
            Action::Lead(node, lease) => self.lead(env, &node, lease),
            Action::Extend(lease) => {
                if self.leading {
                    let (now, end) = (env.world.now, env.clock.when(lease.end()));
                    let sent = env.clock.when(self.proven);
                    env.world.checker.extended(self.id, now, end, sent);
                }
            }
            Action::Shorten(lease) => {
                if self.leading {
                    env.world.checker.shortened(self.id, env.clock.when(lease.end()));
                }
            }
            Action::Forget(node) => env.client.forget(&node),
            Action::StepDown(_) => self.step_down(env),
            Action::GiveUp(_) => {
                (self.campaign, self.deferred) = (false, false);
                self.undecided = true;
            }
            Action::RemovalFailed(_) | Action::Left(_) => {}
            Action::Report(standing) => self.standing = standing,
        }
    }

    fn ask(&mut self, env: &mut Env<'_>, ticket: Ticket, request: Request) {
        trace!(env.world, "{} asks {request:?}", self.id);
        let guess = self.guess(env, &request);
        let outcome = guess.or_else(|| recall(env.client, &request, &mut self.preview));
        let ask: Ask = match outcome {
            Some(outcome) => Box::pin(std::future::ready(outcome)),
            None => {
                let World { checker, now, .. } = &mut *env.world;
                checker.asked(self.id, *now);
                if let (Request::Remove { node, verify }, Some(session)) =
                    (&request, env.client.state().session)
                {
                    let bound = self.contest.counter.is_some();
                    checker.removes(session, node, (*verify, bound), *now);
                }
                Box::pin(send(self.contest.clone(), env.client.clone(), ticket, request))
            }
        };
        self.asks.push((ticket, ask));
    }

    fn lead(&mut self, env: &mut Env<'_>, node: &Node, lease: Lease) {
        if std::mem::take(&mut self.campaign) {
            self.leading = true;
            self.undecided = true;
            let (now, end) = (env.world.now, env.clock.when(lease.end()));
            let token = self.misnumber(env).unwrap_or(node.token);
            let claim = LeaderClaim { election: self.election, token, end };
            env.world.checker.leads(self.id, claim, now, env.clock.when(self.proven));
        } else {
            self.machine.handle(env.client.now(), Event::Withdraw(Lost::Resigned));
        }
    }

    fn step_down(&mut self, env: &mut Env<'_>) {
        if std::mem::take(&mut self.leading) {
            self.undecided = true;
            env.world.checker.ended(self.id);
        }
    }

    fn is_idle(&self) -> bool {
        self.standing == Standing::Idle
    }

    /// The own znode, if the standing names it.
    fn node(&self) -> Option<&str> {
        match &self.standing {
            Standing::Waiting { node: Some(node), .. } | Standing::Leading { node, .. } => Some(node),
            _ => None,
        }
    }
}
