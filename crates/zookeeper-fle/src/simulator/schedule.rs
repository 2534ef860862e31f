//! The events to come, in virtual time.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::notification::Notification;
use crate::vote::ServerId;

/// An event to come.
#[derive(Clone, Debug)]
pub(super) enum ScheduledEvent {
    /// A server starts.
    Start(ServerId),
    /// The time that an elector wanted to wait is over.
    ElectorTick(ServerId),
    /// A connection is made.
    Connected(ServerId, ServerId),
    /// A message arrives.
    Deliver { from: ServerId, to: ServerId, notification: Notification },
    /// The stand-in for Zab checks all settled servers.
    ZabTick,
}

/// The place of an event: its time, and the order among events of the same time.
pub(super) type ScheduleKey = (Duration, u64);

/// The events to come, by time. Events of the same time happen in the order in which they were added.
#[derive(Clone, Debug, Default)]
pub(super) struct Schedule {
    events: BTreeMap<ScheduleKey, ScheduledEvent>,
    added: u64,
}

impl Schedule {
    pub(super) fn add(&mut self, at: Duration, event: ScheduledEvent) -> ScheduleKey {
        self.added += 1;
        let key = (at, self.added);
        self.events.insert(key, event);
        key
    }

    pub(super) fn remove(&mut self, key: ScheduleKey) {
        self.events.remove(&key);
    }

    /// Removes the events that do not satisfy this.
    pub(super) fn retain(&mut self, keep: impl Fn(&ScheduledEvent) -> bool) {
        self.events.retain(|_, event| keep(event));
    }

    /// Takes the next event and its time, unless it is later than `end`.
    pub(super) fn take_due(&mut self, end: Duration) -> Option<(Duration, ScheduledEvent)> {
        let entry = self.events.first_entry().filter(|it| it.key().0 <= end)?;
        let ((at, _), event) = entry.remove_entry();
        Some((at, event))
    }
}
