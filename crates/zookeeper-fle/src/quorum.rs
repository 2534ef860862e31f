//! The voters of an ensemble, and which sets of them are quorums.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::EnsembleConfig;
use crate::vote::ServerId;

/// The voters of an ensemble and the rule that makes a set of them a quorum. Any two quorums have a voter in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quorum {
    voters: BTreeMap<ServerId, Voter>,
    rule: Rule,
}

/// The group and the weight of a voter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Voter {
    group: i64,
    weight: u64,
}

/// How votes are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// More than half of the voters.
    Majority,
    /// More than half of the groups of non-zero weight, each with more than half of its weight.
    Hierarchical,
}

impl Quorum {
    /// A quorum is more than half of these voters.
    #[must_use]
    pub fn majority(voters: impl IntoIterator<Item = ServerId>) -> Self {
        let voters = voters.into_iter().map(|id| (id, Voter { group: 0, weight: 1 })).collect();
        Self { voters, rule: Rule::Majority }
    }

    /// A quorum is more than half of the groups, each with more than half of its weight. Groups of weight 0 do not count.
    ///
    /// The entries are voters, their groups and their weights. A voter of weight 0 votes like the others, but cannot
    /// become leader.
    #[must_use]
    pub fn hierarchical(voters: impl IntoIterator<Item = (ServerId, i64, u64)>) -> Self {
        let voters = voters.into_iter().map(|(id, group, weight)| (id, Voter { group, weight })).collect();
        Self { voters, rule: Rule::Hierarchical }
    }

    /// The quorums of an ensemble: hierarchical if the configuration has groups, otherwise majorities of the participants.
    #[must_use]
    pub fn of(config: &EnsembleConfig) -> Self {
        if config.groups.is_empty() {
            return Self::majority(config.participants());
        }
        let participants: BTreeSet<ServerId> = config.participants().collect();
        let weight = |id| config.weights.get(id).copied().unwrap_or(1);
        let in_group = |(group, ids)| {
            let ids: &BTreeSet<ServerId> = ids;
            let group: &i64 = group;
            ids.iter().map(|id| (*id, *group, weight(id))).collect::<Vec<_>>()
        };
        let voters = config.groups.iter().flat_map(in_group).filter(|(id, ..)| participants.contains(id));
        Self::hierarchical(voters)
    }

    /// The voters, by their ids.
    pub fn voters(&self) -> impl Iterator<Item = ServerId> {
        self.voters.keys().copied()
    }

    /// Whether this server is a voter.
    #[must_use]
    pub fn is_voter(&self, id: ServerId) -> bool {
        self.voters.contains_key(&id)
    }

    /// Whether this server can become leader: it is a voter of non-zero weight.
    #[must_use]
    pub fn is_eligible(&self, id: ServerId) -> bool {
        self.voters.get(&id).is_some_and(|voter| voter.weight > 0)
    }

    /// Whether these servers are a quorum. Servers that are not voters do not count.
    #[must_use]
    pub fn is_quorum(&self, supporters: &BTreeSet<ServerId>) -> bool {
        let supporters: BTreeMap<_, _> =
            self.voters.iter().filter(|(id, _)| supporters.contains(id)).map(|(id, it)| (*id, *it)).collect();
        match self.rule {
            Rule::Majority => supporters.len() > self.voters.len() / 2,
            Rule::Hierarchical => {
                let (groups, supporting) = (weights(&self.voters), weights(&supporters));
                let counting = groups.values().filter(|weight| **weight > 0).count();
                let won = supporting.iter().filter(|(group, weight)| **weight > groups[group] / 2).count();
                won > counting / 2
            }
        }
    }

    /// The size of the smallest quorum; 0 if all voters have weight 0, so that there is no quorum.
    #[must_use]
    pub fn smallest(&self) -> usize {
        // In each group the heaviest voters; and the groups that take the fewest voters.
        let groups: BTreeSet<i64> = self.voters.values().map(|it| it.group).collect();
        if self.rule == Rule::Majority {
            return self.voters.len() / 2 + 1;
        }
        let mut needed: Vec<usize> = groups.into_iter().filter_map(|group| self.smallest_in(group)).collect();
        needed.sort_unstable();
        let groups = needed.len() / 2 + 1;
        needed.into_iter().take(groups).sum()
    }

