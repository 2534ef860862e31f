//! Time and tasks: the clock, timers, and spawning. The rest of the crate takes these from here, so that the simulation can
//! put virtual ones in their place.

mod clock;
#[cfg(test)]
pub(crate) mod host;

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

#[cfg(test)]
use self::host::Host;
use crate::timestamp::Timestamp;

/// Reads the clock that measures leases. It counts the time for which the machine is suspended.
pub(crate) fn now() -> Timestamp {
    #[cfg(test)]
    if let Some(now) = host::with_current(|host| host.now()) {
        return now;
    }
    clock::now()
}

/// Waits for this long.
pub(crate) async fn sleep(pause: Duration) {
    #[cfg(test)]
    if let Some(host) = host::current() {
        let end = host.now() + pause;
        return host.sleep_until(end).await;
    }
    tokio::time::sleep(pause).await;
}

/// Waits until this instant. Timers stand still with a machine that is suspended, so it may be later.
pub(crate) async fn sleep_until(at: Timestamp) {
    sleep(at.since(now())).await;
}

/// A future did not end in time.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Elapsed;

/// Waits for a future, for at most `limit`.
pub(crate) async fn timeout<F: Future>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    tokio::select! {
        biased;
        output = &mut future => Ok(output),
        () = sleep(limit) => Err(Elapsed),
    }
}

/// Waits for a future, until `deadline` at the latest.
pub(crate) async fn timeout_at<F: Future>(deadline: Timestamp, future: F) -> Result<F::Output, Elapsed> {
    timeout(deadline.since(now()), future).await
}

/// Where tasks are spawned.
#[derive(Clone)]
pub(crate) enum Runtime {
    Tokio(tokio::runtime::Handle),
    #[cfg(test)]
    Host(std::sync::Arc<dyn Host>),
}

impl Runtime {
    /// The runtime of the caller.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub(crate) fn current() -> Self {
        #[cfg(test)]
        if let Some(host) = host::current() {
            return Self::Host(host);
        }
        Self::Tokio(tokio::runtime::Handle::current())
    }

    /// Starts a task.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        match self {
            Self::Tokio(runtime) => drop(runtime.spawn(task)),
            #[cfg(test)]
            Self::Host(host) => host.spawn(Box::pin(task)),
        }
    }
}
