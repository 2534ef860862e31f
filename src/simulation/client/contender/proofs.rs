//! Proofs of the session: asked for while the machine wants them, and told to it.

use super::super::wire::FakeProof;
use super::{Env, FakeContender};
use crate::lease::Lease;
use crate::machine::{Event, ProofDemand};
use crate::simulation::mistakes::Mistake;

impl FakeContender {
    /// Proofs have come in.
    pub(in super::super) fn on_proof(&mut self, env: &mut Env<'_>, proof: &FakeProof) {
        if self.proving.is_some() {
            let FakeProof { sent, lease } = *proof;
            self.proven = sent;
            let lease = env.client.capped(lease);
            self.feed(env, Event::Proven { sent, lease });
        }
    }

    pub(super) fn keep_proving(&mut self, env: &mut Env<'_>) {
        let now = env.client.now();
        match (self.machine.proving(now), self.proving) {
            (Some(ProofDemand { node, at_once }), None) => {
                self.proving = Some(env.heartbeat.prove(&node.path, at_once, now));
                if env.client.makes(Mistake::NoFirstProof) {
                    let lease = Lease::until(now + env.world.settings.timeout / 2);
                    self.feed(env, Event::Proven { sent: now, lease });
                }
            }
            (None, Some(number)) => {
                env.heartbeat.prove_no_more(number);
                self.proving = None;
            }
            _ => {}
        }
    }
}
