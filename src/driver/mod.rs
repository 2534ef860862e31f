//! The task of a contender: feeds the machine, and does what the machine says. About the election itself it
//! decides nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt, ready};
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot, watch};
use zookeeper_client::Acl;

use crate::clock;
use crate::error::{Error, Lost};
use crate::leadership::Leadership;
use crate::lease::Lease;
use crate::machine::{Action, ElectionSpec, Event, Machine, ProofDemand, Reply, Request, Ticket};
use crate::session::{
    Client, CloseBarrier, ConnectionState, Counter, Fired, Prefetched, Proof, ProofSubscription, Shared,
    Watch,
};
use crate::telemetry;
use crate::types::{Node, SessionId, Standing};

mod leading;
mod recovery;
mod requests;
mod watches;

use self::leading::{Leading, Leaving};
use self::recovery::BeforePanic;
use self::requests::{Outcome, from_prefetched, send};
use self::watches::{fired, keep, still};

/// What a contender is configured with.
pub(crate) struct ContenderConfig {
    pub(crate) spec: ElectionSpec,
    pub(crate) identity: String,
    pub(crate) acl: Vec<Acl>,
    pub(crate) container_parents: bool,
    /// Tells the contender from all others.
    pub(crate) number: u64,
    /// The counter beside a master's path.
    pub(crate) counter: Option<Counter>,
    /// The tombstones of creates stand in the directory, and not beside it.
    pub(crate) tombstones_inside: AtomicBool,
    /// How long a leader's work may go on before its znode is removed all the same.
    pub(crate) grace: Option<Duration>,
}

/// What the application asks of a contender.
pub(crate) enum Command {
    Campaign(CampaignReply),
    Withdraw(RemovalReply),
    /// Ends the leadership with this number, if it is the present one.
    Resign {
        number: u64,
        reply: Option<RemovalReply>,
    },
}

pub(crate) type Commands = mpsc::UnboundedSender<Command>;
type CampaignReply = oneshot::Sender<Result<Leadership, Error>>;
type RemovalReply = oneshot::Sender<Result<(), Error>>;

/// Starts the task of a contender. It ends when all senders of commands have been dropped and its znode is
/// removed, or with the session.
pub(crate) fn start(
    config: Arc<ContenderConfig>,
    shared: Arc<Shared>,
    barrier: CloseBarrier,
    standing: watch::Sender<Standing>,
    removed: Arc<AtomicBool>,
) -> Commands {
    let (commands, commands_rx) = mpsc::unbounded_channel();
    let span = telemetry::contender(&config.spec.path, &config.identity);
    let runtime = shared.runtime().clone();
    let driver = Driver {
        machine: Machine::new(config.spec.clone(), fastrand::u64(..)),
        config,
        connection: shared.connection(),
        commands: commands_rx,
        own_commands: commands.downgrade(),
        standing,
        removed,
        unconfirmed: false,
        client: None,
        connected: false,
        session: None,
        requests: PendingRequests::new(),
        claimed: Vec::new(),
        before_panic: BeforePanic::default(),
        own: None,
        ahead: None,
        proving: None,
        prefetched: Prefetched::default(),
        campaign: None,
        deferred: false,
        removals: Vec::new(),
        leaderships: 0,
        leading: None,
        leaving: None,
        abandoned: false,
        refused: false,
        over: None,
        shared,
        barrier,
    };
    runtime.spawn(tracing::Instrument::instrument(driver.run(), span));
    commands
}

/// What became of the znodes of a contender whose task has ended.
pub(crate) fn removed(removed: &AtomicBool) -> Result<(), Error> {
    if removed.load(Ordering::Acquire) { Ok(()) } else { Err(Error::RemovalUnconfirmed) }
}

/// Requests under way.
type PendingRequests = FuturesUnordered<BoxFuture<'static, (Ticket, Outcome)>>;

struct Driver {
    config: Arc<ContenderConfig>,
    machine: Machine,
    connection: watch::Receiver<ConnectionState>,
    commands: mpsc::UnboundedReceiver<Command>,
    own_commands: mpsc::WeakUnboundedSender<Command>,
    standing: watch::Sender<Standing>,
    /// Whether no znode is left, for certain; for those who ask when the task has ended.
    removed: Arc<AtomicBool>,
    /// A znode of this campaign may be left.
    unconfirmed: bool,

