//! Requests of a session: sent over the connection that there is, or kept until there is one, and given up.

use super::{Call, FakeSession, Transport};
use crate::simulation::network::Up;
use crate::simulation::world::World;
use crate::timestamp::Timestamp;
use zookeeper_embedded::replica::Request;

impl FakeSession {
    /// Sends what was asked for, or keeps it until there is a connection. Returns whether there was something.
    pub(in super::super) fn flush(&mut self, world: &mut World) -> bool {
        let outgoing = std::mem::take(&mut self.client.state().outgoing);
        let any = !outgoing.is_empty();
        let deadline = self.client.now() + self.timeout;
        let calls =
            outgoing.into_iter().map(|(slot, request)| (request, Call { waiting: Some((slot, deadline)) }));
        self.queue.extend(calls);
        while let Transport::Open { .. } = self.line
            && let Some((request, call)) = self.queue.pop_front()
        {
            self.send(world, request, call);
        }
        any
    }

    pub(super) fn send(&mut self, world: &mut World, request: Request, call: Call) -> i32 {
        self.xids += 1;
        if let Transport::Open { connection, .. } = self.line {
            world.checker.sent(self.process);
            world.send_up(connection, Up::Request { xid: self.xids, request });
            self.calls.insert(self.xids, call);
        }
        self.xids
    }

    /// Nobody waits for an answer for longer than the session timeout.
    pub(super) fn give_up_calls(&mut self, now: Timestamp) {
        let mut client = self.client.state();
        for call in self.calls.values_mut().chain(self.queue.iter_mut().map(|(_, call)| call)) {
            if let Some((slot, _)) = call.waiting.take_if(|(_, deadline)| *deadline <= now) {
                client.fail(slot, "no answer in time");
            }
        }
    }

    /// What only the client knew is gone with it.
    pub(super) fn forget_client(&mut self) {
        self.client.state().forget_watches();
        for (_, call) in std::mem::take(&mut self.queue) {
            self.fail(call, "the session is over");
        }
    }

    pub(super) fn fail(&self, call: Call, reason: &str) {
        if let Some((slot, _)) = call.waiting {
            self.client.state().fail(slot, reason);
        }
    }
}
