//! How the machine's decisions about leadership reach the application: begin, extend, shorten, end.

use std::sync::Arc;

use tokio::sync::watch;

use super::Driver;
use super::commands::LeadershipExit;
use super::leaderships::ActiveLeadership;
use crate::error::Lost;
use crate::in_flight::InFlight;
use crate::leadership::{Leadership, LeaseCell};
use crate::lease::Lease;
use crate::machine::Event;
use crate::mistakes::mistake;
use crate::session::PinnedSession;
use crate::telemetry;
use crate::znode::Node;

impl Driver {
    /// Leadership begins on this znode. Hands it to the campaign, if the campaign is still waiting.
    pub(super) fn lead(&mut self, node: Node, lease: Lease) {
        telemetry::leading(&node);
        self.leaderships += 1;
        let lease = Arc::new(LeaseCell::new(lease));
        let lost = watch::Sender::new(None);
        let work = InFlight::new(self.shared.in_flight());
        // A waiting campaign keeps a sender of commands alive, so the upgrade succeeds for it.
        let delivered = match (self.own_commands.upgrade(), self.campaign.take(), &self.client) {
            (Some(commands), Some(reply), Some(client)) => {
                let number = self.leaderships;
                let grace = self.config.grace.unwrap_or_else(|| client.terms().session_timeout());
                let exit = LeadershipExit { number, removed: self.removed.clone(), commands };
                let leadership = Leadership::new(
                    node,
                    lease.clone(),
                    work.clone(),
                    lost.subscribe(),
                    Box::new(exit),
                    PinnedSession::new(self.shared.clone(), client),
                );
                let _on_session = self.shared.in_flight().begin();
                self.leading = Some(ActiveLeadership { number, lease, work, grace, lost, _on_session });
                reply.send(Ok(leadership)).is_ok()
            }
            _ => false,
        };
        if !delivered && !mistake!(UndeliveredLeadershipKept) {
            // Withdraw at once. The dropped leadership resigns as well, but that command may be queued behind the next
            // campaign.
            self.follow_up = Some(Event::Withdraw(Lost::Resigned));
        }
    }

    /// The lease of the leadership is now this longer one.
    pub(super) fn extend(&mut self, lease: Lease) {
        if self.leading.as_ref().is_some_and(|leading| !leading.lease.extend(lease)) {
            // The application has already seen the lease end, and has stopped acting on it.
            self.follow_up = Some(Event::Withdraw(Lost::LeaseExpired));
        }
    }

    /// The lease of the leadership is now this shorter one.
    pub(super) fn shorten(&mut self, lease: Lease) {
        if let Some(leading) = &self.leading {
            leading.lease.shorten(lease);
        }
    }

    /// Leadership ends, for this reason.
    pub(super) fn step_down(&mut self, reason: Lost) {
        if let Some(leading) = self.leading.take() {
            self.ended = Some(leading.end(reason));
            telemetry::stepped_down(reason);
        }
    }
}