    client: Option<Arc<Client>>,
    /// What the machine knows.
    connected: bool,
    session: Option<SessionId>,
    requests: PendingRequests,
    /// The znodes that this contender has answered for since it was idle.
    claimed: Vec<Node>,
    before_panic: BeforePanic,
    own: Option<Watch>,
    ahead: Option<Watch>,
    proving: Option<ProofSubscription>,
    /// What came with the answer to a create.
    prefetched: Prefetched,

    campaign: Option<CampaignReply>,
    /// The campaign begins when the znode of the last one is removed.
    deferred: bool,
    removals: Vec<RemovalReply>,
    leaderships: u64,
    leading: Option<Leading>,
    /// The work of the leadership before, which has to end before its znode is removed.
    leaving: Option<Arc<Leaving>>,
    /// No more commands will come.
    abandoned: bool,
    /// The ensemble does not permit to remove the znode.
    refused: bool,
    /// The session takes no more campaigns, for this reason.
    over: Option<fn() -> Error>,

    shared: Arc<Shared>,
    barrier: CloseBarrier,
}

impl Driver {
    async fn serve(&mut self) {
        self.on_connection_state();
        while !self.is_done() {
            let pause = self.machine.poll_timeout().map(|at| at.since(clock::now()));
            tokio::select! {
                biased;
                changed = self.connection.changed() => match changed {
                    Ok(()) => self.on_connection_state(),
                    Err(_) => return,
                },
                fired = fired(&mut self.own) => self.on_own_fired(fired),
                proof = next_proof(&mut self.proving) => self.on_proof(proof),
                // Before commands: the next one may be another campaign.
                () = given_up(&mut self.campaign) => self.on_campaign_dropped(),
                command = self.commands.recv(), if !self.abandoned => self.on_command(command),
                Some((ticket, outcome)) = self.requests.next() => self.on_outcome(ticket, outcome),
                fired = fired(&mut self.ahead) => {
                    self.ahead = None;
                    if fired != Fired::Ended {
                        self.feed(Event::AheadChanged);
                    }
                }
                () = sleep(pause) => self.feed(Event::Tick),
            }
        }
    }

    /// Nobody can ask for anything any more and the znode is removed; or its removal is refused, and whoever had
    /// a handle has dropped it.
    fn is_done(&self) -> bool {
        (self.is_idle() && (self.abandoned || self.over.is_some())) || (self.abandoned && self.refused)
    }

    fn is_idle(&self) -> bool {
        *self.standing.borrow() == Standing::Idle
    }

    /// Tells the machine what the session's state means for it.
    fn on_connection_state(&mut self) {
        let connection = self.connection.borrow_and_update().clone();
        if let Some(client) = &self.client {
            self.feed(Event::Shortened(client.longest_lease()));
        }
        // Only the latest state is seen: `Closing` may have been overtaken.
        if self.over.is_none() && (self.shared.is_closing() || matches!(connection, ConnectionState::Closed))
        {
            self.over = Some(|| Error::SessionClosed);
            self.fail_campaign(Error::SessionClosed);
            self.feed(Event::Withdraw(Lost::SessionClosed));
        }
        match connection {
            ConnectionState::Closing(Some(_)) if self.connected => {}
            ConnectionState::Connected(client) | ConnectionState::Closing(Some(client)) => {
                // This may be the first word of a disconnection, too.
                if std::mem::take(&mut self.connected) {
                    self.feed(Event::Suspended);
                }
                if self.session.is_some_and(|known| known != client.session()) {
                    self.lose_session(true);
                }
                self.connected = true;
                self.session = Some(client.session());
                self.client = Some(client);
                // The machine looks at everything again.
                (self.own, self.ahead) = (None, None);
                self.feed(Event::Connected);
            }
            ConnectionState::Suspended => {
                if std::mem::take(&mut self.connected) {
                    self.feed(Event::Suspended);
                }
            }
            ConnectionState::Connecting => {
                if self.session.is_some() {
                    self.lose_session(true);
                }
            }
            ConnectionState::Closing(None) => {}
            ConnectionState::Closed => self.lose_session(false),
            ConnectionState::Lost => {
                self.over = Some(|| Error::SessionLost);
                self.fail_campaign(Error::SessionLost);
                self.lose_session(false);
            }
        }
    }

