//! The application of a contender: wants to lead, for a while, and changes its mind.

use super::{Env, FakeContender};
use crate::error::Lost;
use crate::machine::Event;
use crate::simulation::world::trace;

impl FakeContender {
    /// Begins the campaign that waits for the removal of the last one's znode, if that is done.
    pub(super) fn start_campaign(&mut self, env: &mut Env<'_>) {
        if self.deferred && self.is_idle() {
            self.deferred = false;
            self.feed(env, Event::Campaign);
        }
    }

    /// The application makes up its mind.
    pub(in super::super) fn decide(&mut self, env: &mut Env<'_>) {
        let calm = env.world.calm;
        let dice = env.world.rng.f64();
        if self.leading || self.campaign {
            if !self.willing || (!calm && dice < if self.leading { 0.3 } else { 0.15 }) {
                self.resign(env);
            }
        } else if self.willing {
            trace!(env.world, "{} campaigns", self.id);
            (self.campaign, self.deferred) = (true, true);
            self.start_campaign(env);
        }
        self.undecided = !self.campaign && !self.leading && self.willing;
    }

    /// The application does not want to lead or wait any more, for now.
    pub(in super::super) fn resign(&mut self, env: &mut Env<'_>) {
        if self.leading {
            // Nobody acts on it from the call on.
            trace!(env.world, "{} resigns", self.id);
            self.step_down(env);
            self.feed(env, Event::Withdraw(Lost::Resigned));
        } else if self.campaign {
            trace!(env.world, "{} drops its campaign", self.id);
            (self.campaign, self.deferred) = (false, false);
            self.undecided = true;
            self.feed(env, Event::Withdraw(Lost::Resigned));
        }
    }
}
