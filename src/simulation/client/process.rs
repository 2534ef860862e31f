//! A process with one session and several contenders. It can stand still, and die.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use super::super::invariants::Who;
use super::super::mutation::Mutation;
use super::super::network::Down;
use super::super::settings::{Settings, path_of};
use super::super::stage::{Happening, Stage, note};
use super::super::time::{Clock, Instant};
use super::contender::{Contender, Surroundings, View};
use super::desk::Desk;
use super::heart::Heart;
use super::requests::Contest;
use super::session::{Notice, Session};
use super::znodes::Counter;
use crate::lease::DEFAULT_MARGIN;
use crate::machine::{ElectionSpec, naming};
use crate::types::{Mode, SessionId};
use zookeeper_embedded::replica::ConnectionId;

pub(in super::super) struct Process {
    number: usize,
    clock: Clock,
    /// How often it was started; it runs at present if there is an inside.
    life: u32,
    inside: Option<Inside>,
    /// How many faults make it stand still.
    paused: u32,
    /// What has come in meanwhile.
    inbox: VecDeque<(ConnectionId, Down)>,
    /// When to do something, whatever comes in.
    wake_at: Option<Instant>,
}

struct Inside {
    desk: Rc<Desk>,
    session: Session,
    heart: Heart,
    contenders: Vec<Contender>,
}

impl Process {
    /// A process that does not run yet.
    pub(in super::super) fn new(number: usize, stage: &mut Stage) -> Self {
        let offset = Duration::from_secs(stage.rng.u64(1000..1_000_000));
        let clock = Clock::new(offset, stage.rng.i64(-10_000..=10_000));
        Self { number, clock, life: 0, inside: None, paused: 0, inbox: VecDeque::new(), wake_at: None }
    }

    pub(in super::super) fn is_running(&self) -> bool {
        self.inside.is_some()
    }

    pub(in super::super) fn session(&self) -> Option<SessionId> {
        self.inside.as_ref()?.desk.state().session
    }

    pub(in super::super) fn is_connected(&self) -> bool {
        self.inside.as_ref().is_some_and(|inside| inside.session.is_connected())
    }

    /// The connection in use.
    pub(in super::super) fn connection(&self) -> Option<ConnectionId> {
        self.inside.as_ref()?.session.connection()
    }

    /// Whether somebody wants the session to be proven.
    pub(in super::super) fn wants_proofs(&self) -> bool {
        self.inside.as_ref().is_some_and(|inside| inside.heart.wants_proofs())
    }

