//! Observing who leads, without contending.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::config::ContenderConfig;
use crate::error::{Error, Failure};
use crate::queries;
use crate::runtime;
use crate::session::{Shared, Watch};
use crate::telemetry;
use crate::types::Contender;

/// The mean pause after a failed query.
const PAUSE: Duration = Duration::from_millis(200);

/// The leaders of an election one after the other, and the times without one: made by
/// [`Election::observe`](crate::Election::observe).
///
/// It looks when asked, and keeps one watch on the present leader's znode in between: no task, no queue.
/// Leaderships that begin and end between two looks are not seen.
#[must_use = "it looks when `next` is awaited"]
pub struct LeaderWatch {
    config: Arc<ContenderConfig>,
    shared: Arc<Shared>,
    /// Fires when the leader has to be read again.
    watch: Option<Watch>,
    last: Option<Option<Contender>>,
}

impl LeaderWatch {
    pub(crate) fn new(config: Arc<ContenderConfig>, shared: Arc<Shared>) -> Self {
        Self { config, shared, watch: None, last: None }
    }

    /// The leader, the first time as soon as it is known, and then whenever it has changed; `None` when
    /// nobody leads. The same leader after an interruption of the connection is no change.
    ///
    /// # Errors
    /// [`Error::NotAuthorized`], [`Error::TooManyWatches`], [`Error::SessionClosed`], [`Error::SessionLost`].
    ///
    /// # Cancel safety
    /// No change is lost when the future is dropped.
    ///
    /// # Connection loss
    /// Waits for a connection for as long as it takes: while there is none, nothing is known of the leader,
    /// and the last one reported may long have been replaced.
    pub async fn next(&mut self) -> Result<Option<Contender>, Error> {
        loop {
            if let Some(watch) = &mut self.watch {
                watch.await;
                self.watch = None;
            }
            let client = self.shared.client().await?;
            match queries::leader_and_watch(&self.config, &client).await {
                Ok((leader, watch)) => {
                    self.watch = Some(watch);
                    if self.last.as_ref() != Some(&leader) {
                        self.last = Some(leader.clone());
                        return Ok(leader);
                    }
                }
                Err(Failure::Refused(error)) => return Err(error),
                Err(failure) => {
                    telemetry::request_failed(&failure.reason());
                    drop(client);
                    runtime::sleep(PAUSE.mul_f64(0.5 + fastrand::f64())).await;
                }
            }
        }
    }
}

impl fmt::Debug for LeaderWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaderWatch").field("last", &self.last).finish_non_exhaustive()
    }
}
