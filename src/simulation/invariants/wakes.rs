//! A departure wakes one contender: when a znode in the queue vanishes, no more than one contender lists the directory
//! because of that.
//!
//! Contenders whose own znode does not stand any more do not count: an operator's deletion may leave two watching the
//! same predecessor until the news is around. Neither does a second look after a reconnection, which has nothing to do
//! with anybody's departure.

use std::collections::BTreeMap;

use super::Who;
use crate::types::FencingToken;

#[derive(Debug, Default)]
pub(in super::super) struct Wakes {
    by_departure: BTreeMap<FencingToken, u32>,
    fresh: Vec<Wake>,
}

#[derive(Debug)]
struct Wake {
    election: usize,
    who: Who,
    gone: FencingToken,
    own: String,
}

impl Wakes {
    pub(super) fn woken(&mut self, election: usize, who: Who, gone: FencingToken, own: &str) {
        self.fresh.push(Wake { election, who, gone, own: own.to_owned() });
    }

    pub(in super::super) fn is_any(&self) -> bool {
        !self.fresh.is_empty()
    }

    /// Counts what has happened since the last time.
    pub(in super::super) fn count(&mut self, stands: impl Fn(&str) -> bool) -> Result<(), String> {
        for Wake { election, who, gone, own } in self.fresh.drain(..) {
            if stands(&own) {
                let woken = self.by_departure.entry(gone).or_default();
                *woken += 1;
                if *woken > 1 {
                    return Err(format!(
                        "the departure of {gone} from election {election} wakes {who}, and not only that one"
                    ));
                }
            }
        }
        Ok(())
    }
}
