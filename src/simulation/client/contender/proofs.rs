//! Proofs of the session: asked for while the machine wants them, and told to it.

use super::super::wire::Proof;
use super::{Contender, Surroundings};
use crate::lease::Lease;
use crate::machine::{Event, ProofDemand};
use crate::simulation::mutation::Mutation;

impl Contender {
    /// Proofs have come in.
    pub(in super::super) fn on_proof(&mut self, around: &mut Surroundings<'_>, proof: &Proof) {
        if self.proving.is_some() {
            let Proof { sent, lease } = *proof;
            self.proven = sent;
            let lease = around.desk.capped(lease);
            self.feed(around, Event::Proven { sent, lease });
        }
    }

    pub(super) fn keep_proving(&mut self, around: &mut Surroundings<'_>) {
        let now = around.desk.now();
        match (self.machine.proving(now), self.proving) {
            (Some(ProofDemand { node, at_once }), None) => {
                self.proving = Some(around.heart.prove(&node.path, at_once, now));
                if around.desk.errs(Mutation::NoFirstProof) {
                    let lease = Lease::until(now + around.stage.settings.timeout / 2);
                    self.feed(around, Event::Proven { sent: now, lease });
                }
            }
            (None, Some(number)) => {
                around.heart.prove_no_more(number);
                self.proving = None;
            }
            _ => {}
        }
    }
}
