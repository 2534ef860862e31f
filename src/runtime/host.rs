//! The seam for simulated machines: a clock, timers and tasks of their own, for what runs on the current thread.

use std::cell::RefCell;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::timestamp::Timestamp;

/// A simulated machine.
pub(crate) trait Host: Send + Sync {
    /// What its clock shows.
    fn now(&self) -> Timestamp;

    /// Waits until its clock shows this time.
    fn sleep_until(self: Arc<Self>, at: Timestamp) -> BoxFuture<'static, ()>;

    /// Starts a task on it.
    fn spawn(&self, task: BoxFuture<'static, ()>);
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<dyn Host>>> = const { RefCell::new(None) };
}

/// Runs `act` on this machine.
pub(crate) fn run_on<T>(host: &Arc<impl Host + 'static>, act: impl FnOnce() -> T) -> T {
    struct Leave(Option<Arc<dyn Host>>);
    impl Drop for Leave {
        fn drop(&mut self) {
            CURRENT.set(self.0.take());
        }
    }
    let host: Arc<dyn Host> = host.clone();
    let _leave = Leave(CURRENT.replace(Some(host)));
    act()
}

pub(super) fn current() -> Option<Arc<dyn Host>> {
    CURRENT.with_borrow(Clone::clone)
}

pub(super) fn with_current<T>(get: impl FnOnce(&dyn Host) -> T) -> Option<T> {
    CURRENT.with_borrow(|current| current.as_deref().map(get))
}