    fn lose_session(&mut self, reopening: bool) {
        self.connected = false;
        self.session = None;
        self.client = None;
        self.requests.clear();
        self.claimed.clear();
        self.before_panic = BeforePanic::default();
        (self.own, self.ahead) = (None, None);
        self.feed(Event::SessionLost { reopening });
    }

    fn on_command(&mut self, command: Option<Command>) {
        match command {
            Some(Command::Campaign(reply)) => {
                if self.campaign.as_ref().is_some_and(CampaignReply::is_closed) {
                    self.on_campaign_dropped();
                }
                if let Some(error) = self.over {
                    let _ = reply.send(Err(error()));
                } else if self.campaign.is_some() || self.leading.is_some() {
                    let _ = reply.send(Err(Error::AlreadyCampaigning));
                } else {
                    self.campaign = Some(reply);
                    self.deferred = true;
                    self.start_campaign();
                }
            }
            Some(Command::Withdraw(reply)) => {
                self.removals.push(reply);
                self.fail_campaign(Error::Withdrawn);
                self.feed(Event::Withdraw(Lost::Resigned));
            }
            Some(Command::Resign { number, reply }) => {
                if self.leading.as_ref().is_some_and(|leading| leading.number == number) {
                    self.removals.extend(reply);
                    self.feed(Event::Withdraw(Lost::Resigned));
                } else if *self.standing.borrow() == Standing::Leaving {
                    self.removals.extend(reply);
                } else if let Some(reply) = reply {
                    let _ = reply.send(Ok(()));
                }
            }
            None => {
                self.abandoned = true;
                self.feed(Event::Withdraw(Lost::Resigned));
            }
        }
    }

    fn on_campaign_dropped(&mut self) {
        self.campaign = None;
        self.deferred = false;
        self.feed(Event::Withdraw(Lost::Resigned));
    }

    /// Begins the campaign that waits for the removal of the last one's znode, if that is done.
    fn start_campaign(&mut self) {
        if self.deferred && self.is_idle() {
            self.deferred = false;
            self.unconfirmed = false;
            self.removed.store(false, Ordering::Release);
            self.feed(Event::Campaign);
        }
    }

    fn on_own_fired(&mut self, fired: Fired) {
        self.own = None;
        self.feed(Event::OwnChanged { deleted: fired == Fired::Deleted });
    }

    fn on_proof(&mut self, Proof { sent, lease }: Proof) {
        let lease = self.capped(lease);
        // What the server told before it answered is here by now, and goes first.
        if let Some(fired) = fired(&mut self.own).now_or_never() {
            self.on_own_fired(fired);
        }
        self.feed(Event::Proven { sent, lease });
    }

    /// A lease that was granted before the session timeout was known to be shorter may be too long.
    fn capped(&self, lease: Lease) -> Lease {
        self.client.as_ref().map_or(lease, |client| lease.min(client.longest_lease()))
    }

    fn on_outcome(&mut self, ticket: Ticket, outcome: Outcome) {
        self.note_claims(&outcome);
        // What was asked before a reconnection may be answered after it, and leaves nothing.
        if !self.machine.awaits(ticket) {
            return;
        }
        let reply = match outcome {
            Outcome::Reply(reply) => reply,
            Outcome::Own(outcome) => Reply::Watched(still(&mut self.own, outcome)),
            Outcome::Ahead(outcome) => Reply::Watched(keep(&mut self.ahead, outcome)),
            Outcome::Tried(created, prefetched) => {
                self.prefetched = prefetched;
                Reply::Created(created.map(|(node, lease)| (node, self.capped(lease))))
            }
        };
        self.feed(Event::Reply(ticket, reply));
        // Good for what the machine asks on this reply; later it would be old.
        self.prefetched = Prefetched::default();
    }

    fn feed(&mut self, event: Event) {
        self.machine.handle(clock::now(), event);
        while let Some(action) = self.machine.poll_action() {
            self.act(action);
        }
        self.keep_proving();
        if self.is_idle() {
            self.refused = false;
            self.claimed.clear();
            self.removed.store(!self.unconfirmed, Ordering::Release);
            let outcome = self.leaving.take().map_or(Ok(()), |leaving| leaving.outcome());
            let outcome = if self.unconfirmed { Err(Error::RemovalUnconfirmed) } else { outcome };
            for reply in self.removals.drain(..) {
                let _ = reply.send(outcome.clone());
            }
            self.start_campaign();
        }
    }

