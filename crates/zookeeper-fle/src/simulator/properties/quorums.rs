//! Groups and weights.

use super::faults::FaultyRun;
use super::*;

#[test]
fn a_server_that_weighs_nothing_never_leads_and_nobody_wants_it_to() {
    let mut without_weight = 0;
    for seed in 0..1000 {
        let run = FaultyRun::with(seed, Members::in_groups);
        without_weight += run.members.members.iter().filter(|(.., weight)| *weight == 0).count();
        for (_, decision, _) in decisions(&run.ensemble) {
            assert!(run.members.can_lead(decision.vote.leader), "seed {seed}: {decision:?}");
        }
        for event in run.ensemble.trace() {
            if let EventKind::Broadcast(Notification { vote, .. }) = &event.kind {
                let wanted = vote.leader == event.server || run.members.can_lead(vote.leader);
                assert!(wanted, "seed {seed}: {event}");
            }
        }
    }
    assert!(without_weight > 500, "{without_weight} such servers are too few to show anything");
}