    pub(in super::super) fn views(&self) -> impl Iterator<Item = View<'_>> {
        self.inside.iter().flat_map(|inside| inside.contenders.iter().map(Contender::view))
    }

    pub(in super::super) fn wake_at(&self) -> Option<Instant> {
        self.wake_at.filter(|_| self.paused == 0)
    }

    /// Starts the process, if it does not run.
    pub(in super::super) fn start(&mut self, stage: &mut Stage) {
        if self.inside.is_some() {
            return;
        }
        note!(stage, "process {} starts", self.number);
        self.life += 1;
        let wish = stage.settings.timeout;
        let mutation = stage.settings.mutation;
        let margin = if mutation == Some(Mutation::NoMargin) { 0.0 } else { DEFAULT_MARGIN };
        let desk = Rc::new(Desk::new(mutation));
        let now = self.clock.reading(stage.now);
        let session = Session::new(self.number, margin, wish, &stage.settings, desk.clone(), now);
        let contenders = self.contenders(&stage.settings.clone(), &mut stage.rng);
        for contender in 0..contenders.len() {
            self.act_later(stage, contender, true);
        }
        self.inside = Some(Inside { desk, session, heart: Heart::new(), contenders });
        self.inbox.clear();
        self.step(stage, |_, _| {});
    }

    fn contenders(&self, settings: &Settings, rng: &mut fastrand::Rng) -> Vec<Contender> {
        let elections = settings.elections.iter().copied().enumerate();
        let twin = settings.elections.first().copied().filter(|_| settings.twins).map(|mode| (0, mode));
        let numbered = elections.chain(twin).enumerate();
        let contender = |(contender, (election, mode))| {
            let who = Who { process: self.number, life: self.life, contender };
            let identity = if settings.same_identity { "same".into() } else { format!("{}", self.number) };
            let path = path_of(election, mode);
            let counter = (mode == Mode::Master).then(|| Counter::new(naming::counter(&path)));
            let plan = ElectionSpec { mode, path, prefix: "guid_".into() };
            let contest = Contest { plan, identity, number: rng.u64(..), counter };
            Contender::new(who, election, contest, rng.u64(..))
        };
        numbered.map(contender).collect()
    }

    /// The process dies; returns its connection.
    pub(in super::super) fn kill(&mut self, stage: &mut Stage) -> Option<ConnectionId> {
        let connection = self.connection();
        if let Some(inside) = self.inside.take() {
            note!(stage, "process {} dies", self.number);
            inside.contenders.iter().for_each(|contender| stage.referee.ended(contender.view().who));
        }
        self.wake_at = None;
        connection
    }

    /// The process stands still.
    pub(in super::super) fn pause(&mut self, stage: &mut Stage) {
        note!(stage, "process {} stands still", self.number);
        self.paused += 1;
    }

    /// The process goes on. Its applications may be the first to act.
    pub(in super::super) fn resume(&mut self, stage: &mut Stage) {
        self.paused -= 1;
        if self.paused > 0 {
            return;
        }
        note!(stage, "process {} goes on", self.number);
        if stage.chance(0.5) {
            self.step(stage, |inside, stage| {
                let Some(contender) = stage.rng.choice(0..inside.0.contenders.len()) else { return };
                inside.decide(stage, contender);
            });
        }
        // Whether timers or packets are first is a matter of luck, too.
        if stage.rng.bool() {
            self.step(stage, |inside, stage| inside.tick(stage));
        }
        while let Some(packet) = self.inbox.pop_front() {
            // The client may have read the end of the connection before anybody makes use of the last answer.
            let ended = |(connection, next): &(ConnectionId, Down)| {
                *connection == packet.0 && matches!(next, Down::Closed)
            };
            let end = self.inbox.pop_front_if(|next| ended(next) && stage.rng.bool());
            self.step(stage, |inside, stage| {
                for (connection, packet) in [packet].into_iter().chain(end) {
                    inside.0.session.receive(stage, connection, packet);
                }
            });
        }
        self.tick(stage);
    }

    /// A packet has come.
    pub(in super::super) fn receive(&mut self, stage: &mut Stage, connection: ConnectionId, packet: Down) {
        if self.paused > 0 {
            self.inbox.push_back((connection, packet));
        } else {
            self.step(stage, |inside, stage| inside.0.session.receive(stage, connection, packet));
        }
    }

    /// Time has passed.
    pub(in super::super) fn tick(&mut self, stage: &mut Stage) {
        if self.paused == 0 {
            self.step(stage, |inside, stage| inside.tick(stage));
        }
    }

    /// An application makes up its mind; `again` tells whether this is one of the times when it does so anyway.
    pub(in super::super) fn act(&mut self, stage: &mut Stage, life: u32, contender: usize, again: bool) {
        if life != self.life || self.inside.is_none() {
            return;
        }
        if self.paused == 0 {
            self.step(stage, |inside, stage| inside.decide(stage, contender));
        }
        if again && !stage.calm {
            self.act_later(stage, contender, true);
        }
    }

    /// Applications that lead or wait change their minds.
    pub(in super::super) fn resign(&mut self, stage: &mut Stage) {
        if self.paused == 0 {
            self.step(stage, |inside, stage| {
                inside.each(stage, |contender, around| contender.resign(around))
            });
        }
    }

    fn act_later(&mut self, stage: &mut Stage, contender: usize, again: bool) {
        let mean = stage.settings.timeout.mul_f64(if again { 3.0 } else { 0.2 });
        let after = mean.mul_f64(-(1.0 - stage.rng.f64()).ln());
        stage.later(after, Happening::Act { process: self.number, life: self.life, contender, again });
    }

    /// What applications want when everything is over.
    pub(in super::super) fn make_up_minds(&mut self, stage: &mut Stage) {
        let Some(inside) = &mut self.inside else {
            return;
        };
        inside.contenders.iter_mut().for_each(|contender| contender.willing = stage.rng.u8(..4) > 0);
        let contenders = inside.contenders.len();
        for contender in 0..contenders {
            self.act(stage, self.life, contender, false);
        }
    }

    /// Does something at the present instant, and everything that follows from it.
    fn step(&mut self, stage: &mut Stage, act: impl FnOnce(&mut Running<'_>, &mut Stage)) {
        let Some(inside) = &mut self.inside else {
            return;
        };
        inside.desk.state().now = self.clock.reading(stage.now);
        let mut running = Running(inside, self.clock);
        act(&mut running, stage);
        running.settle(stage);
        let undecided: Vec<usize> = running.take_undecided();
        self.wake_at = inside.wake_at(self.clock, stage.now);
        for contender in undecided {
            self.act_later(stage, contender, false);
        }
    }
}

