//! The application of a contender: wants to lead, for a while, and changes its mind.

use super::{Contender, Surroundings};
use crate::error::Lost;
use crate::machine::Event;
use crate::simulation::stage::note;

impl Contender {
    /// Begins the campaign that waits for the removal of the last one's znode, if that is done.
    pub(super) fn start_campaign(&mut self, around: &mut Surroundings<'_>) {
        if self.deferred && self.is_idle() {
            self.deferred = false;
            self.feed(around, Event::Campaign);
        }
    }

    /// The application makes up its mind.
    pub(in super::super) fn decide(&mut self, around: &mut Surroundings<'_>) {
        let calm = around.stage.calm;
        let dice = around.stage.rng.f64();
        if self.leading || self.campaign {
            if !self.willing || (!calm && dice < if self.leading { 0.3 } else { 0.15 }) {
                self.resign(around);
            }
        } else if self.willing {
            note!(around.stage, "{} campaigns", self.who);
            (self.campaign, self.deferred) = (true, true);
            self.start_campaign(around);
        }
        self.undecided = !self.campaign && !self.leading && self.willing;
    }

    /// The application does not want to lead or wait any more, for now.
    pub(in super::super) fn resign(&mut self, around: &mut Surroundings<'_>) {
        if self.leading {
            // Nobody acts on it from the call on.
            note!(around.stage, "{} resigns", self.who);
            self.step_down(around);
            self.feed(around, Event::Withdraw(Lost::Resigned));
        } else if self.campaign {
            note!(around.stage, "{} drops its campaign", self.who);
            (self.campaign, self.deferred) = (false, false);
            self.undecided = true;
            self.feed(around, Event::Withdraw(Lost::Resigned));
        }
    }
}
