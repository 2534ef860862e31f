//! The ids under which the inspector connects.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::vote::ServerId;

/// The lowest of the inspector's 65,536 ids. The servers of an ensemble have lower ones.
pub(super) const FIRST_INSPECTOR_ID: ServerId = ServerId(1 << 62);

/// Hands out the ids of one inspection's connections: consecutive numbers from a random start, without those that this
/// process uses at the moment.
///
/// Consecutive, because of twenty random numbers two would be equal often enough to be seen in tests. From a random start
/// for each inspection, because two processes that once use the same number would otherwise do so again and again.
pub(super) struct InspectorIds {
    next: AtomicU16,
}

/// The low 16 bits of an id that no other connection of this process uses until this is dropped.
#[derive(Debug)]
pub(super) struct InspectorId(u16);

/// The low 16 bits of the ids in use.
static IN_USE: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

fn in_use() -> MutexGuard<'static, BTreeSet<u16>> {
    IN_USE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl InspectorIds {
    pub(super) fn starting_at(first: u16) -> Self {
        Self { next: AtomicU16::new(first) }
    }

    /// The next free id; `None` if this process has 65,536 connections.
    pub(super) fn take(&self) -> Option<InspectorId> {
        let mut in_use = in_use();
        let mut next = (0..=u16::MAX).map(|_| self.next.fetch_add(1, Ordering::Relaxed));
        next.find(|id| in_use.insert(*id)).map(InspectorId)
    }
}

impl InspectorId {
    pub(super) fn server_id(&self) -> ServerId {
        ServerId(FIRST_INSPECTOR_ID.0 | i64::from(self.0))
    }
}

impl Drop for InspectorId {
    fn drop(&mut self) {
        in_use().remove(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn concurrent_inspections_share_no_ids_and_dropped_ids_are_free_again() {
        // Two inspections in one process that begin at the same number and wrap around.
        let (one, other) = (InspectorIds::starting_at(u16::MAX), InspectorIds::starting_at(u16::MAX));
        let taken = [one.take(), other.take(), one.take(), other.take()].map(Option::unwrap);
        let different: BTreeSet<u16> = taken.iter().map(|id| id.0).collect();
        assert_eq!(different.len(), 4, "{taken:?}");
        assert!(taken[0].0 == u16::MAX && taken[1].0 == 0);
        drop(taken);
        assert_eq!(InspectorIds::starting_at(u16::MAX).take().map(|id| id.0), Some(u16::MAX));
    }
}
