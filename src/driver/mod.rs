//! The task of a contender: feeds events to the [`Machine`], and carries out its actions. It decides nothing about the
//! election itself.
//!
//! ```text
//!   commands (campaign, withdraw, resign) ──┐
//!   state of the connection ────────────────┤             ┌──▶ requests ──▶ replies ──▶ (back to the machine)
//!   replies to requests ────────────────────┼──▶ Machine ─┼──▶ the leadership that the application holds
//!   watches, proofs, time ──────────────────┘             └──▶ standing, results of campaigns and removals
//! ```
//!
//! This file has the inputs, `actions` the outputs. `leading` changes the leadership, `requests` talks to the session,
//! and `recovery` starts a new machine after a panic.

mod actions;
mod before_panic;
mod commands;
mod leaderships;
mod leading;
mod recovery;
mod requests;
mod watches;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::FutureExt;
use tokio::sync::{mpsc, watch};

use self::before_panic::{BeforePanic, claims};
use self::commands::CampaignReply;
pub(crate) use self::commands::{Command, Commands, Removed};
use self::leaderships::{ActiveLeadership, EndedLeadership};
use self::requests::{Outcome, PendingRequests};
use self::watches::{fired, set_own_watch, set_watch};
use crate::config::ContenderConfig;
use crate::error::{Error, Lost};
use crate::leadership::RemovalReply;
use crate::lease::Lease;
use crate::machine::{Event, Machine, Reply, Ticket};
use crate::mistakes::mistake;
use crate::runtime;
use crate::session::{
    Client, CloseBarrier, ConnectionState, Fired, FormerZnode, Prefetched, Proof, ProofSubscription, Shared,
    Watch,
};
use crate::telemetry;
use crate::types::{SessionId, Standing};
use crate::znode::Node;

/// Starts the task of a contender. It ends with the session, or when all senders of commands have been dropped and the
/// znode is removed.
pub(crate) fn start(
    config: Arc<ContenderConfig>,
    shared: Arc<Shared>,
    barrier: CloseBarrier,
    standing: watch::Sender<Standing>,
    removed: Removed,
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
        former_znode: None,
        former_sessions: Vec::new(),
        client: None,
        connected: false,
        session: None,
        requests: PendingRequests::new(),
        claimed: Vec::new(),
        before_panic: BeforePanic::default(),
        own_watch: None,
        ahead_watch: None,
        proofs: None,
        prefetched: Prefetched::default(),
        follow_up: None,
        reported: None,
        campaign: None,
        deferred: false,
        removals: Vec::new(),
        leaderships: 0,
        leading: None,
        ended: None,
        abandoned: false,
        refused: false,
        session_end: None,
        shared,
        barrier,
    };
    runtime.spawn(tracing::Instrument::instrument(driver.run(), span));
    commands
}

struct Driver {
    config: Arc<ContenderConfig>,
    machine: Machine,
    connection: watch::Receiver<ConnectionState>,
    commands: mpsc::UnboundedReceiver<Command>,
    own_commands: mpsc::WeakUnboundedSender<Command>,
    standing: watch::Sender<Standing>,
    removed: Removed,
    /// A znode of this campaign may be left that nobody will remove.
    unconfirmed: bool,
    /// There may be a znode of a former session, which this contender has not removed or found yet.
    former_znode: Option<FormerZnode>,
    /// The sessions that were lost since the outcome of a create is unknown.
    former_sessions: Vec<SessionId>,

    client: Option<Arc<Client>>,
    /// The machine was told that there is a connection.
    connected: bool,
    session: Option<SessionId>,
    requests: PendingRequests,
    /// The znodes that this contender has claimed since it was idle.
    claimed: Vec<Node>,
    before_panic: BeforePanic,
    own_watch: Option<Watch>,
    ahead_watch: Option<Watch>,
    proofs: Option<ProofSubscription>,
    /// What was read together with a create.
    prefetched: Prefetched,
    /// The event that follows from an action. It is fed to the machine when all actions are carried out.
    follow_up: Option<Event>,
    /// The standing to publish then.
    reported: Option<Standing>,