    /// The fewest voters with more than half of this group's weight; `None` if that is 0.
    fn smallest_in(&self, group: i64) -> Option<usize> {
        let mut weights: Vec<u64> =
            self.voters.values().filter(|it| it.group == group).map(|it| it.weight).collect();
        weights.sort_unstable_by(|a, b| b.cmp(a));
        let half = weights.iter().copied().map(u128::from).sum::<u128>() / 2;
        let mut won = 0;
        let needed = weights.iter().position(|weight| {
            won += u128::from(*weight);
            won > half
        });
        needed.map(|at| at + 1)
    }
}

/// The weight of each group. A sum of `u64` weights needs more bits.
fn weights(voters: &BTreeMap<ServerId, Voter>) -> BTreeMap<i64, u128> {
    let mut weights = BTreeMap::new();
    for voter in voters.values() {
        *weights.entry(voter.group).or_insert(0) += u128::from(voter.weight);
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[i64]) -> BTreeSet<ServerId> {
        ids.iter().copied().map(ServerId).collect()
    }

    #[test]
    fn a_majority_is_more_than_half_of_the_voters() {
        let quorum = Quorum::majority(ids(&[1, 2, 3, 4]));
        assert!(!quorum.is_quorum(&ids(&[])));
        assert!(!quorum.is_quorum(&ids(&[1, 4])));
        assert!(quorum.is_quorum(&ids(&[1, 3, 4])));
        // Servers without a vote do not count.
        assert!(!quorum.is_quorum(&ids(&[1, 3, 9])));
        assert_eq!(quorum.smallest(), 3);
        assert!(quorum.is_eligible(ServerId(4)) && !quorum.is_eligible(ServerId(9)));
    }

    #[test]
    fn a_hierarchical_quorum_is_a_majority_in_a_majority_of_the_groups() {
        let of = |group: i64| move |id: i64| (ServerId(id), group, 1);
        let quorum =
            Quorum::hierarchical((1..=3).map(of(1)).chain((4..=6).map(of(2))).chain((7..=9).map(of(3))));
        assert!(quorum.is_quorum(&ids(&[1, 2, 4, 5])));
        // Five of nine, but a majority in one group only.
        assert!(!quorum.is_quorum(&ids(&[1, 2, 3, 4, 7])));
        assert_eq!(quorum.smallest(), 4);
    }

    #[test]
    fn what_weighs_nothing_is_not_counted_and_cannot_lead() {
        let weighing = [(1, 1, 1), (2, 1, 1), (3, 1, 0), (4, 2, 0), (5, 2, 0)];
        let quorum = Quorum::hierarchical(weighing.map(|(id, group, weight)| (ServerId(id), group, weight)));
        assert!(quorum.is_quorum(&ids(&[1, 2])));
        assert!(!quorum.is_quorum(&ids(&[1, 3, 4, 5])));
        assert_eq!(quorum.smallest(), 2);
        assert!(quorum.is_voter(ServerId(3)) && !quorum.is_eligible(ServerId(3)));
    }

    #[test]
    fn the_heaviest_weights_are_added_up() {
        let quorum = Quorum::hierarchical([1, 2, 3].map(|id| (ServerId(id), 1, u64::MAX)));
        assert!(!quorum.is_quorum(&ids(&[3])) && quorum.is_quorum(&ids(&[1, 3])));
        assert_eq!(quorum.smallest(), 2);
        let nothing = Quorum::hierarchical([1, 2].map(|id| (ServerId(id), 1, 0)));
        assert!(!nothing.is_quorum(&ids(&[1, 2])));
        assert_eq!(nothing.smallest(), 0);
    }

    #[test]
    fn any_two_quorums_have_a_voter_in_common() {
        let weighing = [(1, 1, 3), (2, 1, 1), (3, 2, 1), (4, 2, 1), (5, 3, 2), (6, 3, 1), (7, 4, 0)];
        let quorum = Quorum::hierarchical(weighing.map(|(id, group, weight)| (ServerId(id), group, weight)));
        let sets: Vec<BTreeSet<ServerId>> = (0_u32..128)
            .map(|bits| (0..7).filter(|bit| bits & (1 << bit) != 0).map(|bit| ServerId(bit + 1)).collect())
            .filter(|set| quorum.is_quorum(set))
            .collect();
        assert!(sets.iter().all(|a| sets.iter().all(|b| !a.is_disjoint(b))));
        assert_eq!(sets.iter().map(BTreeSet::len).min(), Some(quorum.smallest()));
    }
}