impl Inside {
    fn wake_at(&self, clock: Clock, now: Instant) -> Option<Instant> {
        let contenders = self.contenders.iter().filter_map(Contender::wake_at);
        let first = contenders.chain(self.heart.wake_at()).chain([self.session.wake_at()]).min()?;
        Some(clock.when(first).max(now))
    }
}

/// The inside of a process that does not stand still.
struct Running<'a>(&'a mut Inside, Clock);

impl Running<'_> {
    fn each(&mut self, stage: &mut Stage, mut act: impl FnMut(&mut Contender, &mut Surroundings<'_>)) {
        let Inside { desk, heart, contenders, .. } = &mut *self.0;
        let mut around = Surroundings { stage, desk, heart, clock: self.1 };
        contenders.iter_mut().for_each(|contender| act(contender, &mut around));
    }

    fn tick(&mut self, stage: &mut Stage) {
        self.0.session.tick(stage);
        self.each(stage, |contender, around| contender.tick(around));
    }

    fn decide(&mut self, stage: &mut Stage, contender: usize) {
        let mut number = 0;
        self.each(stage, |it, around| {
            if number == contender {
                it.decide(around);
            }
            number += 1;
        });
    }

    /// Goes on until nothing is left to do at this instant.
    fn settle(&mut self, stage: &mut Stage) {
        loop {
            let mut any = false;
            self.0.session.hear_herald(stage);
            while let Some(notice) = self.0.session.notices.pop_front() {
                any = true;
                self.on_notice(stage, &notice);
            }
            for proof in self.0.heart.poll() {
                any = true;
                self.each(stage, |contender, around| contender.on_proof(around, &proof));
            }
            self.each(stage, |contender, around| any |= contender.go_on(around));
            any |= self.0.heart.beat(&self.0.desk);
            any |= self.0.session.flush(stage);
            if !any {
                return self.0.desk.state().forget_answers();
            }
        }
    }

    fn on_notice(&mut self, stage: &mut Stage, notice: &Notice) {
        let now = self.0.desk.now();
        note!(stage, "{notice:?}");
        match *notice {
            Notice::Connected => {
                self.0.heart.on_connected(now);
                self.each(stage, |contender, around| contender.on_connected(around));
            }
            Notice::Suspended | Notice::Reopening => {
                self.0.heart.on_disconnected();
                self.each(stage, |contender, around| contender.on_suspended(around));
            }
            Notice::SessionLost => {
                self.0.heart.on_disconnected();
                self.each(stage, |contender, around| contender.on_session_lost(around));
            }
            Notice::Fired { watch, deleted } => {
                self.each(stage, |contender, around| contender.on_fired(around, watch, deleted));
            }
        }
    }

    fn take_undecided(&mut self) -> Vec<usize> {
        let contenders = self.0.contenders.iter_mut().enumerate();
        contenders.filter_map(|(number, it)| std::mem::take(&mut it.undecided).then_some(number)).collect()
    }
}
