//! A peer of ZooKeeper's servers: an [`Elector`] with a clock and connections.
//!
//! It elects, and nothing else: it serves no followers, and follows nobody. So it is for ensembles that are thrown away.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use zookeeper_fle::{
    Action, Decision, Elector, Event, History, Notification, Quorum, Round, ServerId, ServerState, Vote,
};

use crate::connections::{Input, PeerConnections};
use testkit::PATIENCE;

/// A peer that runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) id: ServerId,
    status: watch::Receiver<Status>,
    record: Arc<Mutex<PeerLog>>,
    looks: mpsc::UnboundedSender<History>,
    _task: JoinSet<()>,
}

/// What a peer does at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) state: ServerState,
    pub(crate) round: Round,
    /// While it looks.
    pub(crate) proposal: Option<Vote>,
    /// While it does not.
    pub(crate) decision: Option<Decision>,
}

/// What a peer has met with since its start.
#[derive(Clone, Debug, Default)]
pub(crate) struct PeerLog {
    pub(crate) heard: Vec<ReceivedNotification>,
    /// Frames that are no notification.
    pub(crate) unreadable: Vec<(ServerId, Vec<u8>)>,
}

/// A notification as it has arrived.
#[derive(Clone, Debug)]
pub(crate) struct ReceivedNotification {
    pub(crate) from: ServerId,
    pub(crate) raw: Vec<u8>,
    pub(crate) notification: Notification,
}

impl Peer {
    /// Starts to look, as one of these voters with their election addresses.
    ///
    /// It listens on its own of them, and announces the text `config`.
    pub(crate) async fn start(
        id: i64,
        members: &BTreeMap<ServerId, SocketAddr>,
        config: &str,
        history: History,
    ) -> Self {
        let id = ServerId(id);
        let listener =
            TcpListener::bind(members[&id]).await.expect("the election port of a server that is down");
        let elector = Elector::new(id, Quorum::majority(members.keys().copied())).announcing(config);
        let (inputs, incoming) = mpsc::unbounded_channel();
        let connections = PeerConnections::new(id, members.clone(), listener, inputs);
        let (looks, to_look) = mpsc::unbounded_channel();
        let (status, seen) = watch::channel(Status::of(&elector, None));
        let record = Arc::new(Mutex::new(PeerLog::default()));
        let running = Running {
            elector,
            connections,
            began: Instant::now(),
            deadline: None,
            decision: None,
            status,
            record: record.clone(),
        };
        let mut task = JoinSet::new();
        task.spawn(running.run(to_look, incoming));
        let peer = Self { id, status: seen, record, looks, _task: task };
        peer.look_again(history);
        peer
    }

    /// Lets it look in a new round, with this history.
    pub(crate) fn look_again(&self, history: History) {
        self.looks.send(history).expect("the peer runs");
    }

    /// What it does at present.
    pub(crate) fn status(&self) -> Status {
        *self.status.borrow()
    }

    /// Waits until it has settled, in this round or a later one.
    pub(crate) async fn decides(&self, from: Round) -> Decision {
        let mut status = self.status.clone();
        let settled = status.wait_for(|it| it.decision.is_some_and(|decision| decision.round >= from));
        match timeout(PATIENCE, settled).await {
            Ok(status) => status.expect("the peer runs").decision.expect("it has decided"),
            Err(_) => panic!("{} does not decide: {:?}, {:?}", self.id, self.status(), self.record().heard),
        }
    }

    /// What it has met with.
    pub(crate) fn record(&self) -> PeerLog {
        lock(&self.record).clone()
    }
}

/// The task of a peer.
struct Running {
    elector: Elector,
    connections: PeerConnections,
    began: Instant,
    deadline: Option<Instant>,
    decision: Option<Decision>,
    status: watch::Sender<Status>,
    record: Arc<Mutex<PeerLog>>,
}

impl Running {
    async fn run(
        mut self,
        mut looks: mpsc::UnboundedReceiver<History>,
        mut incoming: mpsc::UnboundedReceiver<Input>,
    ) {
        loop {
            let deadline = self.deadline.unwrap_or_else(|| Instant::now() + Duration::from_secs(60));
            let actions = tokio::select! {
                history = looks.recv() => {
                    let Some(history) = history else { return };
                    self.decision = None;
                    self.elector.look(self.began.elapsed(), history)
                }
                Some(input) = incoming.recv() => self.take_in(input),
                () = sleep_until(deadline) => self.tick(),
            };
            actions.into_iter().for_each(|action| self.carry_out(action));
            let status = Status::of(&self.elector, self.decision);
            self.status.send_if_modified(|it| std::mem::replace(it, status) != status);
        }
    }

    fn take_in(&mut self, input: Input) -> Vec<Action> {
        match input {
            Input::Greeted { hello, stream } => self.connections.greeted(&hello, stream),
            Input::Dialled { to, stream } => self.connections.dialled(to, stream),
            Input::Lost { from, link } => self.connections.lost(from, link),
            Input::Frame { from, body: raw } => match Notification::decode(&raw) {
                Err(_) => lock(&self.record).unreadable.push((from, raw)),
                Ok(notification) => {
                    lock(&self.record).heard.push(ReceivedNotification {
                        from,
                        raw,
                        notification: notification.clone(),
                    });
                    let event = Event::Notification { from, notification };
                    return self.elector.handle(self.began.elapsed(), event);
                }
            },
        }
        Vec::new()
    }

    fn tick(&mut self) -> Vec<Action> {
        let now = self.began.elapsed();
        let mut actions = Vec::new();
        for to in self.connections.undelivered() {
            actions.extend(self.elector.handle(now, Event::Undelivered { to }));
        }
        actions.extend(self.elector.handle(now, Event::Tick));
        actions
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Broadcast(notification) => {
                let frame = notification.encode_frame();
                self.connections.others().into_iter().for_each(|to| self.connections.send(to, frame.clone()));
            }
            Action::Send { to, notification } => self.connections.send(to, notification.encode_frame()),
            Action::Connect => {
                self.connections.others().into_iter().for_each(|to| self.connections.connect(to))
            }
            // A fraction later, so that the elector's clock has reached it.
            Action::WaitUntil(time) => self.deadline = Some(self.began + time + Duration::from_millis(1)),
            Action::Decided(decision) => {
                self.decision = Some(decision);
                self.deadline = None;
            }
        }
    }
}

impl Status {
    fn of(elector: &Elector, decision: Option<Decision>) -> Self {
        Self { state: elector.state(), round: elector.round(), proposal: elector.proposal(), decision }
    }
}

fn lock(record: &Mutex<PeerLog>) -> MutexGuard<'_, PeerLog> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}
