//! An application with one contender. It wants to lead for a while, and changes its mind.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use crate::election::Election;
use crate::error::Error;
use crate::leadership::{Leadership, LeaseCell};
use crate::mistakes::mistake;
use crate::runtime;
use crate::simulation::invariants::reports::ContenderId;
use crate::timestamp::Timestamp;
use crate::types::FencingToken;

/// An order to an application, which obeys as soon as it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Campaign,
    /// End the campaign or the leadership.
    GiveUp,
    /// Write under the guard of the leadership.
    Write,
}

/// What an application has been told. The checker compares it with the truth.
#[derive(Clone, Debug)]
pub(super) enum Told {
    /// This znode of the contender is gone.
    Removed { path: String, token: FencingToken },
    /// The contender has no znode in this election.
    NoZnode { election: usize },
    /// Something that is not true.
    Untrue(&'static str),
}

/// An application, as its process sees it.
pub(super) struct Application {
    pub(super) id: ContenderId,
    pub(super) election_number: usize,
    pub(super) election: Arc<Election>,
    pub(super) state: Arc<Mutex<ApplicationState>>,
    orders: mpsc::UnboundedSender<Order>,
}

pub(super) struct ApplicationState {
    /// It wants to lead whenever it decides.
    pub(super) willing: bool,
    /// It has something to decide.
    pub(super) undecided: bool,
    pub(super) campaigning: bool,
    pub(super) leading: Option<HeldLeadership>,
    /// The leadership under which `hold` runs a future.
    pub(super) working: Option<FencingToken>,
    /// Until when it blocks its thread.
    pub(super) blocked_until: Timestamp,
    pub(super) told: Vec<Told>,
}

pub(super) struct HeldLeadership {
    pub(super) lease: Arc<LeaseCell>,
    pub(super) token: FencingToken,
}

/// The task of an application.
struct Task {
    number: usize,
    election: Arc<Election>,
    guarded: String,
    state: Arc<Mutex<ApplicationState>>,
    orders: mpsc::UnboundedReceiver<Order>,
    /// The number of leaderships so far.
    leaderships: i64,
}

impl Application {
    /// Starts the task of an application. `guarded`: the znode that it writes to when it leads.
    pub(super) fn start(id: ContenderId, number: usize, election: Election, guarded: String) -> Self {
        let (orders, orders_rx) = mpsc::unbounded_channel();
        let state = Arc::new(Mutex::new(ApplicationState {
            willing: true,
            undecided: false,
            campaigning: false,
            leading: None,
            working: None,
            blocked_until: Timestamp::MIN,
            told: Vec::new(),
        }));
        let election = Arc::new(election);
        let task = Task {
            number,
            election: election.clone(),
            guarded,
            state: state.clone(),
            orders: orders_rx,
            leaderships: 0,
        };
        let task = Blocking { task: Box::pin(task.run()), state: state.clone(), end: None };
        runtime::Runtime::current().spawn(task);
        Self { id, election_number: number, election, state, orders }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, ApplicationState> {
        self.state.lock().unwrap()
    }

    pub(super) fn order(&self, order: Order) {
        // The task has ended if the session has.
        let _ = self.orders.send(order);
    }
}

impl Task {
    fn update(&self, change: impl FnOnce(&mut ApplicationState)) {
        change(&mut self.state.lock().unwrap());
    }

    async fn run(mut self) {
        while let Some(order) = self.orders.recv().await {
            // It may have changed its mind since.
            if order == Order::Campaign && self.is_willing() && !self.campaign().await {
                return;
            }
        }
    }