    campaign: Option<CampaignReply>,
    /// The campaign has not begun, because the znode of the previous one is being removed.
    deferred: bool,
    removals: Vec<RemovalReply>,
    /// The number of leaderships so far.
    leaderships: u64,
    leading: Option<ActiveLeadership>,
    /// The previous leadership. Its work has to end before its znode is removed.
    ended: Option<Arc<EndedLeadership>>,
    /// All senders of commands were dropped.
    abandoned: bool,
    /// The ensemble does not permit the removal of the znode.
    refused: bool,
    /// The session accepts no more campaigns, for this reason.
    session_end: Option<SessionEnd>,

    shared: Arc<Shared>,
    barrier: CloseBarrier,
}

/// Why a session accepts no more campaigns.
#[derive(Clone, Copy)]
enum SessionEnd {
    /// The application has closed it.
    Closed,
    /// It was the application's, and is lost.
    Lost,
}

impl SessionEnd {
    fn error(self) -> Error {
        match self {
            Self::Closed => Error::SessionClosed,
            Self::Lost => Error::SessionLost,
        }
    }
}

impl Driver {
    async fn serve(&mut self) {
        self.on_connection_state();
        while !self.is_done() {
            let pause = self.machine.poll_timeout().map(|at| at.since(runtime::now()));
            tokio::select! {
                biased;
                changed = self.connection.changed() => match changed {
                    Ok(()) => self.on_connection_state(),
                    Err(_) => return,
                },
                fired = fired(&mut self.own_watch) => self.on_own_watch_fired(fired),
                proof = next_proof(&mut self.proofs) => self.on_proof(proof),
                // Before commands, because the next command may be another campaign.
                () = campaign_dropped(&mut self.campaign), if !mistake!(DroppedCampaignUnnoticed) => {
                    self.on_campaign_dropped();
                }
                command = self.commands.recv(), if !self.abandoned => self.on_command(command),
                Some((ticket, outcome)) = self.requests.next() => self.on_outcome(ticket, outcome),
                fired = fired(&mut self.ahead_watch) => {
                    self.ahead_watch = None;
                    if fired != Fired::Ended {
                        self.feed(Event::AheadChanged);
                    }
                }
                () = sleep(pause) => self.feed(Event::Tick),
            }
        }
    }

    /// Whether no command can come any more and the znode is removed. If the ensemble refuses to remove the znode, the
    /// task ends when all handles are dropped.
    fn is_done(&self) -> bool {
        (self.is_idle() && (self.abandoned || self.session_end.is_some())) || (self.abandoned && self.refused)
    }

    fn is_idle(&self) -> bool {
        *self.standing.borrow() == Standing::Idle
    }

    /// Tells the machine how the connection has changed.
    fn on_connection_state(&mut self) {
        let state = self.connection.borrow_and_update().clone();
        if let Some(client) = &self.client
            && !mistake!(NotShortened)
        {
            self.feed(Event::Shortened(client.longest_lease()));
        }
        // The channel keeps the latest state only, so `Closing` may have been missed: ask `is_closing` as well.
        if self.session_end.is_none()
            && (self.shared.is_closing() && !mistake!(ClosingOvertaken)
                || matches!(state, ConnectionState::Closing(_) | ConnectionState::Closed))
        {
            self.session_end = Some(SessionEnd::Closed);
            self.fail_campaign(Error::SessionClosed);
            self.feed(Event::Withdraw(Lost::SessionClosed));
        }
        match state {
            ConnectionState::Closing(Some(client))
                if self.connected
                    && self.client.as_ref().is_some_and(|known| Arc::ptr_eq(known, &client)) => {}
            ConnectionState::Connected(client) | ConnectionState::Closing(Some(client)) => {
                // `Suspended` may have been missed, too.
                if std::mem::take(&mut self.connected) {
                    self.feed(Event::Suspended);
                }
                if self.session.is_some_and(|known| known != client.session()) {
                    self.lose_session(true);
                }
                self.connected = true;
                self.session = Some(client.session());
                self.client = Some(client);
                // On `Connected`, the machine asks for both watches again.
                (self.own_watch, self.ahead_watch) = (None, None);
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
                self.session_end = Some(SessionEnd::Lost);
                self.fail_campaign(Error::SessionLost);
                self.lose_session(false);
            }
        }
    }

