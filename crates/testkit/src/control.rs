//! The state that a proxy and its connections share.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::frames::{OpCode, does, op_code};
use super::proxy::{Direction, Fault, How, On};

/// What the proxy's owner has set, and what its connections have seen.
#[derive(Debug)]
pub(crate) struct Control {
    /// Accepts no connection at present.
    pub refuse: AtomicBool,
    /// Every value sent ends all connections in that way.
    pub cuts: watch::Sender<How>,
    shapings: watch::Sender<[Shaping; 2]>,
    faults: watch::Sender<Faults>,
    upstream: Mutex<String>,
    requests: Mutex<Vec<OpCode>>,
    open: AtomicUsize,
}

/// One of the two ways of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Way {
    /// From the client to the server.
    ToServer = 0,
    /// From the server to the client.
    ToClient = 1,
}

/// A fault that a connection has taken on, to be reported by [`Control::has_fired`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    /// The fault.
    pub fault: Fault,
    number: u64,
}

impl Control {
    /// Of a proxy that forwards to `upstream` and does nothing else.
    pub(crate) fn new(upstream: String) -> Self {
        Self {
            refuse: AtomicBool::new(false),
            cuts: watch::Sender::new(How::Fin),
            shapings: watch::Sender::default(),
            faults: watch::Sender::default(),
            upstream: Mutex::new(upstream),
            requests: Mutex::default(),
            open: AtomicUsize::new(0),
        }
    }

    /// Where to forward new connections.
    pub(crate) fn upstream(&self) -> MutexGuard<'_, String> {
        self.upstream.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The requests forwarded so far.
    pub(crate) fn requests(&self) -> MutexGuard<'_, Vec<OpCode>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets whether to swallow.
    pub(crate) fn set_swallow(&self, direction: Direction, yes: bool) {
        self.shape(direction, |shaping| shaping.swallow = yes);
    }

    /// Whether bytes that go this way are swallowed.
    pub(crate) fn swallows(&self, way: Way) -> bool {
        self.shapings.borrow()[way as usize].swallow
    }

    /// Waits until bytes that go this way are not swallowed.
    pub(crate) async fn not_swallowing(&self, way: Way) {
        let _ = self.shapings.subscribe().wait_for(|shapings| !shapings[way as usize].swallow).await;
    }

    /// Sets whether to hold.
    pub(crate) fn set_hold(&self, direction: Direction, yes: bool) {
        self.shape(direction, |shaping| shaping.hold = yes);
    }

    /// Waits until bytes that go this way are not held.
    pub(crate) async fn not_holding(&self, way: Way) {
        let _ = self.shapings.subscribe().wait_for(|shapings| !shapings[way as usize].hold).await;
    }

    /// Sets by how much to delay.
    pub(crate) fn set_delay(&self, direction: Direction, by: Duration) {
        self.shape(direction, |shaping| shaping.delay = by);
    }

    /// By how much bytes that go this way are delayed.
    pub(crate) fn delay(&self, way: Way) -> Duration {
        self.shapings.borrow()[way as usize].delay
    }

    /// Arms a fault, instead of one that has not fired yet.
    pub(crate) fn arm(&self, fault: Fault) {
        self.faults.send_modify(|faults| {
            faults.armed = Some(fault);
            faults.last_armed += 1;
        });
    }

    /// Takes the armed fault if this request sets it off.
    pub(crate) fn claim(&self, request: &[u8]) -> Option<Claim> {
        let mut claim = None;
        self.faults.send_if_modified(|faults| {
            let fault = faults.armed.take_if(|fault| match fault.on {
                On::OpCodes(op_codes) => op_code(request).is_some_and(|it| op_codes.contains(&it)),
                On::Path(op_codes, path) => op_codes.iter().any(|it| does(request, *it, path)),
            });
            claim = fault.map(|fault| Claim { fault, number: faults.last_armed });
            claim.is_some()
        });
        claim
    }

    /// Reports that a fault has been carried out.
    pub(crate) fn has_fired(&self, claim: Claim) {
        self.faults.send_modify(|faults| faults.last_fired = claim.number);
    }

    /// Waits until the fault that was armed last has been carried out.
    pub(crate) async fn last_armed_has_fired(&self) {
        let fired = |faults: &Faults| faults.last_armed > 0 && faults.last_fired == faults.last_armed;
        let _ = self.faults.subscribe().wait_for(fired).await;
    }

    /// Counts a connection as open until the guard is dropped.
    pub(crate) fn count(&self) -> impl Drop + Send + Sync + '_ {
        self.open.fetch_add(1, Ordering::SeqCst);
        Counted(&self.open)
    }

    /// The number of open connections.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    fn shape(&self, direction: Direction, change: impl Fn(&mut Shaping)) {
        self.shapings.send_modify(|shapings| {
            let ways: &[Way] = match direction {
                Direction::ToServer => &[Way::ToServer],
                Direction::ToClient => &[Way::ToClient],
                Direction::Both => &[Way::ToServer, Way::ToClient],
            };
            ways.iter().for_each(|way| change(&mut shapings[*way as usize]));
        });
    }
}

/// What happens to the bytes that go one way.
#[derive(Clone, Copy, Debug, Default)]
struct Shaping {
    swallow: bool,
    hold: bool,
    delay: Duration,
}

/// The armed fault, and the numbers of the last that was armed and of the last that has fired.
#[derive(Debug, Default)]
struct Faults {
    armed: Option<Fault>,
    last_armed: u64,
    last_fired: u64,
}

struct Counted<'a>(&'a AtomicUsize);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
