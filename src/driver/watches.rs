//! The watches that a contender has left: on its own znode, and on the one ahead.

use futures_util::future::FutureExt;

use crate::error::Failure;
use crate::machine::Seen;
use crate::session::{Fired, Watch};

/// Keeps the watch that a look has left, in place of the former one.
pub(super) fn keep(
    slot: &mut Option<Watch>,
    outcome: Result<(Seen, Option<Watch>), Failure>,
) -> Result<Seen, Failure> {
    outcome.map(|(seen, watch)| {
        *slot = watch;
        seen
    })
}

/// The same for the own znode, which is not taken for standing when it has gone since.
pub(super) fn still(
    slot: &mut Option<Watch>,
    outcome: Result<(Seen, Option<Watch>), Failure>,
) -> Result<Seen, Failure> {
    let seen = keep(slot, outcome)?;
    match fired(slot).now_or_never() {
        None => Ok(seen),
        Some(Fired::Deleted) => {
            *slot = None;
            Ok(Seen::Absent)
        }
        Some(Fired::Changed | Fired::Ended) => {
            *slot = None;
            Err(Failure::Rejected("the znode changed while it was being looked at".into()))
        }
    }
}

pub(super) async fn fired(watch: &mut Option<Watch>) -> Fired {
    match watch {
        Some(watch) => watch.await,
        None => std::future::pending().await,
    }
}
