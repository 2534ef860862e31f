//! A process with one session and several contenders. It can stand still, and die.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use super::contender::{Env, FakeContender};
use super::fake_client::FakeClient;
use super::heartbeat::FakeHeartbeat;
use super::requests::Contest;
use super::session::{FakeSession, Notice};
use super::znodes::FakeCounter;
use crate::lease::DEFAULT_MARGIN;
use crate::machine::{ElectionSpec, naming};
use crate::simulation::event::WorldEvent;
use crate::simulation::invariants::reports::{ContenderId, ContenderView, ProcessView};
use crate::simulation::mistakes::Mistake;
use crate::simulation::network::Down;
use crate::simulation::settings::{Settings, path_of};
use crate::simulation::time::{Clock, Instant};
use crate::simulation::world::{World, trace};
use crate::types::{Mode, SessionId};
use zookeeper_embedded::replica::ConnectionId;

pub(in crate::simulation) struct Process {
    number: usize,
    clock: Clock,
    /// How often it was started; it runs at present if there is an instance.
    life: u32,
    instance: Option<Instance>,
    /// How many faults make it stand still.
    paused: u32,
    /// What has come in meanwhile.
    inbox: VecDeque<(ConnectionId, Down)>,
    /// When to do something, whatever comes in.
    wake_at: Option<Instant>,
}

struct Instance {
    client: Rc<FakeClient>,
    session: FakeSession,
    heartbeat: FakeHeartbeat,
    contenders: Vec<FakeContender>,
}

impl Process {
    /// A process that does not run yet.
    pub(in crate::simulation) fn new(number: usize, world: &mut World) -> Self {
        let offset = Duration::from_secs(world.rng.u64(1000..1_000_000));
        let clock = Clock::new(offset, world.rng.i64(-10_000..=10_000));
        Self { number, clock, life: 0, instance: None, paused: 0, inbox: VecDeque::new(), wake_at: None }
    }

    pub(in crate::simulation) fn is_running(&self) -> bool {
        self.instance.is_some()
    }

    pub(in crate::simulation) fn session(&self) -> Option<SessionId> {
        self.instance.as_ref()?.client.state().session
    }

    /// The connection in use.
    pub(in crate::simulation) fn connection(&self) -> Option<ConnectionId> {
        self.instance.as_ref()?.session.connection()
    }

    /// Whether somebody wants the session to be proven.
    pub(in crate::simulation) fn wants_proofs(&self) -> bool {
        self.instance.as_ref().is_some_and(|instance| instance.heartbeat.wants_proofs())
    }

    /// Whether a contender of this process leads.
    pub(in crate::simulation) fn leads(&self) -> bool {
        self.views().any(|view| view.leading)
    }

