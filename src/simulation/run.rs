//! One run, from its beginning to its result.

use std::fmt;
use std::time::Duration;

use super::client::Process;
use super::ensemble::Ensemble;
use super::event::WorldEvent;
use super::invariants::reports::ProcessView;
use super::invariants::{Checker, no_ghosts, somebody_leads};
use super::network::{Network, Up};
use super::settings::Settings;
use super::time::{EventQueue, Instant};
use super::transcript::Transcript;
use super::triggers::{RequestKind, Trigger, TriggeredFault};
use super::world::{World, trace};
use crate::mistakes::{Mistake, make};
use zookeeper_embedded::replica::ConnectionId;

/// The whole state of a run.
pub(super) struct Run {
    pub(super) world: World,
    pub(super) ensemble: Ensemble,
    pub(super) processes: Vec<Process>,
    /// Since when the end conditions hold.
    settled: Option<Instant>,
    over: bool,
}

#[derive(Debug, Default)]
pub(super) struct RunResult {
    pub(super) violation: Option<String>,
    pub(super) leaderships: u32,
    /// How often a leader's znode was deleted, and its successor led before its lease ended.
    pub(super) overlaps: u32,
    /// How often a contender deleted another contender's znode, because an operator had deleted its own.
    pub(super) strays: u32,
    pub(super) faults: u32,
    pub(super) steps: u64,
    pub(super) transcript: Transcript,
}

/// Runs a seed. The same seed makes the same run, whether or not the transcript is kept.
pub(super) fn run(seed: u64, mistake: Option<Mistake>, transcript: Transcript) -> RunResult {
    make(mistake, || run_to_the_end(seed, transcript))
}

fn run_to_the_end(seed: u64, transcript: Transcript) -> RunResult {
    let mut rng = fastrand::Rng::with_seed(seed);
    let settings = Settings::draw(&mut rng);
    let mut run = Run::new(settings, rng, transcript);
    let (mut faults, mut steps) = (0, 0);
    while !run.over {
        steps += 1;
        faults += u32::from(run.step());
    }
    let Run { world, .. } = run;
    RunResult {
        violation: world.checker.violation().map(str::to_owned),
        leaderships: world.checker.leaderships(),
        overlaps: world.checker.overlaps(),
        strays: world.checker.strays(),
        faults,
        steps,
        transcript: world.transcript,
    }
}

impl RunResult {
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

impl fmt::Display for RunResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { leaderships, overlaps, strays, faults, steps, .. } = self;
        write!(
            f,
            "{steps} steps, {faults} faults, {leaderships} leaderships, {overlaps} overlaps and {strays} stray \
             deletions because of an operator"
        )
    }
}

impl Run {
    fn new(settings: Settings, rng: fastrand::Rng, transcript: Transcript) -> Self {
        let processes = settings.processes;
        let mut world = World {
            now: Instant::ZERO,
            calm: false,
            queue: EventQueue::new(),
            rng,
            network: Network::new(processes),
            checker: Checker::new(&settings),
            transcript,
            settings,
        };
        trace!(world, "{:?}", world.settings);
        let ensemble = Ensemble::new(&mut world);
        let mut processes: Vec<Process> =
            (0..processes).map(|number| Process::new(number, &mut world)).collect();
        processes.iter_mut().for_each(|process| process.start(&mut world));
        world.schedule(Duration::ZERO, WorldEvent::Fault);
        // After the end of the last fault.
        world.schedule(world.settings.faults_until + Duration::from_millis(1), WorldEvent::CheckSettled);
        Self { world, ensemble, processes, settled: None, over: false }
    }

    /// Advances to the next event and handles it. Returns whether it was a fault.
    fn step(&mut self) -> bool {
        let waking =
            (0..self.processes.len()).filter_map(|it| Some((self.processes[it].wake_at()?, it))).min();
        let expiry = self.ensemble.deadline();
        let next = self.world.queue.next_at();
        let first = waking.map(|(at, _)| at).into_iter().chain(expiry).chain(next).min();
        let Some(first) = first else {
            unreachable!("servers tick forever");
        };
        self.world.now = self.world.now.max(first);
        let mut fault = false;
        if next == Some(first) {
            fault = self.happen();
        } else if expiry == Some(first) {
            self.ensemble.expire(&mut self.world);
        } else if let Some((_, process)) = waking {
            self.processes[process].tick(&mut self.world);
        }
        self.world.checker.compare(self.ensemble.truth());
        self.over |= self.world.checker.violation().is_some();
        fault
    }

