//! The queues of a server.
//!
//! A write or a sync passes through a queue: at a follower before it is sent to the leader server, at the leader server
//! before it is ordered. A connect does not: a session that is reattached overtakes its own earlier requests. These are
//! executed later, if they come from the server that owns the session by then.

use super::Ensemble;
use super::role::Role;
use crate::simulation::event::WorldEvent;
use crate::simulation::messages::{ForwardedRequest, MessageBody, Operation};
use crate::simulation::time::Instant;
use crate::simulation::world::{World, trace};

impl Ensemble {
    /// Accepts a request that only the leader server can execute.
    pub(super) fn process(&mut self, world: &mut World, server: usize, request: ForwardedRequest) {
        let this = &mut self.servers[server];
        let waits = !this.queue.is_empty() || this.held_until > world.now;
        if waits && !matches!(request.operation, Operation::Revalidate(..)) {
            this.queue.push_back(request);
        } else {
            self.pass_on(world, server, request);
        }
    }

    fn pass_on(&mut self, world: &mut World, server: usize, request: ForwardedRequest) {
        if let Role::Leading(_) = self.servers[server].role {
            self.handle_request(world, server, request);
        } else {
            self.send_to_leader(world, server, MessageBody::Forward(request));
        }
    }

    /// Holds the queue of a server until then.
    pub(in crate::simulation) fn hold_queue(&mut self, world: &mut World, server: usize, until: Instant) {
        let this = &mut self.servers[server];
        if this.held_until < until {
            trace!(world, "the requests at server {server} are held until {until:?}");
            this.held_until = until;
            world.queue.push(until, WorldEvent::ReleaseQueue { server });
        }
    }

    /// Releases the queue of a server, unless something else holds it.
    pub(in crate::simulation) fn release_queue(&mut self, world: &mut World, server: usize) {
        let this = &self.servers[server];
        if this.held_until > world.now || this.sockets.is_paused() {
            return;
        }
        while let Some(request) = self.servers[server].queue.pop_front() {
            self.pass_on(world, server, request);
        }
    }
}