    /// Asks for proofs of the session while the machine wants them.
    fn keep_proving(&mut self) {
        match (self.machine.proving(clock::now()), &self.proving) {
            (Some(ProofDemand { node, at_once }), None) => {
                self.proving = Some(self.shared.heartbeat().prove(&node.path, at_once));
            }
            (None, Some(_)) => self.proving = None,
            _ => {}
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Ask(ticket, request) => self.ask(ticket, request),
            Action::Unwatch => (self.own, self.ahead) = (None, None),
            Action::Lead(node, lease) => self.lead(node, lease),
            Action::Extend(lease) => self.extend(lease),
            Action::Shorten(lease) => self.shorten(lease),
            Action::Forget(node) => {
                if let Some(client) = &self.client {
                    client.release(&node);
                }
            }
            Action::StepDown(reason) => self.step_down(reason),
            Action::GiveUp(error) => self.fail_campaign(error),
            Action::RemovalFailed(error) => self.removal_failed(error),
            Action::Left(error) => {
                self.unconfirmed = true;
                self.removal_failed(error);
            }
            Action::Report(standing) => {
                self.standing.send_replace(standing.clone());
                telemetry::standing(&standing);
            }
        }
    }

    fn fail_campaign(&mut self, error: Error) {
        self.deferred = false;
        if let Some(reply) = self.campaign.take() {
            let _ = reply.send(Err(error.clone()));
            telemetry::campaign_ended(&error);
        }
    }

    fn removal_failed(&mut self, error: Error) {
        telemetry::removal_failed(&error);
        for reply in self.removals.drain(..) {
            let _ = reply.send(Err(error.clone()));
        }
        if !matches!(error, Error::RemovalUnconfirmed) {
            self.refused = true;
            // A campaign that waits for this removal would wait for as long as it fails.
            if self.deferred {
                self.fail_campaign(error);
            }
        }
    }

    fn ask(&mut self, ticket: Ticket, request: Request) {
        let client = self.client.clone().expect("the machine requests only while it is connected");
        if let Some(outcome) = from_prefetched(&client, &request, &mut self.prefetched) {
            return self.requests.push(Box::pin(ready((ticket, outcome))));
        }
        let config = self.config.clone();
        // After a panic, too, the work has to end first: a znode that is found is removed at once.
        let before_panic =
            matches!(request, Request::FindOwn(_)).then(|| std::mem::take(&mut self.before_panic));
        let removes = before_panic.is_some() || matches!(request, Request::Remove { .. });
        let leaving = self.leaving.clone().filter(|_| removes);
        self.requests.push(Box::pin(async move {
            let mut request = request;
            if let Some(leaving) = leaving
                && leaving.work_ends().await
                && let Request::Remove { verify, .. } = &mut request
            {
                // Much may have happened since the machine asked.
                *verify = true;
            }
            if let Some(before_panic) = before_panic {
                before_panic.clear(&client).await;
            }
            (ticket, send(&config, client, ticket, request).await)
        }));
    }
}

impl Drop for Driver {
    /// The task may be dropped at any time, with its runtime.
    fn drop(&mut self) {
        if self.unconfirmed || !self.is_idle() {
            self.barrier.removal_unconfirmed();
        }
        let led = self.leading.take().map(|leading| leading.end(Lost::SessionClosed));
        self.standing.send_replace(Standing::Idle);
        // Last: it may panic.
        if led.is_some() {
            telemetry::stepped_down(Lost::SessionClosed);
        }
    }
}

async fn next_proof(proving: &mut Option<ProofSubscription>) -> Proof {
    match proving {
        Some(proving) => proving.next().await,
        None => std::future::pending().await,
    }
}

/// Resolves when the application has dropped its campaign.
async fn given_up(campaign: &mut Option<CampaignReply>) {
    match campaign {
        Some(reply) => reply.closed().await,
        None => std::future::pending().await,
    }
}

async fn sleep(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}
