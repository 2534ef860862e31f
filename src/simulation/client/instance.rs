//! A process while it runs: its machine, its session and its applications.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use zookeeper_embedded::replica::{Action, ConnectionId, Request, Write};

use super::application::{Application, Order, Told};
use super::connector::SimulatedConnector;
use super::host::Executor;
use super::network_interface::{LineNumber, NetworkInterface, Outgoing};
use crate::election::Parents;
use crate::error::Error;
use crate::runtime::{self, Runtime};
use crate::session::seam::{Connection, SessionSettings};
use crate::session::{ConnectionState, Session};
use crate::simulation::invariants::reports::{ContenderId, ContenderView, LeaderClaim};
use crate::simulation::network::{Down, Up};
use crate::simulation::settings::{guarded_path, path_of};
use crate::simulation::time::Clock;
use crate::simulation::world::{World, trace};
use crate::types::SessionId;

/// A running process.
pub(super) struct Instance {
    pub(super) executor: Executor,
    pub(super) interface: Arc<NetworkInterface>,
    pub(super) lines: BTreeMap<LineNumber, ConnectionId>,
    pub(super) connections: BTreeMap<ConnectionId, LineNumber>,
    /// The sessions that were opened, the current one last.
    pub(super) sessions: Vec<SessionId>,
    /// Set once the session is open.
    pub(super) opened: Arc<Mutex<Option<Session>>>,
    pub(super) session: Option<Session>,
    pub(super) applications: Vec<Application>,
    /// The leaderships that applications hold, as reported to the checker.
    pub(super) told: BTreeMap<ContenderId, LeaderClaim>,
    /// The number of applications that were just started: their decisions have to be scheduled.
    pub(super) started: usize,
    /// The last beat was a proof.
    pub(super) proves: bool,
    /// The results of the first and the second `Session::close`.
    pub(super) closed: Arc<Mutex<Vec<Result<(), Error>>>>,
    /// The client, if the application has opened the session itself.
    pub(super) own_client: Arc<Mutex<Option<Arc<dyn Connection>>>>,
    /// Closing the session has failed, so the application keeps the client.
    pub(super) kept: bool,
}

pub(super) fn view(application: &Application) -> ContenderView {
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
    pub(super) fn new() -> Self {
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

    /// Starts to open a session, by the crate or by the application itself.
    pub(super) fn open_session(&mut self, world: &mut World) {
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

    pub(super) fn start_applications(
        &mut self,
        world: &World,
        session: &Session,
        id: impl Fn(usize) -> ContenderId,
    ) {
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

    /// A packet has arrived.
    pub(super) fn receive(
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

    /// Sends the packets of the process, and returns the directories that it lists.
    pub(super) fn send(&mut self, process: usize, world: &mut World) -> BTreeSet<String> {
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

    /// Reports changes to the checker.
    pub(super) fn report(&mut self, clock: Clock, world: &mut World) {
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
                    trace!(world, "{id} leads only until {:?}", claim.end);
                    world.checker.shortened(id, claim.end);
                }
                (Some(_), None) => {
                    trace!(world, "{id} no longer leads");
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

    /// The applications that have something to decide, and whether they decide again and again from now on.
    pub(super) fn take_undecided(&mut self) -> Vec<(usize, bool)> {
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
    pub(super) fn twin(&self, application: usize) -> Option<usize> {
        let election = self.applications.get(application)?.election_number;
        let is_twin =
            |(other, it): &(usize, &Application)| *other != application && it.election_number == election;
        self.applications.iter().enumerate().find(is_twin).map(|(other, _)| other)
    }

    pub(super) fn decide(&mut self, world: &mut World, application: usize) {
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

    pub(super) fn close(&mut self) {
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

    /// Whether the process has nothing left to do.
    pub(super) fn has_ended(&mut self, process: usize, world: &mut World) -> bool {
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
        // The application's own session is lost, so the process starts again.
        let lost = state.is_some_and(|state| matches!(*state.borrow(), ConnectionState::Lost));
        (!closed.is_empty() && !self.kept) || lost
    }
}

/// Whether a request is a beat of the session, which is sent when nothing happens.
fn is_beat(request: &Request) -> bool {
    match request {
        Request::Exists { path, watch: false } => path == "/",
        Request::Multi(writes) => match &writes[..] {
            [Write { path: Some(path), action }] => path != "/" && matches!(action, Action::Check { .. }),
            _ => false,
        },
        _ => false,
    }
}

/// A request, for the transcript.
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
