//! The machine that a process runs on: its clock, its timers, and the tasks of the process.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::future::BoxFuture;

use crate::runtime::host::{Host, run_on};
use crate::timestamp::Timestamp;

/// How often the tasks of a process may be polled at one instant. More would be an endless loop.
const MOST_POLLS: usize = 100_000;

/// The clock and the timers of a machine, for the tasks that run on it.
pub(super) struct SimulatedHost(Mutex<HostState>);

struct HostState {
    now: Timestamp,
    timers: BTreeMap<(Timestamp, u64), Waker>,
    /// The number of timers so far.
    timer_numbers: u64,
    spawned: Vec<BoxFuture<'static, ()>>,
}

/// The tasks that run on a machine.
pub(super) struct Executor {
    host: Arc<SimulatedHost>,
    tasks: BTreeMap<u64, (BoxFuture<'static, ()>, Arc<Alarm>)>,
    /// The number of tasks so far.
    task_numbers: u64,
    /// The task that was polled last.
    last: u64,
    woken: Arc<Mutex<BTreeSet<u64>>>,
}

/// Wakes one task.
struct Alarm {
    task: u64,
    woken: Arc<Mutex<BTreeSet<u64>>>,
}

impl SimulatedHost {
    fn state(&self) -> MutexGuard<'_, HostState> {
        self.0.lock().unwrap()
    }
}

impl Executor {
    pub(super) fn new() -> Self {
        let state =
            HostState { now: Timestamp::MIN, timers: BTreeMap::new(), timer_numbers: 0, spawned: Vec::new() };
        let host = Arc::new(SimulatedHost(Mutex::new(state)));
        Self { host, tasks: BTreeMap::new(), task_numbers: 0, last: 0, woken: Arc::default() }
    }

    pub(super) fn set_clock(&self, now: Timestamp) {
        self.host.state().now = now;
    }

    /// The time that the clock shows.
    pub(super) fn now(&self) -> Timestamp {
        self.host.state().now
    }

    /// Runs `act` on the machine, outside of its tasks.
    pub(super) fn on_host<T>(&self, act: impl FnOnce() -> T) -> T {
        run_on(&self.host, act)
    }

    /// Fires the timers that are due.
    pub(super) fn fire_timers(&self) {
        let mut state = self.host.state();
        let now = state.now;
        while let Some(entry) = state.timers.first_entry().filter(|entry| entry.key().0 <= now) {
            entry.remove().wake();
        }
    }

    /// When the next timer fires.
    pub(super) fn next_timer(&self) -> Option<Timestamp> {
        self.host.state().timers.keys().next().map(|(at, _)| *at)
    }

    /// Runs all tasks that were woken, mostly in turn. The order in which they were woken does not matter, because
    /// tokio wakes the waiters of one thing in random order.
    pub(super) fn run(&mut self) {
        let host = self.host.clone();
        run_on(&host, || {
            for _ in 0..MOST_POLLS {
                self.adopt_spawned();
                let Some(number) = self.next_woken() else {
                    return;
                };
                self.last = number;
                let Some((task, alarm)) = self.tasks.get_mut(&number) else {
                    continue;
                };
                let waker = Waker::from(alarm.clone());
                if task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                    self.tasks.remove(&number);
                }
            }
            panic!("the tasks of a process do not become idle");
        });
    }

    fn adopt_spawned(&mut self) {
        for task in std::mem::take(&mut self.host.state().spawned) {
            self.task_numbers += 1;
            let (task_number, woken) = (self.task_numbers, self.woken.clone());
            let alarm = Arc::new(Alarm { task: task_number, woken });
            alarm.wake_by_ref();
            self.tasks.insert(task_number, (task, alarm));
        }
    }

    fn next_woken(&self) -> Option<u64> {
        let mut woken = self.woken.lock().unwrap();
        let next = if woken.len() > 1 && fastrand::u8(..4) == 0 {
            woken.iter().nth(fastrand::usize(..woken.len())).copied()
        } else {
            woken.range(self.last + 1..).next().or_else(|| woken.first()).copied()
        };
        next.filter(|next| woken.remove(next))
    }
}

impl Drop for Executor {
    /// The process dies.
    fn drop(&mut self) {
        let tasks = std::mem::take(&mut self.tasks);
        self.on_host(|| drop(tasks));
        // The tasks that dropped tasks have spawned.
        let spawned = std::mem::take(&mut self.host.state().spawned);
        self.on_host(|| drop(spawned));
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.lock().unwrap().insert(self.task);
    }
}

impl Host for SimulatedHost {
    fn now(&self) -> Timestamp {
        self.state().now
    }

    fn sleep_until(self: Arc<Self>, at: Timestamp) -> BoxFuture<'static, ()> {
        let mut state = self.state();
        state.timer_numbers += 1;
        let key = (at, state.timer_numbers);
        drop(state);
        Box::pin(Sleep { host: self, key })
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.state().spawned.push(task);
    }
}

struct Sleep {
    host: Arc<SimulatedHost>,
    key: (Timestamp, u64),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.host.state();
        if self.key.0 <= state.now {
            state.timers.remove(&self.key);
            return Poll::Ready(());
        }
        state.timers.insert(self.key, cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.host.state().timers.remove(&self.key);
    }
}
