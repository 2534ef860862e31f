//! What holds in every run, and what holds under conditions, over thousands of seeds. A failure names its seed.

use std::collections::BTreeSet;

use super::*;
use crate::elector::Decision;
use crate::notification::Notification;
use crate::vote::Round;

mod agreement;
mod audit;
mod faults;
mod quorums;
mod settling;

const MILLISECOND: Duration = Duration::from_millis(1);

/// An ensemble on paper: the servers, their groups and weights. It counts votes by itself, apart from what is tested.
#[derive(Clone, Debug)]
struct Members {
    members: Vec<(ServerId, i64, u64)>,
    hierarchical: bool,
}

impl Members {
    fn majority(servers: i64) -> Self {
        Self { members: (1..=servers).map(|id| (ServerId(id), 1, 1)).collect(), hierarchical: false }
    }

    /// One to three groups, of one to three servers each, of weights from 0 to 3.
    fn in_groups(rng: &mut Rng) -> Self {
        let mut members = Vec::new();
        for group in 1..=rng.i64(1..=3) {
            for _ in 0..rng.i64(1..=3) {
                members.push((ServerId(members.len() as i64 + 1), group, rng.u64(0..=3)));
            }
        }
        // Somebody has to count.
        members[0].2 = members[0].2.max(1);
        Self { members, hierarchical: true }
    }

    /// Of three to seven servers, or, one time in three, in groups.
    fn random(rng: &mut Rng) -> Self {
        if rng.u8(0..3) == 0 { Self::in_groups(rng) } else { Self::majority(rng.i64(3..=7)) }
    }

    fn quorum(&self) -> Quorum {
        if self.hierarchical {
            Quorum::hierarchical(self.members.iter().copied())
        } else {
            Quorum::majority(self.ids())
        }
    }

    fn ids(&self) -> impl Iterator<Item = ServerId> {
        self.members.iter().map(|(id, ..)| *id)
    }

    fn can_lead(&self, id: ServerId) -> bool {
        self.members.iter().any(|(it, _, weight)| *it == id && *weight > 0)
    }

    fn is_quorum(&self, supporters: &BTreeSet<ServerId>) -> bool {
        let weight_of = |group: i64, counts: &dyn Fn(ServerId) -> bool| -> u64 {
            self.members
                .iter()
                .filter(|(id, it, _)| *it == group && counts(*id))
                .map(|(.., weight)| weight)
                .sum()
        };
        let groups: BTreeSet<i64> = self.members.iter().map(|(_, group, _)| *group).collect();
        let counting = groups.into_iter().filter(|group| weight_of(*group, &|_| true) > 0);
        let won =
            |group: i64| 2 * weight_of(group, &|id| supporters.contains(&id)) > weight_of(group, &|_| true);
        let (won, lost): (Vec<i64>, Vec<i64>) = counting.partition(|group| won(*group));
        won.len() > lost.len()
    }

    /// Some of them, each with this probability.
    fn some(&self, probability: f64, rng: &mut Rng) -> BTreeSet<ServerId> {
        self.ids().filter(|_| rng.f64() < probability).collect()
    }

    /// A quorum or more of them.
    fn some_quorum(&self, rng: &mut Rng) -> BTreeSet<ServerId> {
        let some = self.some(0.8, rng);
        if self.is_quorum(&some) { some } else { self.ids().collect() }
    }
}

/// A history of an ensemble that is still young, so that equal ones are frequent.
fn random_history(rng: &mut Rng) -> History {
    let epoch = rng.i64(0..=2);
    let written = rng.i64(0..=epoch);
    History { epoch: Epoch(epoch), zxid: Zxid(Epoch(written).first_zxid().0 + rng.i64(0..=2)) }
}

/// An ensemble none of whose servers runs, with random histories.
fn with_random_histories(members: &Members, seed: u64, rng: &mut Rng) -> Simulation {
    let ensemble = Simulation::new(members.quorum(), seed);
    members.ids().fold(ensemble, |ensemble, id| ensemble.with_history(id, random_history(rng)))
}

/// A duration up to this one.
fn up_to(longest: Duration, rng: &mut Rng) -> Duration {
    Duration::from_micros(rng.u64(0..=longest.as_micros() as u64))
}

fn decisions(ensemble: &Simulation) -> impl Iterator<Item = (ServerId, Decision, Reason)> {
    ensemble.trace().iter().filter_map(|it| match it.kind {
        EventKind::Decided { decision, reason } => Some((it.server, decision, reason)),
        _ => None,
    })
}

#[test]
fn the_paper_and_the_code_count_alike() {
    let mut rng = Rng::with_seed(1);
    for _ in 0..2000 {
        let members = Members::random(&mut rng);
        let some = members.some(0.6, &mut rng);
        assert_eq!(members.quorum().is_quorum(&some), members.is_quorum(&some), "{some:?} of {members:?}");
    }
}
