//! The contender's standing, as the application sees it.

use super::Machine;
use super::event::Action;
use super::state::{Ahead, Held, Place};
use crate::path::join;
use crate::types::Standing;

impl Machine {
    /// Reports the standing if it has changed.
    pub(super) fn report(&mut self) {
        let standing = self.standing();
        if standing == self.reported {
            return;
        }
        if let Standing::Idle | Standing::Waiting { .. } | Standing::Leading { .. } = standing {
            self.after = None;
        }
        if standing == Standing::Idle {
            self.failures = 0;
            self.retry_at = None;
            self.actions.push_back(Action::Unwatch);
        }
        self.reported = standing.clone();
        self.actions.push_back(Action::Report(standing));
    }

    fn standing(&self) -> Standing {
        if !self.wanted {
            let nothing_left = matches!(self.place, Place::Nowhere | Place::NoParent | Place::Blocked { .. })
                && self.removals.is_empty()
                && self.pending.is_none();
            return if nothing_left { Standing::Idle } else { Standing::Leaving };
        }
        if let Some(Held { node, .. }) = self.leading() {
            return Standing::Leading { node: node.path.clone(), token: node.token };
        }
        if !self.connected {
            return Standing::Connecting { after: self.after };
        }
        match &self.place {
            Place::Held(Held { node, ahead: Ahead::Watched(name), .. }) => {
                Standing::Waiting { node: Some(node.path.clone()), behind: join(&self.spec.path, name) }
            }
            Place::Blocked { watched: true } => {
                Standing::Waiting { node: None, behind: self.spec.path.clone() }
            }
            // While the list is read again, the contender still counts as waiting.
            Place::Held(held) => match &self.reported {
                waiting @ Standing::Waiting { node: Some(node), .. } if *node == held.node.path => {
                    waiting.clone()
                }
                _ => Standing::Joining { after: self.after },
            },
            _ => Standing::Joining { after: self.after },
        }
    }
}
