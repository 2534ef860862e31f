//! A process with one session and several applications. It can stand still, and die.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use zookeeper_embedded::replica::{ConnectionId, Request, Write};

use super::application::{Application, Order, Told};
use super::connector::SimulatedConnector;
use super::host::Executor;
use super::network_interface::{LineNumber, NetworkInterface, Outgoing};
use crate::election::Parents;
use crate::error::Error;
use crate::path::split;
use crate::runtime::{self, Runtime};
use crate::session::seam::{Connection, SessionSettings};
use crate::session::{ConnectionState, Session};
use crate::simulation::event::{Recovery, WorldEvent};
use crate::simulation::invariants::reports::{ContenderId, ContenderView, LeaderClaim, ProcessView};
use crate::simulation::network::{Down, Up};
use crate::simulation::settings::{guarded_path, path_of};
use crate::simulation::time::{Clock, Instant};
use crate::simulation::world::{World, trace};
use crate::types::SessionId;

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

/// The process, as long as it runs.
struct Instance {
    executor: Executor,
    interface: Arc<NetworkInterface>,
    lines: BTreeMap<LineNumber, ConnectionId>,
    connections: BTreeMap<ConnectionId, LineNumber>,
    /// The sessions that were opened, the present one last.
    sessions: Vec<SessionId>,
    /// Filled when the session was opened.
    opened: Arc<Mutex<Option<Session>>>,
    session: Option<Session>,
    applications: Vec<Application>,
    /// What the applications hold, as it was told to the checker.
    told: BTreeMap<ContenderId, LeaderClaim>,
    /// Applications that were started and do not make up their minds again and again yet.
    started: usize,
    /// The last beat was a proof.
    proves: bool,
    /// What `Session::close` has said the first time and the second.
    closed: Arc<Mutex<Vec<Result<(), Error>>>>,
    /// The client, if the application has opened the session by itself.
    own_client: Arc<Mutex<Option<Arc<dyn Connection>>>>,
    /// Closing it has failed: the application keeps it.
    kept: bool,
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
        // Its contenders have ended with it.
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

