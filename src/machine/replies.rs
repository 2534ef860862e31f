//! How the machine's state changes with the replies to requests.

use super::event::{Action, Reply, Seen, Ticket};
use super::master::{self, PathState};
use super::sequential::{self, QueuePosition};
use super::state::{Ahead, Held, OwnWatch, Place, Removal};
use super::{Machine, naming};
use crate::error::{Error, Failure};
use crate::lease::Lease;
use crate::path::join;
use crate::timestamp::Timestamp;
use crate::types::{Mode, Sequence};
use crate::znode::Node;

impl Machine {
    pub(super) fn on_reply(&mut self, now: Timestamp, ticket: Ticket, reply: Reply) {
        if self.pending.as_ref().is_none_or(|pending| pending.ticket != ticket) {
            if let (Place::Held(held), Reply::Watched(seen)) = (&self.place, reply)
                && matches!(held.own, OwnWatch::Asked(own) if own == ticket)
            {
                self.on_own_watched(now, seen);
            }
            return;
        }
        self.pending = None;
        match reply {
            Reply::Created(outcome) => self.on_created(now, outcome),
            Reply::Found(outcome) => self.on_found(now, outcome),
            Reply::Listed(outcome) => self.on_listed(now, outcome),
            Reply::Watched(outcome) => self.on_ahead_watched(now, outcome),
            Reply::ParentsCreated(outcome) => self.on_parents_created(now, outcome),
            Reply::Removed(outcome) => self.on_removed(now, outcome),
        }
    }

    fn on_created(&mut self, now: Timestamp, outcome: Result<(Node, Lease), Failure>) {
        match outcome {
            Ok((node, lease)) => self.hold(now, node, lease),
            Err(Failure::NoNode) => {
                if self.wanted {
                    self.place = Place::NoParent;
                }
            }
            Err(Failure::NodeExists) => match self.spec.mode {
                Mode::Master => {
                    if self.wanted {
                        self.place = Place::Blocked { watched: false };
                    }
                }
                Mode::Sequential => {
                    self.give_up(Error::SequenceExhausted { path: self.spec.path.clone() });
                }
            },
            Err(Failure::Unknown(_)) => {
                self.place = Place::Unsure;
                self.pause(now);
            }
            Err(failure) => self.failed(now, failure),
        }
    }

    /// The own znode exists. It is removed if the campaign has ended meanwhile.
    fn hold(&mut self, now: Timestamp, node: Node, proven: Lease) {
        if self.wanted && self.spec.mode == Mode::Sequential && !self.is_given_out_once(&node) {
            self.place = Place::Nowhere;
            self.removals.push_back(Removal { node, verify: true });
            self.give_up(Error::SequenceExhausted { path: self.spec.path.clone() });
        } else if self.wanted {
            self.place = Place::Held(Held::new(node, self.spec.mode, now, proven));
        } else {
            self.place = Place::Nowhere;
            self.removals.push_back(Removal { node, verify: !self.connected });
        }
    }

    fn is_given_out_once(&self, node: &Node) -> bool {
        naming::parse(&self.spec.prefix, node.name()).is_some_and(Sequence::is_given_out_once)
    }

    fn on_found(&mut self, now: Timestamp, outcome: Result<Vec<Node>, Failure>) {
        match outcome {
            Ok(nodes) => {
                self.place = Place::Nowhere;
                let mut nodes = nodes.into_iter();
                if let Some(node) = nodes.next() {
                    self.hold(now, node, Lease::OVER);
                }
                self.removals.extend(nodes.map(|node| Removal { node, verify: true }));
            }
            Err(Failure::Refused(error)) => {
                // If there is a znode, it can be neither found nor removed at present.
                self.actions.push_back(Action::RemovalFailed(error.clone()));
                self.give_up(error);
                self.pause(now);
            }
            Err(failure) => self.failed(now, failure),
        }
    }

    fn on_listed(&mut self, now: Timestamp, outcome: Result<Vec<String>, Failure>) {
        let Place::Held(held) = &mut self.place else {
            return;
        };
        match outcome {
            Ok(children) => match sequential::judge(&self.spec.prefix, &children, held.node.name()) {
                QueuePosition::Gone => self.on_own_gone(now, false),
                QueuePosition::Lowest => held.ahead = Ahead::Nobody,
                QueuePosition::Exhausted => {
                    self.give_up(Error::SequenceExhausted { path: self.spec.path.clone() });
                }
                QueuePosition::Behind { name, next_in_line } => {
                    held.ahead = Ahead::Chosen(name);
                    held.next_in_line = next_in_line;
                }
            },
            Err(Failure::NoNode) => self.on_own_gone(now, false),
            Err(failure) => self.failed(now, failure),
        }
    }

    fn on_own_watched(&mut self, now: Timestamp, outcome: Result<Seen, Failure>) {
        let Place::Held(held) = &mut self.place else {
            return;
        };
        match outcome {
            Ok(Seen::Present) => {
                held.own = OwnWatch::Set;
                if held.leading {
                    self.failures = 0;
                }
            }
            Ok(Seen::Absent | Seen::Other | Seen::Orphan(_)) => self.on_own_gone(now, false),
            Err(failure) => {
                held.own = OwnWatch::Off;
                if held.leading {
                    self.pause(now);
                } else {
                    self.failed(now, failure);
                }
            }
        }
    }

    fn on_ahead_watched(&mut self, now: Timestamp, outcome: Result<Seen, Failure>) {
        // The orphan was claimed for this contender, so it is removed even if the campaign has ended meanwhile.
        if let Ok(Seen::Orphan(node)) = &outcome {
            self.removals.push_back(Removal { node: node.clone(), verify: true });
        }
        let seen = match outcome {
            Ok(seen) => seen,
            Err(failure) => return self.failed(now, failure),
        };
        match &mut self.place {
            Place::Held(held) => {
                if let Ahead::Chosen(name) = &mut held.ahead {
                    self.failures = 0;
                    held.ahead = match seen {
                        Seen::Absent | Seen::Orphan(_) => Ahead::Unknown,
                        Seen::Present => Ahead::Watched(std::mem::take(name)),
                        Seen::Other => {
                            let path = join(&self.spec.path, name);
                            return self.give_up(Error::NotEphemeral { path });
                        }
                    };
                }
            }
            Place::Blocked { watched } => match master::judge(seen) {
                PathState::Free => self.place = Place::Nowhere,
                PathState::Taken => {
                    *watched = true;
                    self.failures = 0;
                }
                PathState::Occupied => self.give_up(Error::PathOccupied { path: self.spec.path.clone() }),
            },
            _ => {}
        }
    }

    fn on_parents_created(&mut self, now: Timestamp, outcome: Result<(), Failure>) {
        match outcome {
            Ok(()) => self.place = Place::Nowhere,
            Err(failure) => self.failed(now, failure),
        }
    }

    fn on_removed(&mut self, now: Timestamp, outcome: Result<(), Failure>) {
        match outcome {
            Ok(()) | Err(Failure::NoNode) => {
                self.removals.pop_front();
            }
            Err(failure) => {
                if let Some(removal) = self.removals.front_mut() {
                    removal.verify = true;
                }
                self.pause(now);
                if let Failure::Refused(error) = failure {
                    self.actions.push_back(Action::RemovalFailed(error.clone()));
                    // The contender has a second znode, and cannot campaign while it cannot remove that one.
                    if self.wanted && self.leading().is_none() {
                        self.give_up(error);
                    }
                }
            }
        }
    }
}
