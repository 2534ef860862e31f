//! The stand-in for what comes after an election, Zab: how leaders get hold of their followers and how both notice
//! that they have lost each other.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::election::History;
use super::super::vote::{Epoch, ServerId, ServerState, Zxid};
use super::Simulation;
use super::happening::What;
use super::server::Tenure;

/// How patient the servers are with each other once they have settled on a leader. As in `zoo.cfg`, but quicker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zab {
    /// How often a leader and its followers look for each other (`tickTime`), never 0. Default: 50 ms.
    pub tick: Duration,
    /// For how many of these ticks an elected leader waits for a quorum (`initLimit`). Default: 20, which is a
    /// second.
    pub init_limit: u32,
    /// For how many of these ticks an established leader does without a quorum, and a follower without its leader
    /// (`syncLimit`). Default: 10, which is half a second.
    pub sync_limit: u32,
}

impl Default for Zab {
    fn default() -> Self {
        Self { tick: Duration::from_millis(50), init_limit: 20, sync_limit: 10 }
    }
}

impl Zab {
    pub(super) fn assert_sound(&self) {
        assert!(!self.tick.is_zero(), "Zab::tick is zero: write a time that passes, such as 50 ms");
    }
}

impl Simulation {
    /// Lets those who have settled look for each other, and says whether that has to be repeated: if not, nothing
    /// changes before something else happens.
    pub(super) fn pulse(&mut self) -> bool {
        let settled = self.servers.iter().filter_map(|(id, it)| it.leader().map(|leader| (*id, leader)));
        let (leaders, followers): (Vec<_>, Vec<_>) = settled.partition(|(id, leader)| id == leader);
        let mut at_rest = true;
        for (id, _) in followers {
            at_rest &= self.follow(id);
        }
        for (id, _) in leaders {
            at_rest &= self.lead(id);
        }
        !at_rest
    }

    /// A follower looks for its leader. Says whether all is well.
    fn follow(&mut self, id: ServerId) -> bool {
        let Some(tenure) = &self.servers[&id].tenure else { return true };
        let (leader, own) = (tenure.leader, tenure.leadership);
        let led = self.servers[&leader].tenure.as_ref().filter(|it| it.leader == leader);
        let led =
            led.filter(|it| self.hear_each_other(id, leader) && (own.is_none() || own == it.leadership));
        let Some((leadership, epoch)) = led.map(|it| (it.leadership, it.epoch)) else {
            if self.is_patience_at_an_end(id, self.zab.sync_limit) {
                self.happens(id, What::LeaderLost { leader });
                self.look(id);
            }
            return false;
        };
        let now = self.now;
        let in_step = self.servers[&id].established();
        if let Some(tenure) = self.tenure(id) {
            (tenure.contact, tenure.leadership) = (now, leadership);
        }
        if let (Some(epoch), None) = (epoch, in_step) {
            self.bring_in_step(id, self.servers[&leader].history, epoch);
        }
        epoch.is_some()
    }

    /// A leader looks for a quorum of followers. Says whether all is well.
    fn lead(&mut self, id: ServerId) -> bool {
        let followers = self.followers(id);
        let with_leader: BTreeSet<ServerId> = followers.iter().copied().chain([id]).collect();
        let established = self.servers[&id].established();
        if !self.quorum.is_quorum(&with_leader) {
            let limit = if established.is_some() { self.zab.sync_limit } else { self.zab.init_limit };
            if self.is_patience_at_an_end(id, limit) {
                self.happens(id, What::FollowersLost);
                self.look(id);
            }
            return false;
        }
        let now = self.now;
        if let Some(tenure) = self.tenure(id) {
            tenure.contact = now;
        }
        if established.is_none() {
            self.establish(id, &followers);
        }
        self.servers[&id].established().is_some()
    }