    pub(in crate::simulation) fn view(&self) -> ProcessView<'_> {
        ProcessView {
            connected: self.instance.as_ref().is_some_and(|instance| instance.session.is_connected()),
            session: self.session(),
            contenders: self.views().collect(),
        }
    }

    fn views(&self) -> impl Iterator<Item = ContenderView<'_>> {
        self.instance.iter().flat_map(|instance| instance.contenders.iter().map(FakeContender::view))
    }

    pub(in crate::simulation) fn wake_at(&self) -> Option<Instant> {
        self.wake_at.filter(|_| self.paused == 0)
    }

    /// Starts the process, if it does not run.
    pub(in crate::simulation) fn start(&mut self, world: &mut World) {
        if self.instance.is_some() {
            return;
        }
        trace!(world, "process {} starts", self.number);
        self.life += 1;
        let wish = world.settings.timeout;
        let mistake = world.settings.mistake;
        let margin = if mistake == Some(Mistake::NoMargin) { 0.0 } else { DEFAULT_MARGIN };
        let client = Rc::new(FakeClient::new(mistake));
        let now = self.clock.reading(world.now);
        let session = FakeSession::new(self.number, margin, wish, &world.settings, client.clone(), now);
        let contenders = self.contenders(&world.settings.clone(), &mut world.rng);
        for contender in 0..contenders.len() {
            self.act_later(world, contender, true);
        }
        self.instance = Some(Instance { client, session, heartbeat: FakeHeartbeat::new(), contenders });
        self.inbox.clear();
        self.step(world, |_, _| {});
    }

    fn contenders(&self, settings: &Settings, rng: &mut fastrand::Rng) -> Vec<FakeContender> {
        let elections = settings.elections.iter().copied().enumerate();
        let twin = settings.elections.first().copied().filter(|_| settings.twins).map(|mode| (0, mode));
        let numbered = elections.chain(twin).enumerate();
        let contender = |(contender, (election, mode))| {
            let id = ContenderId { process: self.number, life: self.life, contender };
            let identity = if settings.same_identity { "same".into() } else { format!("{}", self.number) };
            let path = path_of(election, mode);
            let counter = (mode == Mode::Master).then(|| FakeCounter::new(naming::counter(&path)));
            let plan = ElectionSpec { mode, path, prefix: "guid_".into() };
            let contest = Contest { plan, identity, number: rng.u64(..), counter };
            FakeContender::new(id, election, contest, rng.u64(..))
        };
        numbered.map(contender).collect()
    }

    /// The process dies; returns its connection.
    pub(in crate::simulation) fn kill(&mut self, world: &mut World) -> Option<ConnectionId> {
        let connection = self.connection();
        if let Some(instance) = self.instance.take() {
            trace!(world, "process {} dies", self.number);
            instance.contenders.iter().for_each(|contender| world.checker.ended(contender.view().id));
        }
        self.wake_at = None;
        connection
    }

    /// The process stands still.
    pub(in crate::simulation) fn pause(&mut self, world: &mut World) {
        trace!(world, "process {} stands still", self.number);
        self.paused += 1;
    }

    /// The process goes on. Its applications may be the first to act.
    pub(in crate::simulation) fn resume(&mut self, world: &mut World) {
        self.paused -= 1;
        if self.paused > 0 {
            return;
        }
        trace!(world, "process {} goes on", self.number);
        if world.chance(0.5) {
            self.step(world, |instance, world| {
                let Some(contender) = world.rng.choice(0..instance.0.contenders.len()) else { return };
                instance.decide(world, contender);
            });
        }
        // Whether timers or packets are first is a matter of luck, too.
        if world.rng.bool() {
            self.step(world, |instance, world| instance.tick(world));
        }
        while let Some(packet) = self.inbox.pop_front() {
            // The client may have read the end of the connection before anybody makes use of the last answer.
            let ended = |(connection, next): &(ConnectionId, Down)| {
                *connection == packet.0 && matches!(next, Down::Closed)
            };
            let at_once = self.inbox.front().is_some_and(|next| ended(next) && world.rng.bool());
            let end = if at_once { self.inbox.pop_front() } else { None };
            self.step(world, |instance, world| {
                for (connection, packet) in [packet].into_iter().chain(end) {
                    instance.0.session.receive(world, connection, packet);
                }
            });
        }
        self.tick(world);
    }

    /// A packet has come.
    pub(in crate::simulation) fn receive(
        &mut self,
        world: &mut World,
        connection: ConnectionId,
        packet: Down,
    ) {
        if self.paused > 0 {
            self.inbox.push_back((connection, packet));
        } else {
            self.step(world, |instance, world| instance.0.session.receive(world, connection, packet));
        }
    }

    /// Time has passed.
    pub(in crate::simulation) fn tick(&mut self, world: &mut World) {
        if self.paused == 0 {
            self.step(world, |instance, world| instance.tick(world));
        }
    }

    /// An application makes up its mind; `again` tells whether this is one of the times when it does so anyway.
    pub(in crate::simulation) fn act(&mut self, world: &mut World, life: u32, contender: usize, again: bool) {
        if life != self.life || self.instance.is_none() {
            return;
        }
        if self.paused == 0 {
            self.step(world, |instance, world| instance.decide(world, contender));
        }
        if again && !world.calm {
            self.act_later(world, contender, true);
        }
    }

    /// Applications that lead or wait change their minds.
    pub(in crate::simulation) fn resign(&mut self, world: &mut World) {
        if self.paused == 0 {
            self.step(world, |instance, world| instance.each(world, |contender, env| contender.resign(env)));
        }
    }

    fn act_later(&mut self, world: &mut World, contender: usize, again: bool) {
        let mean = world.settings.timeout.mul_f64(if again { 3.0 } else { 0.2 });
        let after = mean.mul_f64(-(1.0 - world.rng.f64()).ln());
        world.schedule(after, WorldEvent::Decide { process: self.number, life: self.life, contender, again });
    }

    /// What applications want when everything is over.
    pub(in crate::simulation) fn make_up_minds(&mut self, world: &mut World) {
        let Some(instance) = &mut self.instance else {
            return;
        };
        instance.contenders.iter_mut().for_each(|contender| contender.willing = world.rng.u8(..4) > 0);
        let contenders = instance.contenders.len();
        for contender in 0..contenders {
            self.act(world, self.life, contender, false);
        }
    }

    /// Does something at the present instant, and everything that follows from it.
    fn step(&mut self, world: &mut World, act: impl FnOnce(&mut Running<'_>, &mut World)) {
        let Some(instance) = &mut self.instance else {
            return;
        };
        instance.client.state().now = self.clock.reading(world.now);
        let mut running = Running(instance, self.clock);
        act(&mut running, world);
        running.settle(world);
        let undecided: Vec<usize> = running.take_undecided();
        self.wake_at = instance.wake_at(self.clock, world.now);
        for contender in undecided {
            self.act_later(world, contender, false);
        }
    }
}