    /// Returns whether there may be another campaign.
    async fn campaign(&mut self) -> bool {
        loop {
            self.update(|state| state.campaigning = true);
            let election = self.election.clone();
            let outcome = tokio::select! {
                biased;
                () = given_up(&mut self.orders) => None,
                outcome = election.campaign() => Some(outcome),
            };
            match outcome {
                // The future of the campaign was dropped while it waited. Sometimes another campaign begins at once.
                None if fastrand::u8(..4) == 0 && self.is_willing() => continue,
                None => {
                    self.update(|state| (state.campaigning, state.undecided) = (false, true));
                    if fastrand::bool() {
                        self.withdraw().await;
                    }
                    return true;
                }
                Some(outcome) => {
                    self.update(|state| (state.campaigning, state.undecided) = (false, true));
                    match outcome {
                        Ok(leadership) => self.lead(leadership).await,
                        Err(Error::SessionClosed | Error::SessionLost) => return false,
                        Err(Error::AlreadyCampaigning) => {
                            self.is_told(Told::Untrue("there is another campaign"))
                        }
                        Err(_) => {}
                    }
                    return true;
                }
            }
        }
    }

    async fn lead(&mut self, leadership: Leadership) {
        self.leaderships += 1;
        let token = match mistake!(OwnNumbers) {
            true => FencingToken::from_zxid(self.leaderships),
            false => leadership.token(),
        };
        let held = HeldLeadership { lease: leadership.lease_cell().clone(), token };
        self.update(|state| (state.leading, state.undecided) = (Some(held), true));
        let node = (leadership.node().to_owned(), leadership.token());
        let gave_up = if fastrand::bool() {
            self.update(|state| state.working = Some(leadership.token()));
            let done = leadership.hold(self.work(&leadership)).await;
            self.update(|state| state.working = None);
            done.is_ok()
        } else {
            tokio::select! {
                biased;
                () = self.work(&leadership) => true,
                _ = leadership.lost() => false,
            }
        };
        self.update(|state| (state.leading, state.undecided) = (None, true));
        match fastrand::u8(..4) {
            0 => drop(leadership),
            1 if gave_up => {
                self.withdraw().await;
            }
            _ => {
                if let Ok(()) = leadership.resign().await {
                    let (path, token) = node;
                    self.is_told(Told::Removed { path, token });
                }
            }
        }
    }

    /// Works until it is told to give up. A write may be pending then.
    async fn work(&mut self, leadership: &Leadership) {
        while let Some(order) = self.orders.recv().await {
            match order {
                Order::Campaign => {}
                Order::GiveUp => return,
                Order::Write => {
                    let token = leadership.token().zxid().to_string();
                    let write = leadership.guarded().set_data(&self.guarded, token, None).commit();
                    tokio::select! {
                        biased;
                        () = given_up(&mut self.orders) => return,
                        _ = write => {}
                    }
                }
            }
        }
    }

    async fn withdraw(&mut self) {
        if let Ok(()) = self.election.withdraw().await {
            self.is_told(Told::NoZnode { election: self.number });
        }
    }

    fn is_told(&self, told: Told) {
        self.update(|state| state.told.push(told));
    }

    fn is_willing(&self) -> bool {
        self.state.lock().unwrap().willing
    }
}

/// The task of an application that blocks its thread at times, so that no future in it is polled.
struct Blocking {
    task: BoxFuture<'static, ()>,
    state: Arc<Mutex<ApplicationState>>,
    end: Option<BoxFuture<'static, ()>>,
}

impl Future for Blocking {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let until = self.state.lock().unwrap().blocked_until;
        if runtime::now() < until {
            let mut end = Box::pin(runtime::sleep_until(until));
            if end.as_mut().poll(cx).is_pending() {
                self.end = Some(end);
                return Poll::Pending;
            }
        }
        self.end = None;
        self.task.as_mut().poll(cx)
    }
}

/// Waits for the order to give up.
async fn given_up(orders: &mut mpsc::UnboundedReceiver<Order>) {
    loop {
        match orders.recv().await {
            Some(Order::GiveUp) => return,
            Some(Order::Campaign | Order::Write) => {}
            None => std::future::pending().await,
        }
    }
}
