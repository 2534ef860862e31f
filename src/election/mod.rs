//! An election, as one contender sees it: campaign, run, withdraw, and queries about the others.

mod builder;

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use tokio::sync::{oneshot, watch};

pub use self::builder::{ElectionBuilder, Parents};
use crate::backoff::Backoff;
use crate::breadcrumb::BreadcrumbStep;
use crate::config::ContenderConfig;
use crate::driver::{self, Command, Commands, Removed};
use crate::error::{BoxError, Error, Lost, panic_message};
use crate::leadership::Leadership;
use crate::observer::LeaderWatch;
use crate::queries;
use crate::runtime;
use crate::session::{ConnectionState, Shared};
use crate::telemetry;
use crate::types::{Contender, Standing};

/// The pause after a failed task, in which others can lead.
const RETRY_PAUSE: Backoff = Backoff { first: Duration::from_millis(500), longest: Duration::from_secs(30) };

/// One contender of an election, or one who only looks: made by [`Session::election`](crate::Session::election).
///
/// Dropping it ends its campaign and removes its znode in the background; a [`Leadership`] that was won lives on
/// by itself.
pub struct Election {
    config: Arc<ContenderConfig>,
    breadcrumb_step: Option<BreadcrumbStep>,
    shared: Arc<Shared>,
    /// To the contender's task. The first campaign starts it.
    commands: OnceLock<Commands>,
    standing: watch::Sender<Standing>,
    removed: Removed,
    /// The number of calls of `withdraw`. A change ends `run`.
    withdrawals: watch::Sender<u64>,
}

/// What a leader does, for [`Election::run`].
#[async_trait]
pub trait LeaderTask: Send {
    /// Works as the leader. Called once for each leadership, and dropped as soon as that is lost.
    ///
    /// `Ok` says that the work is done: the leader resigns and [`Election::run`] returns. An error makes it
    /// resign, pause, and campaign again, and so does a panic: the task is called again after it.
    async fn lead(&mut self, leadership: &Leadership) -> Result<(), BoxError>;
}

/// Why a [`LeaderTask`] did not complete its work.
enum TaskFailure {
    Error(BoxError),
    Panic(Box<dyn Any + Send>),
}

impl Election {
    fn new(config: ContenderConfig, breadcrumb_step: Option<BreadcrumbStep>, shared: Arc<Shared>) -> Self {
        Self {
            config: Arc::new(config),
            breadcrumb_step,
            shared,
            commands: OnceLock::new(),
            standing: watch::Sender::new(Standing::Idle),
            removed: Removed::new(),
            withdrawals: watch::Sender::new(0),
        }
    }

    /// Takes a place in the election, and waits until this contender leads.
    ///
    /// The place is kept through disconnections. When it is lost (the session expired, the znode was
    /// deleted), the contender joins again at the tail. When the directory vanishes it is created again.
    ///
    /// After a leadership has ended, campaign again for another. The znode of the previous one is removed first.
    ///
    /// # Errors
    /// [`Error::AlreadyCampaigning`], [`Error::Withdrawn`], [`Error::SessionClosed`], [`Error::SessionLost`];
    /// and what the ensemble refuses: [`Error::NotAuthorized`], [`Error::InvalidAcl`],
    /// [`Error::ChrootMissing`], [`Error::ParentEphemeral`], [`Error::PathOccupied`], [`Error::NotEphemeral`],
    /// [`Error::SequenceExhausted`], [`Error::QuotaExceeded`], [`Error::TooManyWatches`];
    /// [`Error::ContenderFailed`] after an error of this crate's own; with a
    /// [breadcrumb](ElectionBuilder::breadcrumb), [`Error::FencingFailed`] and [`Error::NoBreadcrumb`]. After any of
    /// them the znode, if there was one, is being removed: [`withdraw`](Self::withdraw) waits for it.
    ///
    /// # Cancel safety
    /// Dropping the future withdraws: the znode is removed in the background, also one whose creation is
    /// still under way.
    ///
    /// # Connection loss
    /// Waits for a connection for as long as it takes (what stands in the way is logged), and never creates a
    /// second znode: when the answer to a create is lost, the contender makes sure that the create cannot be carried out
    /// any more, and then looks for its znode.
    pub async fn campaign(&self) -> Result<Leadership, Error> {
        loop {
            let leadership = self.campaign_without_breadcrumb().await?;
            let Some(step) = &self.breadcrumb_step else { return Ok(leadership) };
            match leadership.hold(step.run(&leadership)).await {
                Ok(Ok(())) => return Ok(leadership),
                Ok(Err(error)) => return Err(error),
                Err(Lost::Resigned) => return Err(Error::Withdrawn),
                // Campaign again, as a contender does that loses its place while it waits.
                Err(_) => {}
            }
        }
    }

    /// Campaigns. Does not look at the breadcrumb.
    async fn campaign_without_breadcrumb(&self) -> Result<Leadership, Error> {
        let (reply, elected) = oneshot::channel();
        let commands = self.commands()?;
        if commands.send(Command::Campaign(reply)).is_err() {
            return Err(self.why_ended());
        }
        elected.await.unwrap_or_else(|_| Err(self.why_ended()))
    }