    /// The ZooKeeper session is over, and with it all that belongs to it.
    fn lose_session(&mut self, reopening: bool) {
        self.connected = false;
        self.former_sessions.extend(self.session.take());
        self.client = None;
        self.requests.clear();
        self.claimed.clear();
        self.before_panic = BeforePanic::default();
        (self.own_watch, self.ahead_watch) = (None, None);
        self.feed(Event::SessionLost { reopening });
        if self.machine.has_leftovers() {
            self.former_znode = Some(self.barrier.former_znode());
        }
    }

    /// `None`: all senders were dropped.
    fn on_command(&mut self, command: Option<Command>) {
        match command {
            Some(Command::Campaign(reply)) => {
                if self.campaign.as_ref().is_some_and(CampaignReply::is_closed)
                    && !mistake!(DroppedCampaignUnnoticed)
                {
                    self.on_campaign_dropped();
                }
                if let Some(end) = self.session_end {
                    let _ = reply.send(Err(end.error()));
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

    /// Begins a deferred campaign, if the previous znode is removed.
    fn start_campaign(&mut self) {
        if self.deferred && self.is_idle() {
            self.deferred = false;
            self.unconfirmed = false;
            self.removed.set(false);
            self.feed(Event::Campaign);
        }
    }

    fn on_own_watch_fired(&mut self, fired: Fired) {
        self.own_watch = None;
        self.feed(Event::OwnChanged { deleted: fired == Fired::Deleted });
    }

    fn on_proof(&mut self, Proof { sent, lease }: Proof) {
        let lease = self.capped(lease);
        // The server sends events before later replies, so an event from before the proof has arrived. It goes first.
        if let Some(fired) = fired(&mut self.own_watch).now_or_never() {
            self.on_own_watch_fired(fired);
        }
        self.feed(Event::Proven { sent, lease });
    }

    /// The lease, shortened if the session timeout has become shorter since it was granted.
    fn capped(&self, lease: Lease) -> Lease {
        self.client.as_ref().map_or(lease, |client| lease.min(client.longest_lease()))
    }

    fn on_outcome(&mut self, ticket: Ticket, outcome: Outcome) {
        self.claimed.extend(claims(&outcome).cloned());
        // The reply to a request from before a reconnection may arrive after it. Its watch is dropped with it.
        if !self.machine.awaits(ticket) {
            return;
        }
        let reply = match outcome {
            Outcome::Reply(reply) => reply,
            Outcome::OwnWatched(outcome) => Reply::Watched(set_own_watch(&mut self.own_watch, outcome)),
            Outcome::AheadWatched(outcome) => Reply::Watched(set_watch(&mut self.ahead_watch, outcome)),
            Outcome::Created(created, prefetched) => {
                self.prefetched = prefetched;
                Reply::Created(created.map(|(node, lease)| (node, self.capped(lease))))
            }
        };
        self.feed(Event::Reply(ticket, reply));
        // Only the requests that follow this reply at once may use it: later it would be outdated.
        self.prefetched = Prefetched::default();
    }
}

impl Drop for Driver {
    /// The runtime may drop the task at any time.
    fn drop(&mut self) {
        if (self.unconfirmed || !self.is_idle()) && !mistake!(LeavesSilently) {
            self.barrier.removal_unconfirmed();
            // Nobody removes it any more.
            std::mem::forget(self.former_znode.take());
        }
        let led = self.leading.take().map(|leading| leading.end(Lost::SessionClosed));
        self.standing.send_replace(Standing::Idle);
        // Last, because the application's `tracing` subscriber may panic.
        if led.is_some() {
            telemetry::stepped_down(Lost::SessionClosed);
        }
    }
}

async fn next_proof(proofs: &mut Option<ProofSubscription>) -> Proof {
    match proofs {
        Some(proofs) => proofs.next().await,
        None => std::future::pending().await,
    }
}

/// Waits until the application has dropped the future of its campaign.
async fn campaign_dropped(campaign: &mut Option<CampaignReply>) {
    match campaign {
        Some(reply) => reply.closed().await,
        None => std::future::pending().await,
    }
}

async fn sleep(pause: Option<Duration>) {
    match pause {
        Some(pause) => runtime::sleep(pause).await,
        None => std::future::pending().await,
    }
}
