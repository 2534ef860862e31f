//! A departure wakes one contender: when a znode in the queue vanishes, no more than one contender lists the directory
//! because of that.
//!
//! Contenders whose own znode does not stand any more do not count: an operator's deletion may leave two watching the
//! same predecessor until the news is env. Neither does a second look after a reconnection, which has nothing to do
//! with anybody's departure.

use std::collections::BTreeMap;

use super::reports::ContenderId;
use crate::types::FencingToken;

#[derive(Debug, Default)]
pub(in crate::simulation) struct Wakeups {
    by_departure: BTreeMap<FencingToken, u32>,
    fresh: Vec<Wakeup>,
}

#[derive(Debug)]
struct Wakeup {
    election: usize,
    id: ContenderId,
    gone: FencingToken,
    own: String,
}

impl Wakeups {
    pub(super) fn woken(&mut self, election: usize, id: ContenderId, gone: FencingToken, own: &str) {
        self.fresh.push(Wakeup { election, id, gone, own: own.to_owned() });
    }

    pub(in crate::simulation) fn is_any(&self) -> bool {
        !self.fresh.is_empty()
    }

    /// Counts what has happened since the last time.
    pub(in crate::simulation) fn count(&mut self, stands: impl Fn(&str) -> bool) -> Result<(), String> {
        for Wakeup { election, id, gone, own } in self.fresh.drain(..) {
            if stands(&own) {
                let woken = self.by_departure.entry(gone).or_default();
                *woken += 1;
                if *woken > 1 {
                    return Err(format!(
                        "the departure of {gone} from election {election} wakes {id}, and not only that one"
                    ));
                }
            }
        }
        Ok(())
    }
}
