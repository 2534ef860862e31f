//! The way of a request through a server: one after the other, and sometimes not at once.
//!
//! Writes and syncs pass through queues: of a follower, before they are sent to the leader server; of the leader server,
//! before it orders them. Connects pass by these queues: whoever takes a session up overtakes the requests of the session
//! that came before, which are then carried out if they come from the server that has become the owner.

use super::super::stage::{Happening, Stage, note};
use super::super::time::Instant;
use super::{Ensemble, Petition, Role, Wish, Word};

impl Ensemble {
    /// Takes in something that only the leader server can do.
    pub(super) fn process(&mut self, stage: &mut Stage, server: usize, petition: Petition) {
        let this = &mut self.servers[server];
        let waits = !this.queue.is_empty() || this.stuck_until > stage.now;
        if waits && !matches!(petition.wish, Wish::Resume(..)) {
            this.queue.push_back(petition);
        } else {
            self.pass_on(stage, server, petition);
        }
    }

    fn pass_on(&mut self, stage: &mut Stage, server: usize, petition: Petition) {
        if let Role::Leading(_) = self.servers[server].role {
            self.on_petition(stage, server, petition);
        } else {
            self.send_to_leader(stage, server, Word::Petition(petition));
        }
    }

    /// The queue of a server does not move until then.
    pub(in super::super) fn stick(&mut self, stage: &mut Stage, server: usize, until: Instant) {
        let this = &mut self.servers[server];
        if this.stuck_until < until {
            note!(stage, "the requests at server {server} are stuck until {until:?}");
            this.stuck_until = until;
            stage.agenda.enter(until, Happening::Unstuck { server });
        }
    }

    /// The queue of a server moves again, unless something else holds it.
    pub(in super::super) fn unstick(&mut self, stage: &mut Stage, server: usize) {
        let this = &self.servers[server];
        if this.stuck_until > stage.now || this.sockets.stands_still() {
            return;
        }
        while let Some(petition) = self.servers[server].queue.pop_front() {
            self.pass_on(stage, server, petition);
        }
    }
}
