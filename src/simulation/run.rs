//! One run: the world, from its beginning to the verdict.

use std::fmt;
use std::time::Duration;

use super::client::Process;
use super::ensemble::Ensemble;
use super::invariants::{Referee, no_ghosts, somebody_leads};
use super::mutation::Mutation;
use super::network::{Network, Up};
use super::settings::Settings;
use super::stage::{Happening, Stage, note};
use super::time::{Agenda, Instant};
use super::transcript::Transcript;
use super::traps::{Errand, Moment, Trap};
use zookeeper_embedded::replica::ConnectionId;

/// Everything there is.
pub(super) struct World {
    pub(super) stage: Stage,
    pub(super) ensemble: Ensemble,
    pub(super) processes: Vec<Process>,
    /// Since when everything has been as it should be in the end.
    settled: Option<Instant>,
    over: bool,
}

/// What a run has come to.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) violation: Option<String>,
    pub(super) leaderships: u32,
    /// How often a leader's znode was deleted and its successor led before its lease was over.
    pub(super) overlaps: u32,
    /// How often a contender has deleted a znode of another one's, because an operator had deleted its own.
    pub(super) strays: u32,
    pub(super) faults: u32,
    pub(super) steps: u64,
    pub(super) transcript: Transcript,
}

/// Runs the world that a seed describes. The same seed makes the same run, whether the transcript is kept or not.
pub(super) fn run(seed: u64, mutation: Option<Mutation>, transcript: Transcript) -> Verdict {
    let mut rng = fastrand::Rng::with_seed(seed);
    let settings = Settings::draw(&mut rng, mutation);
    let mut world = World::new(settings, rng, transcript);
    let (mut faults, mut steps) = (0, 0);
    while !world.over {
        steps += 1;
        faults += u32::from(world.step());
    }
    let World { stage, .. } = world;
    Verdict {
        violation: stage.referee.violation().map(str::to_owned),
        leaderships: stage.referee.leaderships(),
        overlaps: stage.referee.overlaps(),
        strays: stage.referee.strays(),
        faults,
        steps,
        transcript: stage.transcript,
    }
}

impl Verdict {
    pub(super) fn panicked() -> Self {
        Self { violation: Some("a panic, see above".into()), ..Self::default() }
    }

    /// Adds the figures of another run.
    pub(super) fn add(&mut self, other: &Self) {
        self.leaderships += other.leaderships;
        self.overlaps += other.overlaps;
        self.strays += other.strays;
        self.faults += other.faults;
        self.steps += other.steps;
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { leaderships, overlaps, strays, faults, steps, .. } = self;
        write!(
            f,
            "{steps} steps, {faults} faults, {leaderships} leaderships, {overlaps} times two at once and {strays} znodes \
             deleted for another because of an operator"
        )
    }
}

impl World {
    fn new(settings: Settings, rng: fastrand::Rng, transcript: Transcript) -> Self {
        let processes = settings.processes;
        let mut stage = Stage {
            now: Instant::ZERO,
            calm: false,
            agenda: Agenda::new(),
            rng,
            network: Network::new(processes),
            referee: Referee::default(),
            transcript,
            settings,
        };
        note!(stage, "{:?}", stage.settings);
        let ensemble = Ensemble::new(&mut stage);
        let mut processes: Vec<Process> =
            (0..processes).map(|number| Process::new(number, &mut stage)).collect();
        processes.iter_mut().for_each(|process| process.start(&mut stage));
        stage.later(Duration::ZERO, Happening::Fault);
        // When the last one is well again.
        stage.later(stage.settings.faults_until + Duration::from_millis(1), Happening::Inspect);
        Self { stage, ensemble, processes, settled: None, over: false }
    }

    /// Goes to the next instant at which something happens; returns whether it was a fault.
    fn step(&mut self) -> bool {
        let waking =
            (0..self.processes.len()).filter_map(|it| Some((self.processes[it].wake_at()?, it))).min();
        let expiry = self.ensemble.deadline();
        let next = self.stage.agenda.next_at();
        let first = waking.map(|(at, _)| at).into_iter().chain(expiry).chain(next).min();
        let Some(first) = first else {
            unreachable!("servers tick for ever");
        };
        self.stage.now = self.stage.now.max(first);
        let mut fault = false;
        if next == Some(first) {
            fault = self.happen();
        } else if expiry == Some(first) {
            self.ensemble.expire(&mut self.stage);
        } else if let Some((_, process)) = waking {
            self.processes[process].tick(&mut self.stage);
        }
        if self.stage.referee.wakes.is_any() {
            let truth = self.ensemble.truth();
            let verdict = self.stage.referee.wakes.count(|path| truth.stat(path).is_some());
            self.stage.referee.judge(verdict);
        }
        self.over |= self.stage.referee.violation().is_some();
        fault
    }

