//! A process with one session and several applications. It can be paused, killed and started again.

use std::collections::VecDeque;
use std::time::Duration;

use zookeeper_embedded::replica::ConnectionId;

use super::application::Order;
use super::instance::{Instance, view};
use crate::path::split;
use crate::simulation::event::{Recovery, WorldEvent};
use crate::simulation::invariants::reports::{ContenderId, ProcessView};
use crate::simulation::network::Down;
use crate::simulation::time::{Clock, Instant};
use crate::simulation::world::{World, trace};
use crate::types::SessionId;

pub(in crate::simulation) struct Process {
    number: usize,
    clock: Clock,
    /// The number of starts. The process runs if there is an instance.
    life: u32,
    instance: Option<Instance>,
    /// The number of faults that pause it.
    paused: u32,
    /// The packets that arrived during the pause.
    inbox: VecDeque<(ConnectionId, Down)>,
    /// When to act, even if no packet arrives.
    wake_at: Option<Instant>,
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
        self.instance.as_ref()?.sessions.last().copied()
    }

    /// The connection in use.
    pub(in crate::simulation) fn connection(&self) -> Option<ConnectionId> {
        self.instance.as_ref()?.connections.keys().next_back().copied()
    }

    /// Whether a contender of this process leads.
    pub(in crate::simulation) fn leads(&self) -> bool {
        self.instance.as_ref().is_some_and(|instance| !instance.told.is_empty())
    }

    /// Whether the last beat of the session was a proof.
    pub(in crate::simulation) fn sends_proofs(&self) -> bool {
        self.instance.as_ref().is_some_and(|instance| instance.proves)
    }

    pub(in crate::simulation) fn view(&self) -> ProcessView {
        let session = self.instance.as_ref().and_then(|instance| instance.session.as_ref());
        // Its contenders have ended with the session.
        let kept = self.instance.as_ref().is_some_and(|instance| instance.kept);
        let applications = self.instance.iter().flat_map(|instance| &instance.applications);
        ProcessView {
            connected: kept || session.is_some_and(|session| session.id().is_some()),
            session: self.session(),
            contenders: applications.filter(|_| !kept).map(view).collect(),
        }
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
        self.instance = Some(Instance::new());
        self.inbox.clear();
        self.step(world, |instance, world| instance.open_session(world));
    }

    /// Kills the process. Returns its connection.
    pub(in crate::simulation) fn kill(&mut self, world: &mut World) -> Option<ConnectionId> {
        let connection = self.connection();
        if let Some(instance) = self.instance.take() {
            trace!(world, "process {} dies", self.number);
            instance.applications.iter().for_each(|application| world.checker.died(application.id));
        }
        self.wake_at = None;
        connection
    }

    pub(in crate::simulation) fn pause(&mut self, world: &mut World) {
        trace!(world, "process {} is paused", self.number);
        self.paused += 1;
    }

    /// Resumes the process. Its applications may act first.
    pub(in crate::simulation) fn resume(&mut self, world: &mut World) {
        self.paused -= 1;
        if self.paused > 0 {
            return;
        }
        trace!(world, "process {} is resumed", self.number);
        if world.chance(0.5) {
            self.step(world, |instance, world| {
                let Some(application) = world.rng.choice(0..instance.applications.len()) else { return };
                instance.decide(world, application);
            });
        }
        // Whether timers or packets are first is random, too.
        if world.rng.bool() {
            self.step(world, |instance, _| instance.executor.fire_timers());
        }
        while let Some(packet) = self.inbox.pop_front() {
            // The client may have read the end of the connection before the last reply is used.
            let ended = |(connection, next): &(ConnectionId, Down)| {
                *connection == packet.0 && matches!(next, Down::Closed)
            };
            let at_once = self.inbox.front().is_some_and(|next| ended(next) && world.rng.bool());
            let end = if at_once { self.inbox.pop_front() } else { None };
            let owner = (self.number, self.life);
            self.step(world, |instance, world| {
                for (connection, packet) in [packet].into_iter().chain(end) {
                    instance.receive(world, owner, connection, packet);
                }
            });
        }
        self.tick(world);
    }

    /// A packet has arrived.
    pub(in crate::simulation) fn receive(
        &mut self,
        world: &mut World,
        connection: ConnectionId,
        packet: Down,
    ) {
        if self.paused > 0 {
            self.inbox.push_back((connection, packet));
        } else {
            let owner = (self.number, self.life);
            self.step(world, |instance, world| instance.receive(world, owner, connection, packet));
        }
    }

    /// Time has passed.
    pub(in crate::simulation) fn tick(&mut self, world: &mut World) {
        if self.paused == 0 {
            self.step(world, |instance, _| instance.executor.fire_timers());
        }
    }

    /// An application decides whether to campaign, or to give up. With `again`, it does so again later.
    pub(in crate::simulation) fn act(
        &mut self,
        world: &mut World,
        life: u32,
        application: usize,
        again: bool,
    ) {
        if life != self.life || self.instance.is_none() {
            return;
        }
        if self.paused == 0 {
            self.step(world, |instance, world| {
                instance.decide(world, application);
                if again
                    && let Some(twin) = instance.twin(application)
                    && world.rng.bool()
                {
                    instance.decide(world, twin);
                }
            });
        }
        if again && !world.calm {
            self.act_later(world, application, true);
        }
    }

    /// Applications that lead or campaign give up.
    pub(in crate::simulation) fn resign(&mut self, world: &mut World) {
        if self.paused == 0 {
            self.step(world, |instance, _| {
                instance.applications.iter().for_each(|application| application.order(Order::GiveUp));
            });
        }
    }

    /// The work of a leader blocks its thread for a while.
    pub(in crate::simulation) fn block(&mut self, world: &mut World, duration: Duration) {
        if let Some(instance) = &self.instance {
            let until = self.clock.reading(world.now) + duration;
            for application in &instance.applications {
                let mut state = application.state();
                if state.working.is_some() && world.rng.bool() {
                    trace!(world, "{} blocks its thread for {duration:?}", application.id);
                    state.blocked_until = until;
                }
            }
        }
    }

    /// The process closes its session, and ends when that is done.
    pub(in crate::simulation) fn close(&mut self, world: &mut World) {
        if self.paused == 0 {
            trace!(world, "process {} closes its session", self.number);
            self.step(world, |instance, _| instance.close());
        }
    }

    fn act_later(&mut self, world: &mut World, contender: usize, again: bool) {
        let mean = world.settings.timeout.mul_f64(if again { 3.0 } else { 0.2 });
        let after = mean.mul_f64(-(1.0 - world.rng.f64()).ln());
        world.schedule(after, WorldEvent::Decide { process: self.number, life: self.life, contender, again });
    }

    /// Decides which applications want to lead after all faults.
    pub(in crate::simulation) fn make_up_minds(&mut self, world: &mut World) {
        let Some(instance) = &mut self.instance else {
            return;
        };
        for application in &instance.applications {
            application.state().willing = world.rng.u8(..4) > 0;
        }
        let applications = instance.applications.len();
        for application in 0..applications {
            self.act(world, self.life, application, false);
        }
    }

    /// Does something at the current instant, and everything that follows from it.
    fn step(&mut self, world: &mut World, act: impl FnOnce(&mut Instance, &mut World)) {
        let Some(instance) = &mut self.instance else {
            return;
        };
        // The crate's random numbers come from the seed, too.
        fastrand::seed(world.rng.u64(..));
        instance.executor.set_clock(self.clock.reading(world.now));
        act(instance, world);
        instance.executor.run();
        let opened = instance.opened.lock().unwrap().take();
        if let Some(session) = opened {
            let id = |contender| ContenderId { process: self.number, life: self.life, contender };
            instance.start_applications(world, &session, id);
            instance.session = Some(session);
            instance.executor.run();
        }
        let listed = instance.send(self.number, world);
        instance.report(self.clock, world);
        for path in
            instance.interface.take_departed().into_iter().filter(|path| listed.contains(split(path).0))
        {
            instance.sessions.iter().for_each(|session| world.checker.wakeups.woken(&path, *session));
        }
        let undecided = instance.take_undecided();
        let ended = instance.has_ended(self.number, world);
        self.wake_at = instance.executor.next_timer().map(|at| self.clock.when(at).max(world.now));
        if ended {
            self.kill(world);
            let after = world.settings.timeout.mul_f64(world.rng.f64());
            world.schedule(after, WorldEvent::Recover(Recovery::StartProcess { process: self.number }));
            return;
        }
        for (contender, again) in undecided {
            self.act_later(world, contender, again);
        }
    }
}
