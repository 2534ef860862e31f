//! Requests of a session: sent over the connection that there is, or kept until there is one, and given up.

use super::super::desk::Slot;
use super::{Line, Session};
use crate::simulation::network::Up;
use crate::simulation::stage::Stage;
use crate::timestamp::Timestamp;
use zookeeper_embedded::replica::Request;

/// Somebody waits for an answer, unless it is overdue.
pub(super) struct Call {
    pub(super) waiting: Option<(Slot, Timestamp)>,
}

impl Session {
    /// Sends what was asked for, or keeps it until there is a connection. Returns whether there was something.
    pub(in super::super) fn flush(&mut self, stage: &mut Stage) -> bool {
        let outgoing = std::mem::take(&mut self.desk.state().outgoing);
        let any = !outgoing.is_empty();
        let deadline = self.desk.now() + self.timeout;
        let calls =
            outgoing.into_iter().map(|(slot, request)| (request, Call { waiting: Some((slot, deadline)) }));
        self.queue.extend(calls);
        while let Line::Open { .. } = self.line
            && let Some((request, call)) = self.queue.pop_front()
        {
            self.send(stage, request, call);
        }
        any
    }

    pub(super) fn send(&mut self, stage: &mut Stage, request: Request, call: Call) -> i32 {
        self.xids += 1;
        if let Line::Open { connection, .. } = self.line {
            stage.referee.sent(self.process);
            stage.send_up(connection, Up::Request { xid: self.xids, request });
            self.calls.insert(self.xids, call);
        }
        self.xids
    }

    /// Nobody waits for an answer for longer than the session timeout.
    pub(super) fn give_up_calls(&mut self, now: Timestamp) {
        let mut desk = self.desk.state();
        for call in self.calls.values_mut().chain(self.queue.iter_mut().map(|(_, call)| call)) {
            if let Some((slot, _)) = call.waiting.take_if(|(_, deadline)| *deadline <= now) {
                desk.fail(slot, "no answer in time");
            }
        }
    }

    /// What only the client knew is gone with it.
    pub(super) fn forget_client(&mut self) {
        self.desk.state().forget_watches();
        for (_, call) in std::mem::take(&mut self.queue) {
            self.fail(call, "the session is over");
        }
    }

    pub(super) fn fail(&self, call: Call, reason: &str) {
        if let Some((slot, _)) = call.waiting {
            self.desk.state().fail(slot, reason);
        }
    }
}