    /// The process dies; returns its connection.
    pub(in crate::simulation) fn kill(&mut self, world: &mut World) -> Option<ConnectionId> {
        let connection = self.connection();
        if let Some(instance) = self.instance.take() {
            trace!(world, "process {} dies", self.number);
            instance.applications.iter().for_each(|application| world.checker.died(application.id));
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
                let Some(application) = world.rng.choice(0..instance.applications.len()) else { return };
                instance.decide(world, application);
            });
        }
        // Whether timers or packets are first is a matter of luck, too.
        if world.rng.bool() {
            self.step(world, |instance, _| instance.executor.fire_timers());
        }
        while let Some(packet) = self.inbox.pop_front() {
            // The client may have read the end of the connection before anybody makes use of the last answer.
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

    /// An application makes up its mind; `again` tells whether this is one of the times when it does so anyway.
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

    /// Applications that lead or wait change their minds.
    pub(in crate::simulation) fn resign(&mut self, world: &mut World) {
        if self.paused == 0 {
            self.step(world, |instance, _| {
                instance.applications.iter().for_each(|application| application.order(Order::GiveUp));
            });
        }
    }

    /// The work of a leader does not let go of its thread for a while.
    pub(in crate::simulation) fn block(&mut self, world: &mut World, duration: Duration) {
        if let Some(instance) = &self.instance {
            let until = self.clock.reading(world.now) + duration;
            for application in &instance.applications {
                let mut state = application.state();
                if state.working.is_some() && world.rng.bool() {
                    trace!(world, "{} works on for {duration:?}", application.id);
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

    /// What applications want when everything is over.
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

    /// Does something at the present instant, and everything that follows from it.
    fn step(&mut self, world: &mut World, act: impl FnOnce(&mut Instance, &mut World)) {
        let Some(instance) = &mut self.instance else {
            return;
        };
        // What the library draws at random is drawn from the seed, too.
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

fn view(application: &Application) -> ContenderView {
    let Application { id, election_number, election, .. } = application;
    let state = application.state();
    ContenderView {
        id: *id,
        election: *election_number,
        willing: state.willing,
        standing: election.standing(),
        leading: state.leading.is_some(),
    }
}

impl Instance {
    fn new() -> Self {
        Self {
            executor: Executor::new(),
            interface: Arc::default(),
            lines: BTreeMap::new(),
            connections: BTreeMap::new(),
            sessions: Vec::new(),
            opened: Arc::default(),
            session: None,
            applications: Vec::new(),
            told: BTreeMap::new(),
            started: 0,
            proves: false,
            closed: Arc::default(),
            own_client: Arc::default(),
            kept: false,
        }
    }

    /// Starts to open a session, by the library or by the application itself.
    fn open_session(&mut self, world: &mut World) {
        let settings = &world.settings;
        let connector = SimulatedConnector {
            interface: self.interface.clone(),
            wish: settings.timeout,
            reconnects: !settings.is_uneven(),
        };
        let (opened, timeout) = (self.opened.clone(), settings.timeout);
        let least_timeout = settings.least_timeout();
        let of_application = !settings.is_uneven() && world.rng.u8(..8) == 0;
        let own_client = self.own_client.clone();
        self.executor.on_host(|| {
            Runtime::current().spawn(async move {
                let session = if of_application {
                    loop {
                        match connector.open(None).await {
                            Ok((connection, _)) => {
                                let connection = connection.of_application();
                                *own_client.lock().unwrap() = Some(connection.clone());
                                break Session::from_connection(connection);
                            }
                            Err(_) => runtime::sleep(timeout / 20).await,
                        }
                    }
                } else {
                    let settings = SessionSettings { least_timeout, ..SessionSettings::default() };
                    Session::open(Arc::new(connector), None, settings).await.expect("a session")
                };
                *opened.lock().unwrap() = Some(session);
            });
        });
    }

    fn start_applications(&mut self, world: &World, session: &Session, id: impl Fn(usize) -> ContenderId) {
        let settings = &world.settings;
        let elections = settings.elections.iter().copied().enumerate();
        let twin = settings.elections.first().copied().filter(|_| settings.twins).map(|mode| (0, mode));
        for (contender, (election, mode)) in elections.chain(twin).enumerate() {
            let id = id(contender);
            let identity = if settings.same_identity { "same".into() } else { format!("{}", id.process) };
            let application = self.executor.on_host(|| {
                let builder = session.election(&path_of(election, mode)).mode(mode).identity(identity);
                let builder = match settings.breadcrumbs {
                    true => builder.breadcrumb(format!("/crumb{election}")),
                    false => builder,
                };
                let built = builder.parents(Parents::Persistent).build().expect("an election");
                Application::start(id, election, built, guarded_path(election))
            });
            application.state().undecided = true;
            self.applications.push(application);
        }
        self.started = self.applications.len();
    }

    /// A packet has come.
    fn receive(
        &mut self,
        world: &mut World,
        (process, life): (usize, u32),
        connection: ConnectionId,
        packet: Down,
    ) {
        let Some(line) = self.connections.get(&connection).copied() else {
            return;
        };
        match &packet {
            Down::Connected(session, _) => {
                let session = SessionId::from_raw(session.raw());
                if self.sessions.last() != Some(&session) {
                    self.sessions.push(session);
                }
                world.checker.session_belongs(session, process, life);
            }
            Down::Closed => {
                self.connections.remove(&connection);
                self.lines.remove(&line);
            }
            _ => {}
        }
        self.interface.receive(line, packet);
    }

    /// Sends what the process has to send, and returns the directories that it lists.
    fn send(&mut self, process: usize, world: &mut World) -> BTreeSet<String> {
        let mut listed = BTreeSet::new();
        while let Some(outgoing) = self.interface.next_outgoing() {
            match outgoing {
                Outgoing::Dial { line, server } => {
                    let connection = world.open_connection(process, server);
                    trace!(world, "process {process} connects to server {server} as {connection}");
                    self.lines.insert(line, connection);
                    self.connections.insert(connection, line);
                }
                Outgoing::Packet { line, packet } => {
                    let ends = matches!(packet, Up::Close);
                    let connection = match ends {
                        true => self.lines.remove(&line),
                        false => self.lines.get(&line).copied(),
                    };
                    let Some(connection) = connection else { continue };
                    if ends {
                        self.connections.remove(&connection);
                    }
                    if let Up::Request { request, .. } = &packet {
                        trace!(world, "process {process} sends over {connection}: {}", describe(request));
                        if let Request::Children { path, .. } = request {
                            listed.insert(path.clone());
                        }
                        let is_beat = is_beat(request);
                        if is_beat {
                            self.proves = matches!(request, Request::Multi(_));
                        }
                        let result = world.checker.requests.sent(process, is_beat, world.now);
                        world.checker.record(result);
                    }
                    world.send_up(connection, packet);
                }
            }
        }
        listed
    }

    /// Tells the checker what has changed.
    fn report(&mut self, clock: Clock, world: &mut World) {
        let now = self.executor.now();
        for application in &self.applications {
            let mut state = application.state();
            let id = application.id;
            let held = state.leading.as_ref().map(|held| (held.token, held.lease.read().end()));
            let claim = held.filter(|(_, end)| *end > now).map(|(token, end)| LeaderClaim {
                election: application.election_number,
                token,
                end: clock.when(end),
            });
            match (self.told.get(&id).copied(), claim) {
                (before, Some(claim)) if before.is_none_or(|before| before.token != claim.token) => {
                    trace!(world, "{id} leads with {} until {:?}", claim.token, claim.end);
                    world.checker.leads(id, claim, world.now);
                }
                (Some(before), Some(claim)) if before.end < claim.end => {
                    trace!(world, "{id} leads until {:?}", claim.end);
                    world.checker.extended(id, world.now, claim.end);
                }
                (Some(before), Some(claim)) if before.end > claim.end => {
                    trace!(world, "{id} leads until {:?} only", claim.end);
                    world.checker.shortened(id, claim.end);
                }
                (Some(_), None) => {
                    trace!(world, "{id} does not lead any more");
                    world.checker.ended(id);
                }
                _ => {}
            }
            let session = self.sessions.last().copied();
            world.checker.work.report(id, state.working.zip(session), claim.is_some(), world.now);
            match claim {
                Some(claim) => drop(self.told.insert(id, claim)),
                None => drop(self.told.remove(&id)),
            }
            for told in state.told.drain(..) {
                trace!(world, "{id} was told {told:?}");
                match told {
                    Told::Removed { path, token } => world.checker.assurances.removed(path, token),
                    Told::NoZnode { election } => world.checker.assurances.no_znode(election, &self.sessions),
                    Told::Untrue(words) => world.checker.record(Err(format!("{id} was told that {words}"))),
                }
            }
        }
    }

    /// The applications that have something to decide, and whether they do so again and again from now on.
    fn take_undecided(&mut self) -> Vec<(usize, bool)> {
        let mut undecided: Vec<(usize, bool)> =
            (0..std::mem::take(&mut self.started)).map(|number| (number, true)).collect();
        for (number, application) in self.applications.iter().enumerate() {
            if std::mem::take(&mut application.state().undecided) {
                undecided.push((number, false));
            }
        }
        undecided
    }

    /// The other application in the same election.
    fn twin(&self, application: usize) -> Option<usize> {
        let election = self.applications.get(application)?.election_number;
        let is_twin =
            |(other, it): &(usize, &Application)| *other != application && it.election_number == election;
        self.applications.iter().enumerate().find(is_twin).map(|(other, _)| other)
    }

    fn decide(&mut self, world: &mut World, application: usize) {
        let Some(application) = self.applications.get(application) else {
            return;
        };
        let calm = world.calm;
        let dice = world.rng.f64();
        let mut state = application.state();
        let (leading, campaigning) = (state.leading.is_some(), state.campaigning);
        if leading || campaigning {
            if !state.willing || (!calm && dice < if leading { 0.3 } else { 0.15 }) {
                application.order(Order::GiveUp);
            } else if leading && dice > 0.6 {
                application.order(Order::Write);
            }
        } else if state.willing {
            trace!(world, "{} campaigns", application.id);
            application.order(Order::Campaign);
        }
        state.undecided = !campaigning && !leading && state.willing;
    }

    fn close(&mut self) {
        if let Some(session) = self.session.clone() {
            let closed = self.closed.clone();
            self.executor.on_host(|| {
                Runtime::current().spawn(async move {
                    let result = session.close().await;
                    let again = session.close().await;
                    *closed.lock().unwrap() = vec![result, again];
                });
            });
        }
    }

    /// Whether the process has nothing to do any more.
    fn has_ended(&mut self, process: usize, world: &mut World) -> bool {
        let closed = std::mem::take(&mut *self.closed.lock().unwrap());
        if let [result, again] = &closed[..] {
            trace!(world, "process {process} has closed its session: {result:?}");
            if result.is_ok() != again.is_ok() {
                let words =
                    format!("process {process} was told {result:?} when it closed, and then {again:?}");
                world.checker.record(Err(words));
            }
            self.kept = self.own_client.lock().unwrap().is_some() && result.is_err();
            if result.is_ok() {
                self.sessions.iter().for_each(|session| world.checker.assurances.closed(*session));
            }
        }
        let state = self.session.as_ref().map(|session| session.shared.connection());
        // The application's own session is lost: it begins anew.
        let lost = state.is_some_and(|state| matches!(*state.borrow(), ConnectionState::Lost));
        (!closed.is_empty() && !self.kept) || lost
    }
}

/// Whether a request is a beat of the session, which is sent when nothing happens.
fn is_beat(request: &Request) -> bool {
    match request {
        Request::Exists { path, watch: false } => path == "/",
        Request::Multi(writes) => match &writes[..] {
            [Write { path: Some(path), action }] => {
                path != "/" && matches!(action, zookeeper_embedded::replica::Action::Check { .. })
            }
            _ => false,
        },
        _ => false,
    }
}

/// A request in a few words.
fn describe(request: &Request) -> String {
    match request {
        Request::Multi(writes) => {
            let write =
                |write: &Write| format!("{:?} {}", write.action, write.path.as_deref().unwrap_or_default());
            format!("multi {}", writes.iter().map(write).collect::<Vec<_>>().join(", "))
        }
        request => format!("{request:?}"),
    }
}
