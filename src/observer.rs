//! Watching who leads, without taking part.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::driver::Contest;
use crate::election::describe;
use crate::error::{Error, Failure};
use crate::machine::naming;
use crate::session::{Live, Shared, Watch};
use crate::telemetry;
use crate::types::{Contender, Mode, join};

const PAUSE: Duration = Duration::from_millis(200);

/// The leaders of an election one after the other, and the times without one: made by
/// [`Election::observe`](crate::Election::observe).
///
/// It looks when asked, and keeps one watch on the present leader's znode in between: no task, no queue.
/// Leaderships that begin and end between two looks are not seen.
pub struct LeaderWatch {
    contest: Arc<Contest>,
    shared: Arc<Shared>,
    /// Fires when it is time to look again.
    watch: Option<Watch>,
    last: Option<Option<Contender>>,
}

impl LeaderWatch {
    pub(crate) fn new(contest: Arc<Contest>, shared: Arc<Shared>) -> Self {
        Self {
            contest,
            shared,
            watch: None,
            last: None,
        }
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
            let live = self.shared.live().await?;
            match look(&self.contest, &live).await {
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
                    drop(live);
                    tokio::time::sleep(PAUSE.mul_f64(0.5 + fastrand::f64())).await;
                }
            }
        }
    }
}

impl fmt::Debug for LeaderWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaderWatch")
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}

/// The leader, and a watch that fires no later than it changes.
async fn look(contest: &Contest, live: &Arc<Live>) -> Result<(Option<Contender>, Watch), Failure> {
    let plan = &contest.plan;
    loop {
        let (candidate, children_watch) = match plan.mode {
            Mode::Master => (Some(plan.path.clone()), None),
            Mode::Sequential => match live.list(&plan.path).await {
                Err(Failure::NoNode) => (None, None),
                listed => match naming::lowest(&plan.prefix, &listed?) {
                    Some(name) => (Some(join(&plan.path, name)), None),
                    // Somebody may have joined since: then the list with the watch shows it.
                    None => match live.list_and_watch(&plan.path).await {
                        Err(Failure::NoNode) => (None, None),
                        listed => {
                            let (children, watch) = listed?;
                            match naming::lowest(&plan.prefix, &children) {
                                Some(_) => continue,
                                None => (None, Some(watch)),
                            }
                        }
                    },
                },
            },
        };
        if let Some(watch) = children_watch {
            return Ok((None, watch));
        }
        // The watch comes before the reading, so that nothing happens unseen after it.
        let path = candidate.as_deref().unwrap_or(&plan.path);
        let (origin, watch) = live.watch(path).await?;
        match (candidate.is_some(), origin) {
            (true, Some(_)) => {
                if let Some((data, origin)) = live.read(path).await? {
                    return Ok((Some(describe(contest, path, data, origin)), watch));
                }
            }
            (true, None) if plan.mode == Mode::Sequential => {}
            (true, None) => return Ok((None, watch)),
            // The directory does not exist, and this watch waits for it.
            (false, None) => return Ok((None, watch)),
            (false, Some(_)) => {}
        }
    }
}
