//! The step between winning and leading: read the breadcrumb, fence the leader that it names, write this leader's own.
//! And its counterpart on resignation, which empties the breadcrumb.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use zookeeper_client::{Acl, CreateMode, Error as ClientError, MultiWriteResult};

use super::{Breadcrumb, Fence};
use crate::backoff::Backoff;
use crate::error::{Error, Failure};
use crate::guarded::GuardedError;
use crate::leadership::{Leadership, WrittenBreadcrumb};
use crate::path::split;
use crate::runtime::sleep;
use crate::session::classify;
use crate::telemetry;

/// The pause between two attempts to read or write it.
const PAUSE: Backoff = Backoff { first: Duration::from_millis(50), longest: Duration::from_secs(1) };

/// A breadcrumb that is not emptied makes the next leader fence needlessly. A resignation that takes long makes it wait.
const ATTEMPTS_TO_ERASE: u32 = 5;

/// Reads, fences and writes the breadcrumb of an election.
pub(crate) struct BreadcrumbStep {
    pub(crate) path: String,
    pub(crate) identity: String,
    pub(crate) acl: Vec<Acl>,
    pub(crate) fence: Option<Arc<dyn Fence>>,
}

impl BreadcrumbStep {
    /// Deals with the previous leader's breadcrumb, and writes this leader's own. Repeats what fails until it succeeds or is
    /// refused, so it has to run under [`Leadership::hold`].
    pub(crate) async fn run(&self, leadership: &Leadership) -> Result<(), Error> {
        let mut fenced = None;
        let mut attempts = 0;
        loop {
            match self.attempt(leadership, &mut fenced).await {
                Ok(version) => {
                    leadership.set_written_breadcrumb(WrittenBreadcrumb { path: self.path.clone(), version });
                    return Ok(());
                }
                Err(Failure::Refused(error)) => return Err(error),
                Err(failure) => telemetry::request_failed(&failure.reason()),
            }
            sleep(PAUSE.pause(attempts, fastrand::f64())).await;
            attempts += 1;
        }
    }

    /// One attempt. Returns the version of this leader's own breadcrumb. `fenced` is the breadcrumb whose leader an earlier
    /// attempt has fenced.
    async fn attempt(
        &self,
        leadership: &Leadership,
        fenced: &mut Option<Breadcrumb>,
    ) -> Result<i32, Failure> {
        let own = Breadcrumb {
            identity: self.identity.clone(),
            token: leadership.token(),
            node: leadership.node().to_owned(),
        };
        let path = self.path.as_str();
        let over = || Failure::Rejected("the session is over".into());
        let client = leadership.pinned_session().client().await.ok_or_else(over)?;
        // After this, the read shows what an earlier attempt has written. What it may still write later fails, because this
        // attempt raises the version.
        client.flush().await?;
        let found = client.read(path).await?;
        let text = own.to_string();
        let transaction = leadership.guarded();
        let transaction = match found {
            None => transaction.create(path, text, CreateMode::Persistent, &self.acl),
            Some((data, origin)) => {
                if let Some(old) = self.parse(&data)? {
                    if old == own {
                        // An earlier attempt has written it, and its reply was lost.
                        return Ok(origin.version);
                    }
                    if fenced.as_ref() != Some(&old) {
                        self.fence(&old).await?;
                        *fenced = Some(old);
                    }
                }
                transaction.set_data(path, text, origin.version)
            }
        };
        match transaction.send().await {
            Ok(results) => match results.first() {
                Some(MultiWriteResult::SetData { stat }) => Ok(stat.version),
                _ => Ok(0),
            },
            Err(GuardedError::Failed { source: ClientError::NoNode, .. }) => {
                client.create_parents(split(path).0, false, &self.acl).await?;
                Err(Failure::Rejected("the parents of the breadcrumb were missing".into()))
            }
            Err(GuardedError::Failed {
                source: ClientError::BadVersion | ClientError::NodeExists, ..
            }) => Err(Failure::Rejected("the breadcrumb was changed concurrently".into())),
            Err(GuardedError::Failed { source, .. }) => Err(classify(source, "write", path)),
            Err(error) => Err(Failure::Unknown(error.to_string())),
        }
    }

    fn parse(&self, data: &[u8]) -> Result<Option<Breadcrumb>, Failure> {
        let foreign = || Failure::Refused(Error::NoBreadcrumb { path: self.path.clone() });
        if data.is_empty() { Ok(None) } else { Breadcrumb::parse(data).map(Some).ok_or_else(foreign) }
    }

    async fn fence(&self, old: &Breadcrumb) -> Result<(), Failure> {
        telemetry::breadcrumb_found(&old.identity, old.token, self.fence.is_some());
        let Some(fence) = &self.fence else { return Ok(()) };
        let fenced = AssertUnwindSafe(fence.fence(old)).catch_unwind().await;
        fenced.unwrap_or_else(|_| Err("the fence panicked".into())).map_err(|error| {
            Failure::Refused(Error::FencingFailed { identity: old.identity.clone(), source: error.into() })
        })
    }
}

/// Empties the breadcrumb of a leadership, if it has written one. Gives up when the leadership ends.
pub(crate) async fn erase(leadership: &Leadership) {
    let Some(WrittenBreadcrumb { path, version }) = leadership.written_breadcrumb() else { return };
    let mut attempts = 0;
    // `Superseded` after an attempt with an unknown outcome means that this attempt was committed.
    while let Err(error) = leadership.guarded().set_data(path, "", *version).send().await {
        if attempts == ATTEMPTS_TO_ERASE || !matches!(error, GuardedError::Unknown { .. }) {
            if attempts == 0 || !matches!(error, GuardedError::Superseded { .. }) {
                telemetry::breadcrumb_left(&error.to_string());
            }
            return;
        }
        sleep(PAUSE.pause(attempts, fastrand::f64())).await;
        attempts += 1;
    }
}