    fn happen(&mut self) -> bool {
        let Self { stage, ensemble, processes, .. } = self;
        match stage.agenda.take() {
            Some(Happening::AtServer(connection, packet)) => self.at_server(connection, packet),
            Some(Happening::AtClient(connection, packet)) => {
                let closed = matches!(packet, super::network::Down::Closed);
                if let Some(process) = stage.network.process(connection)
                    && (closed || !stage.network.is_broken(connection))
                {
                    processes[process].receive(stage, connection, packet);
                }
            }
            Some(Happening::Between { from, to, sent, message }) => {
                ensemble.hear(stage, from, to, sent, message);
            }
            Some(Happening::HalfTick { server, life }) => ensemble.half_tick(stage, server, life),
            Some(Happening::Read { server, life, connection }) => {
                ensemble.read(stage, server, life, connection);
            }
            Some(Happening::Unstuck { server }) => ensemble.unstick(stage, server),
            Some(Happening::Act { process, life, contender, again }) => {
                processes[process].act(stage, life, contender, again);
            }
            Some(Happening::Fault) => {
                let interval = self.stage.settings.fault_interval;
                let after = interval.mul_f64(-(1.0 - self.stage.rng.f64()).ln());
                if self.stage.now + after < self.stage.settings.faults_until {
                    self.strike();
                    self.stage.later(after, Happening::Fault);
                }
                return true;
            }
            Some(Happening::Cut { from, to }) => {
                note!(stage, "FAULT: server {from} cannot talk to {to} any more");
                ensemble.cut(stage.now, from, to);
            }
            Some(Happening::CutOff(connection)) => {
                if let Some(server) = stage.network.server(connection) {
                    self.cut_off(server, Duration::ZERO);
                }
            }
            Some(Happening::Break(connection)) => stage.break_connection(connection),
            Some(Happening::Exile { process, exile }) => self.banish(process, exile),
            Some(Happening::Silence { process }) => self.fall_silent(process),
            Some(Happening::Mislead { process }) => self.cut_off_with(process),
            Some(Happening::Strand(connection, duration)) => self.strand(connection, duration),
            Some(Happening::Bereave(connection)) => self.bereave(connection),
            Some(Happening::LastMoment { process }) => self.last_moment(process),
            Some(Happening::Deafen { process }) => self.deafen(process),
            Some(Happening::Flee { process, server }) => self.flee(process, server),
            Some(Happening::Resign { process }) => processes[process].resign(stage),
            Some(Happening::Pause { process, duration }) => self.pause(process, duration),
            Some(Happening::Trap { process, trap }) => {
                note!(stage, "FAULT: {trap:?} waits for process {process}");
                stage.network.set_trap(process, trap);
            }
            Some(Happening::Heal(ailment)) => self.heal(ailment),
            Some(Happening::Inspect) => self.inspect(),
            None => {}
        }
        false
    }

    fn at_server(&mut self, connection: ConnectionId, packet: Up) {
        let closed = matches!(packet, Up::Close);
        if !closed && self.stage.network.is_broken(connection) {
            return;
        }
        let asked = match &packet {
            Up::Request { request, .. } => Some(Moment::Asked(Errand::of(request))),
            Up::Connect { .. } | Up::Close => None,
        };
        match asked.and_then(|moment| self.stage.network.spring(connection, moment)) {
            Some(Trap::PauseOnceAsked(duration)) => {
                if let Some(process) = self.stage.network.process(connection) {
                    self.stage.later(Duration::ZERO, Happening::Pause { process, duration });
                }
            }
            Some(Trap::StandStillAt(_, duration)) => self.detain(connection, duration),
            Some(trap) => {
                note!(self.stage, "connection {connection}: the request is lost");
                if let Trap::ExileAt(_, exile) = trap
                    && let Some(process) = self.stage.network.process(connection)
                {
                    self.stage.later(Duration::ZERO, Happening::Exile { process, exile });
                }
                return self.stage.break_connection(connection);
            }
            None => {}
        }
        self.ensemble.receive(&mut self.stage, connection, packet);
    }

    /// Looks whether everything is as it should be in the end, for a while.
    fn inspect(&mut self) {
        let now = self.stage.now;
        if !self.stage.calm {
            note!(self.stage, "no more faults");
            self.stage.calm = true;
            for process in &mut self.processes {
                process.make_up_minds(&mut self.stage);
            }
        }
        let timeout = self.stage.settings.timeout;
        let requests = &mut self.stage.referee.requests;
        let silent = requests.silence();
        let state = silent.and_then(|()| somebody_leads::check(self)).and_then(|()| no_ghosts::check(self));
        match (state, self.settled) {
            (Ok(()), Some(since)) if now - since >= timeout => {
                let verdict = self.stage.referee.requests.judge_beats(now - since, &self.stage.settings);
                self.stage.referee.judge(verdict);
                self.over = true;
            }
            (Ok(()), Some(_)) => {}
            (Err(reason), _) if now > self.stage.settings.faults_until + timeout * 12 => {
                self.stage.referee.judge(Err(format!("not settled in the end: {reason}")));
            }
            (state, _) => {
                self.settled = state.is_ok().then_some(now);
                self.stage.referee.requests.begin();
            }
        }
        self.stage.later(timeout / 4, Happening::Inspect);
    }
}
