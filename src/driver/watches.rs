//! The two watches of a contender: on its own znode, and on the znode ahead.

use futures_util::future::FutureExt;

use crate::error::Failure;
use crate::machine::Seen;
use crate::mistakes::mistake;
use crate::session::{Fired, Watch};

/// What a read of a watched znode has returned, with the watch that it left.
pub(super) type Watched = Result<(Seen, Option<Watch>), Failure>;

/// Replaces the watch on the znode ahead by the new one.
pub(super) fn set_watch(slot: &mut Option<Watch>, outcome: Watched) -> Result<Seen, Failure> {
    outcome.map(|(seen, watch)| {
        *slot = watch;
        seen
    })
}

/// Replaces the watch on the own znode. If the new watch has fired already, the reply is outdated: the znode is reported
/// as absent, or the read as failed.
pub(super) fn set_own_watch(slot: &mut Option<Watch>, outcome: Watched) -> Result<Seen, Failure> {
    let seen = set_watch(slot, outcome)?;
    if mistake!(NoOwnWatch) {
        *slot = None;
    }
    match fired(slot).now_or_never() {
        None => Ok(seen),
        Some(Fired::Deleted) => {
            *slot = None;
            Ok(Seen::Absent)
        }
        Some(Fired::Changed | Fired::Ended) => {
            *slot = None;
            Err(Failure::Rejected("the znode changed while it was being read".into()))
        }
    }
}

/// Waits until the watch fires; for ever if there is none.
pub(super) async fn fired(watch: &mut Option<Watch>) -> Fired {
    match watch {
        Some(watch) => watch.await,
        None => std::future::pending().await,
    }
}