    fn happen(&mut self) -> bool {
        let Self { world, ensemble, processes, .. } = self;
        match world.queue.pop() {
            Some(WorldEvent::PacketAtServer(connection, packet)) => self.at_server(connection, packet),
            Some(WorldEvent::PacketAtClient(connection, packet)) => {
                let closed = matches!(packet, super::network::Down::Closed);
                if let Some(process) = world.network.process(connection)
                    && (closed || !world.network.is_broken(connection))
                {
                    processes[process].receive(world, connection, packet);
                }
            }
            Some(WorldEvent::ServerMessage { from, to, sent, message }) => {
                ensemble.deliver(world, from, to, sent, message);
            }
            Some(WorldEvent::HalfTick { server, life }) => ensemble.half_tick(world, server, life),
            Some(WorldEvent::ReadSocket { server, life, connection }) => {
                ensemble.read(world, server, life, connection);
            }
            Some(WorldEvent::ReleaseQueue { server }) => ensemble.release_queue(world, server),
            Some(WorldEvent::Decide { process, life, contender, again }) => {
                processes[process].act(world, life, contender, again);
            }
            Some(WorldEvent::Fault) => {
                let interval = self.world.settings.fault_interval;
                let after = interval.mul_f64(-(1.0 - self.world.rng.f64()).ln());
                if self.world.now + after < self.world.settings.faults_until {
                    self.inject_fault();
                    self.world.schedule(after, WorldEvent::Fault);
                }
                return true;
            }
            Some(WorldEvent::CutLink { from, to }) => {
                trace!(world, "FAULT: the link from server {from} to {to} is cut");
                ensemble.cut(world.now, from, to);
            }
            Some(WorldEvent::IsolateServer(connection)) => {
                if let Some(server) = world.network.server(connection) {
                    self.isolate_server(server, Duration::ZERO);
                }
            }
            Some(WorldEvent::BreakConnection(connection)) => world.break_connection(connection),
            Some(WorldEvent::Confine { process, confinement }) => self.confine_and_stop(process, confinement),
            Some(WorldEvent::Silence { process }) => self.silence_process(process),
            Some(WorldEvent::IsolateServerOf { process }) => self.isolate_server_of(process),
            Some(WorldEvent::PauseAndMove(connection, duration)) => self.pause_and_move(connection, duration),
            Some(WorldEvent::LoseLeader(connection)) => self.lose_leader_server(connection),
            Some(WorldEvent::DelayToExpiry { process }) => self.delay_to_expiry(process),
            Some(WorldEvent::BlockReplies { process }) => self.block_replies(process),
            Some(WorldEvent::BlockServer { process, server }) => self.block_server(process, server),
            Some(WorldEvent::Resign { process }) => processes[process].resign(world),
            Some(WorldEvent::Pause { process, duration }) => self.pause(process, duration),
            Some(WorldEvent::Arm { process, fault }) => {
                trace!(world, "FAULT: {fault:?} is armed for process {process}");
                world.network.arm(process, fault);
            }
            Some(WorldEvent::Recover(recovery)) => self.recover(recovery),
            Some(WorldEvent::CheckSettled) => self.check_settled(),
            None => {}
        }
        false
    }

    fn at_server(&mut self, connection: ConnectionId, packet: Up) {
        let closed = matches!(packet, Up::Close);
        if !closed && self.world.network.is_broken(connection) {
            return;
        }
        let asked = match &packet {
            Up::Request { request, .. } => Some(Trigger::Request(RequestKind::of(request))),
            Up::Connect { .. } | Up::Close => None,
        };
        match asked.and_then(|moment| self.world.network.fire(connection, moment)) {
            Some(TriggeredFault::PauseOnRequest(duration)) => {
                if let Some(process) = self.world.network.process(connection) {
                    self.world.schedule(Duration::ZERO, WorldEvent::Pause { process, duration });
                }
            }
            Some(TriggeredFault::PauseServerOn(_, duration)) => self.pause_server_of(connection, duration),
            Some(fault) => {
                trace!(self.world, "connection {connection}: the request is lost");
                if let TriggeredFault::ConfineOn(_, confinement) = fault
                    && let Some(process) = self.world.network.process(connection)
                {
                    self.world.schedule(Duration::ZERO, WorldEvent::Confine { process, confinement });
                }
                return self.world.break_connection(connection);
            }
            None => {}
        }
        self.ensemble.receive(&mut self.world, connection, packet);
    }

    /// Checks whether the end conditions hold for a session timeout.
    fn check_settled(&mut self) {
        let now = self.world.now;
        if !self.world.calm {
            trace!(self.world, "no more faults");
            self.world.calm = true;
            for process in &mut self.processes {
                process.make_up_minds(&mut self.world);
            }
        }
        let timeout = self.world.settings.timeout;
        let requests = &mut self.world.checker.requests;
        let silent = requests.silence();
        let state = silent.and_then(|()| self.check_end());
        match (state, self.settled) {
            (Ok(()), Some(since)) if now - since >= timeout => {
                let result = self.world.checker.requests.check_heartbeats(now - since, &self.world.settings);
                self.world.checker.record(result);
                self.over = true;
            }
            (Ok(()), Some(_)) => {}
            (Err(reason), _) if now > self.world.settings.faults_until + timeout * 12 => {
                self.world.checker.record(Err(format!("the end conditions do not hold: {reason}")));
            }
            (state, _) => {
                self.settled = state.is_ok().then_some(now);
                self.world.checker.requests.begin();
            }
        }
        self.world.schedule(timeout / 4, WorldEvent::CheckSettled);
    }

    fn check_end(&self) -> Result<(), String> {
        let elections = &self.world.settings.elections;
        let processes: Vec<ProcessView> = self.processes.iter().map(Process::view).collect();
        somebody_leads::check(elections.len(), &processes)?;
        no_ghosts::check(elections, &processes, self.ensemble.truth())
    }
}