    /// Campaigns, lets `task` lead, and campaigns again when the leadership was lost; until the task returns
    /// `Ok`, which resigns.
    ///
    /// To stop it from outside, [`withdraw`](Self::withdraw), or drop the future and close the session.
    /// [`standings`](Self::standings) tells when the lead was won and lost.
    ///
    /// A task that fails or panics gives up the lead at once, and campaigns again after a random pause between one half
    /// and the whole of 500 ms, so that others get their turn. That doubles with each further failure up to
    /// 30 s, until the task has led for longer than that. So does a [fence](ElectionBuilder::fence) that fails.
    ///
    /// # Errors
    /// As [`campaign`](Self::campaign) and [`Leadership::resign`].
    ///
    /// # Cancel safety
    /// Dropping the future drops the task's work and resigns or withdraws in the background.
    ///
    /// # Connection loss
    /// The task's work goes on as long as the lease, which is renewed after a reconnection.
    pub async fn run(&self, task: &mut (impl LeaderTask + ?Sized)) -> Result<(), Error> {
        let mut withdrawn = self.withdrawals.subscribe();
        tokio::select! {
            biased;
            Ok(()) = withdrawn.changed() => Err(Error::Withdrawn),
            ended = self.lead_until_done(task) => ended,
        }
    }

    async fn lead_until_done(&self, task: &mut (impl LeaderTask + ?Sized)) -> Result<(), Error> {
        let mut failures = 0u32;
        loop {
            let leadership = match self.campaign().await {
                Err(error @ Error::FencingFailed { .. }) => {
                    let pause = RETRY_PAUSE.pause(failures, fastrand::f64());
                    telemetry::task_failed(&error, pause);
                    failures += 1;
                    runtime::sleep(pause).await;
                    continue;
                }
                ended => ended?,
            };
            let began = runtime::now();
            let work = AssertUnwindSafe(task.lead(&leadership)).catch_unwind();
            let Ok(outcome) = leadership.hold(work).await else {
                // The leadership was lost.
                continue;
            };
            let failure = match TaskFailure::check(outcome) {
                Ok(()) => return leadership.resign().await,
                Err(failure) => failure,
            };
            drop(leadership);
            if runtime::now().since(began) > RETRY_PAUSE.longest {
                failures = 0;
            }
            let pause = RETRY_PAUSE.pause(failures, fastrand::f64());
            failures += 1;
            match failure {
                TaskFailure::Error(error) => telemetry::task_failed(&*error, pause),
                TaskFailure::Panic(panic) => telemetry::task_panicked(panic_message(&*panic), pause),
            }
            runtime::sleep(pause).await;
        }
    }

    /// Ends the campaign or the leadership of this contender, and waits until its znode is gone. A campaign
    /// or [`run`](Self::run) that is under way ends with [`Error::Withdrawn`], a leadership with
    /// [`Lost::Resigned`](crate::Lost::Resigned).
    ///
    /// # Errors
    /// As [`Leadership::resign`].
    ///
    /// # Cancel safety
    /// The withdrawal goes on when the future is dropped.
    ///
    /// # Connection loss
    /// As [`Leadership::resign`].
    pub async fn withdraw(&self) -> Result<(), Error> {
        self.withdrawals.send_modify(|count| *count += 1);
        let (reply, removed) = oneshot::channel();
        let Some(commands) = self.commands.get() else { return Ok(()) };
        let _ = commands.send(Command::Withdraw(reply));
        removed.await.unwrap_or_else(|_| self.removed.outcome())
    }

    /// Who leads at present, as the server knows that this session is connected to; `None` if nobody does or
    /// the path does not exist. The answer may be outdated when it arrives.
    ///
    /// # Errors
    /// [`Error::NotAuthorized`]; [`Error::Unavailable`] when no server answers for 6 s; [`Error::SessionClosed`],
    /// [`Error::SessionLost`].
    ///
    /// # Cancel safety
    /// Reads only.
    pub async fn leader(&self) -> Result<Option<Contender>, Error> {
        let read = |client| async move { queries::leader(&self.config, &client).await };
        self.shared.read(read).await
    }

    /// All contenders in the order of their turn, the leader first. In master mode the master alone: the
    /// others leave no trace. Each call is a look of its own: what it says may be newer or older than what
    /// [`leader`](Self::leader) or [`observe`](Self::observe) has said.
    ///
    /// # Errors
    /// As [`leader`](Self::leader).
    ///
    /// # Cancel safety
    /// Reads only.
    pub async fn contenders(&self) -> Result<Vec<Contender>, Error> {
        let read = |client| async move { queries::contenders(&self.config, &client).await };
        self.shared.read(read).await
    }

    /// Watches who leads, without taking part.
    pub fn observe(&self) -> LeaderWatch {
        LeaderWatch::new(self.config.clone(), self.shared.clone())
    }

    /// Where this contender stands at the moment.
    pub fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// Where this contender stands, and every change of it from now on. A slow reader may skip
    /// states in between, but always gets the newest.
    pub fn standings(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// What this contender publishes about itself.
    pub fn identity(&self) -> &str {
        &self.config.identity
    }

    /// The path of the election.
    pub fn path(&self) -> &str {
        &self.config.spec.path
    }

    fn commands(&self) -> Result<&Commands, Error> {
        if let Some(commands) = self.commands.get() {
            return Ok(commands);
        }
        let barrier = self.shared.barrier().ok_or(Error::SessionClosed)?;
        Ok(self.commands.get_or_init(|| {
            let (standing, removed) = (self.standing.clone(), self.removed.clone());
            driver::start(self.config.clone(), self.shared.clone(), barrier, standing, removed)
        }))
    }

    /// Why the contender's task has ended.
    fn why_ended(&self) -> Error {
        match &*self.shared.connection().borrow() {
            ConnectionState::Lost => Error::SessionLost,
            _ => Error::SessionClosed,
        }
    }
}

impl TaskFailure {
    fn check(outcome: std::thread::Result<Result<(), BoxError>>) -> Result<(), Self> {
        outcome.map_err(Self::Panic)?.map_err(Self::Error)
    }
}

impl std::fmt::Debug for Election {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Election")
            .field("path", &self.path())
            .field("standing", &self.standing())
            .finish_non_exhaustive()
    }
}
