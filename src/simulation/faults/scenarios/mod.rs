//! Scenarios: several faults that are timed to reach one dangerous state.

mod expiry;
mod late_requests;
mod timeouts;

use std::time::Duration;

use crate::simulation::event::WorldEvent;
use crate::simulation::run::Run;
use crate::simulation::settings::Scenario;
use crate::simulation::triggers::{RequestKind, TriggeredFault};

impl Run {
    pub(super) fn scenario(&mut self, scenario: Scenario, process: usize) {
        match scenario {
            Scenario::StaleEvidence => self.stale_evidence(process),
            Scenario::OldLeader => self.old_leader(process),
            Scenario::LateRequest => self.late_request(process),
            Scenario::ClosingSession => self.closing_session(process),
            Scenario::IsolatedServer => self.isolated_server(process),
            Scenario::ShorterTimeout => self.shorten(process),
        }
    }

    fn arm_after(&mut self, after: Duration, process: usize, fault: TriggeredFault) {
        self.world.schedule(after, WorldEvent::Arm { process, fault });
    }

    /// A request that creates a znode, removes one, or that only a leader makes.
    fn request_kind(&mut self) -> RequestKind {
        let kinds = [RequestKind::Create, RequestKind::Removal, RequestKind::GuardedWrite];
        kinds[[0, 0, 1, 1, 2][self.world.rng.usize(..5)]]
    }

    /// Applications resign or withdraw, several times.
    fn resign_repeatedly(&mut self, process: usize) {
        for _ in 0..3 {
            let after = self.duration(0.05, 1.0);
            self.world.schedule(after, WorldEvent::Resign { process });
        }
    }

    /// A process is paused, sends a request as soon as it is resumed, and may be paused again. Its server is cut off
    /// right after a reply. So the ensemble has not heard of the session for long, although the process has had
    /// replies.
    fn stale_evidence(&mut self, process: usize) {
        let (first, second) = (self.duration(0.1, 0.9), self.duration(0.1, 0.9));
        self.arm_after(Duration::ZERO, process, TriggeredFault::PauseOnRequest(first));
        if self.world.rng.bool() {
            self.arm_after(first, process, TriggeredFault::PauseOnRequest(second));
        }
        let later = if self.world.rng.bool() { self.duration(0.01, 0.25) } else { Duration::ZERO };
        self.arm_after(first + later, process, TriggeredFault::IsolateServerOnCommit);
    }
}