impl Instance {
    fn wake_at(&self, clock: Clock, now: Instant) -> Option<Instant> {
        let contenders = self.contenders.iter().filter_map(FakeContender::wake_at);
        let first = contenders.chain(self.heartbeat.wake_at()).chain([self.session.wake_at()]).min()?;
        Some(clock.when(first).max(now))
    }
}

/// The instance of a process that does not stand still.
struct Running<'a>(&'a mut Instance, Clock);

impl Running<'_> {
    fn each(&mut self, world: &mut World, mut act: impl FnMut(&mut FakeContender, &mut Env<'_>)) {
        let Instance { client, heartbeat, contenders, .. } = &mut *self.0;
        let mut env = Env { world, client, heartbeat, clock: self.1 };
        contenders.iter_mut().for_each(|contender| act(contender, &mut env));
    }

    fn tick(&mut self, world: &mut World) {
        self.0.session.tick(world);
        self.each(world, |contender, env| contender.tick(env));
    }

    fn decide(&mut self, world: &mut World, contender: usize) {
        let mut number = 0;
        self.each(world, |it, env| {
            if number == contender {
                it.decide(env);
            }
            number += 1;
        });
    }

    /// Goes on until nothing is left to do at this instant.
    fn settle(&mut self, world: &mut World) {
        loop {
            let mut any = false;
            self.0.session.continue_handshake(world);
            while let Some(notice) = self.0.session.notices.pop_front() {
                any = true;
                self.on_notice(world, &notice);
            }
            for proof in self.0.heartbeat.poll() {
                any = true;
                self.each(world, |contender, env| contender.on_proof(env, &proof));
            }
            self.each(world, |contender, env| any |= contender.go_on(env));
            any |= self.0.heartbeat.beat(&self.0.client);
            any |= self.0.session.flush(world);
            if !any {
                return self.0.client.state().forget_answers();
            }
        }
    }

    fn on_notice(&mut self, world: &mut World, notice: &Notice) {
        let now = self.0.client.now();
        trace!(world, "{notice:?}");
        match *notice {
            Notice::Connected => {
                self.0.heartbeat.on_connected(now);
                self.each(world, |contender, env| contender.on_connected(env));
            }
            Notice::Suspended | Notice::Reopening => {
                self.0.heartbeat.on_disconnected();
                self.each(world, |contender, env| contender.on_suspended(env));
            }
            Notice::SessionLost => {
                self.0.heartbeat.on_disconnected();
                self.each(world, |contender, env| contender.on_session_lost(env));
            }
            Notice::Fired { watch, deleted } => {
                self.each(world, |contender, env| contender.on_fired(env, watch, deleted));
            }
        }
    }

    fn take_undecided(&mut self) -> Vec<usize> {
        let contenders = self.0.contenders.iter_mut().enumerate();
        contenders.filter_map(|(number, it)| std::mem::take(&mut it.undecided).then_some(number)).collect()
    }
}