    /// A leader that a quorum follows gets an epoch that none of them has seen, if a quorum has no better history.
    fn establish(&mut self, id: ServerId, followers: &BTreeSet<ServerId>) {
        let own = self.servers[&id].history;
        let (ahead, accepting): (BTreeSet<ServerId>, BTreeSet<ServerId>) =
            followers.iter().partition(|it| self.servers[*it].history > own);
        if !self.quorum.is_quorum(&accepting.into_iter().chain([id]).collect()) {
            let by = ahead.first().copied().unwrap_or(id);
            self.happens(id, What::Refused { by });
            self.look(id);
            return;
        }
        let epochs = followers.iter().map(|it| self.servers[it].history.epoch).chain([own.epoch]);
        let epoch = Epoch(epochs.max().map_or(0, |it| it.0) + 1);
        let history = History { epoch, ..own };
        self.happens(id, What::Established { epoch });
        self.store(id, history, epoch);
        for follower in followers {
            self.bring_in_step(*follower, history, epoch);
        }
    }

    fn bring_in_step(&mut self, id: ServerId, history: History, epoch: Epoch) {
        self.happens(id, What::InStep { history });
        self.store(id, history, epoch);
    }

    fn store(&mut self, id: ServerId, history: History, epoch: Epoch) {
        if let Some(server) = self.servers.get_mut(&id) {
            server.history = history;
            if let Some(elector) = &mut server.elector {
                elector.established(epoch);
            }
            if let Some(tenure) = &mut server.tenure {
                tenure.epoch = Some(epoch);
            }
        }
    }

    /// Adds this many transactions to the histories of a leader and all who follow it. Says the zxid of the last one;
    /// `None` if no leader has a quorum.
    ///
    /// Like everything of [`Zab`]'s stand-in it happens at once, between two messages.
    pub fn write(&mut self, transactions: u32) -> Option<Zxid> {
        let leaders = self.servers.iter().filter(|(_, it)| it.state() == Some(ServerState::Leading));
        let leaders = leaders.filter_map(|(id, it)| it.established().map(|epoch| (epoch, *id)));
        let quorate = |id: ServerId| {
            let with_leader: BTreeSet<ServerId> = self.in_step(id).into_iter().chain([id]).collect();
            self.quorum.is_quorum(&with_leader).then_some(with_leader)
        };
        let (epoch, id, all) = leaders
            .filter_map(|(epoch, id)| quorate(id).map(|all| (epoch, id, all)))
            .max_by_key(|(epoch, ..)| *epoch)?;
        let first = self.servers[&id].history.zxid.max(epoch.first_zxid());
        let zxid = Zxid(first.0 + i64::from(transactions));
        for id in all {
            self.store(id, History { epoch, zxid }, epoch);
        }
        Some(zxid)
    }

    /// Who follows this leadership, and can be reached.
    fn followers(&self, leader: ServerId) -> BTreeSet<ServerId> {
        let leadership = self.servers[&leader].tenure.as_ref().and_then(|it| it.leadership);
        let follows = |id: ServerId| {
            let tenure = self.servers[&id].tenure.as_ref();
            tenure.is_some_and(|it| it.leader == leader && it.leadership == leadership)
        };
        let others = self.servers.keys().copied().filter(|id| *id != leader);
        others.filter(|id| follows(*id) && self.hear_each_other(*id, leader)).collect()
    }

    /// Those of them that have its history.
    fn in_step(&self, leader: ServerId) -> BTreeSet<ServerId> {
        self.followers(leader).into_iter().filter(|id| self.servers[id].established().is_some()).collect()
    }

    fn is_patience_at_an_end(&self, id: ServerId, ticks: u32) -> bool {
        let contact = self.servers[&id].tenure.as_ref().map(|it| it.contact);
        let patience = self.zab.tick.saturating_mul(ticks);
        contact.is_some_and(|contact| self.now >= contact.saturating_add(patience))
    }

    fn tenure(&mut self, id: ServerId) -> Option<&mut Tenure> {
        self.servers.get_mut(&id).and_then(|it| it.tenure.as_mut())
    }
}
