//! How the machine's state changes with events other than replies: the connection, the session, watches, proofs, and the
//! end of a campaign or leadership.

use super::Machine;
use super::event::Action;
use super::state::{Ahead, OwnWatch, Place, Removal};
use crate::error::{Error, Lost};
use crate::lease::Lease;
use crate::mistakes::mistake;
use crate::timestamp::Timestamp;

impl Machine {
    /// The application ends its campaign or leadership.
    pub(super) fn withdraw(&mut self, reason: Lost) {
        self.wanted = false;
        self.leave_place(reason);
    }

    /// Gives up the place in any state, and has the znode removed.
    pub(super) fn leave_place(&mut self, reason: Lost) {
        match std::mem::replace(&mut self.place, Place::Nowhere) {
            Place::Held(held) => {
                if held.leading {
                    self.step_down(reason);
                }
                // The watch is set and has not fired, so the name still belongs to this znode and no check is needed.
                // But if the lease has expired, the process may have been paused: the event may still be unread, and the
                // directory may have been created again.
                let certain = self.connected && reason != Lost::LeaseExpired;
                let verify = !(certain && matches!(held.own, OwnWatch::Set));
                self.removals.push_back(Removal { node: held.node, verify });
                self.retry_at = None;
            }
            Place::Unsure => self.place = Place::Unsure,
            Place::Nowhere | Place::NoParent | Place::Blocked { .. } => {}
        }
    }

    pub(super) fn step_down(&mut self, reason: Lost) {
        self.wanted = false;
        self.actions.push_back(Action::StepDown(reason));
    }

    /// Ends the campaign with this error, and has the znode removed.
    pub(super) fn give_up(&mut self, error: Error) {
        let campaigning = self.wanted;
        self.wanted = false;
        self.leave_place(Lost::Resigned);
        if campaigning {
            self.actions.push_back(Action::GiveUp(error));
        }
    }

    /// The own znode was deleted. `certain`: a watch event says so. What a read shows may be outdated, so then the znode is
    /// removed in addition.
    pub(super) fn on_own_gone(&mut self, now: Timestamp, certain: bool) {
        if let Place::Held(held) = std::mem::replace(&mut self.place, Place::Nowhere) {
            if held.leading {
                self.step_down(Lost::NodeDeleted);
            } else {
                self.after = Some(Lost::NodeDeleted);
                self.pause(now);
            }
            if certain || mistake!(LaggingServerBelieved) {
                self.actions.push_back(Action::Forget(held.node));
            } else {
                self.removals.push_back(Removal { node: held.node, verify: true });
            }
        }
    }

    pub(super) fn on_connected(&mut self) {
        self.connected = true;
        self.failures = 0;
        self.retry_at = None;
        // Events may have been missed and requests may have failed, so all reads are repeated.
        match &mut self.place {
            Place::Held(held) => {
                held.own = OwnWatch::Off;
                // A leader stays the lowest: later contenders have higher numbers.
                if !held.leading {
                    held.ahead = Ahead::at_first(self.spec.mode);
                }
            }
            Place::Blocked { watched } => *watched = false,
            Place::Nowhere | Place::NoParent | Place::Unsure => {}
        }
    }

    /// The znodes to remove may have changed by the next connection.
    pub(super) fn on_suspended(&mut self) {
        self.connected = false;
        self.removals.iter_mut().for_each(|removal| removal.verify = true);
    }

    pub(super) fn on_session_lost(&mut self, reopening: bool) {
        self.connected = false;
        self.retry_at = None;
        let creating = self.pending.take().is_some_and(|pending| pending.creates);
        let unsure = creating || matches!(self.place, Place::Unsure);
        if let Place::Held(held) = std::mem::replace(&mut self.place, Place::Nowhere) {
            match held.leading {
                true => self.step_down(Lost::SessionExpired),
                false => self.after = Some(Lost::SessionExpired),
            }
            self.removals.push_back(Removal { node: held.node, verify: true });
        }
        // The znodes may still exist, because the server that reported the expiry may have been deposed, or the client may
        // have concluded it by itself. So the next session removes them, and finds out what became of a create.
        self.removals.iter_mut().for_each(|removal| removal.verify = true);
        if mistake!(FormerZnodesForgotten) {
            self.removals.clear();
        } else if reopening && unsure {
            self.place = Place::Unsure;
        }
        if !reopening {
            let removing = !std::mem::take(&mut self.removals).is_empty();
            if unsure || removing {
                self.actions.push_back(Action::Left(Error::RemovalUnconfirmed));
            }
            self.give_up(Error::SessionLost);
        }
    }

    /// A proof covers the own znode only if it was sent after the znode was known to exist.
    pub(super) fn on_proven(&mut self, sent: Timestamp, lease: Lease) {
        if let Place::Held(held) = &mut self.place
            && sent >= held.since
        {
            held.proven = held.proven.max(lease);
        }
    }

    /// The leases so far were calculated with too long a session timeout.
    pub(super) fn on_shortened(&mut self, now: Timestamp, lease: Lease) {
        if let Place::Held(held) = &mut self.place {
            held.proven = held.proven.min(lease);
            if held.leading && lease < held.lease {
                held.lease = lease;
                self.actions.push_back(Action::Shorten(lease));
                self.expire(now);
            }
        }
    }

    pub(super) fn on_own_changed(&mut self, now: Timestamp, deleted: bool) {
        if let Place::Held(held) = &mut self.place {
            held.own = OwnWatch::Off;
            if deleted {
                self.on_own_gone(now, true);
            }
        }
    }

    pub(super) fn on_ahead_changed(&mut self) {
        match &mut self.place {
            Place::Held(held) if matches!(held.ahead, Ahead::Watched(_)) => {
                held.ahead = if mistake!(LeadsWithoutLooking) { Ahead::Nobody } else { Ahead::Unknown };
            }
            // A create tells whether the master's znode still exists.
            Place::Blocked { .. } => self.place = Place::Nowhere,
            _ => {}
        }
    }
}
