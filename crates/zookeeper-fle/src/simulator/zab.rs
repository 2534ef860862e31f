//! The stand-in for Zab, which follows an election: leaders and followers find each other, and notice when they lose each
//! other.

use std::collections::BTreeSet;

use crate::elector::History;
use crate::simulator::Simulation;
use crate::simulator::server::ZabState;
use crate::simulator::trace::EventKind;
use crate::vote::{Epoch, ServerId, ServerState, Zxid};

impl Simulation {
    /// Checks all settled servers. Returns whether another tick is needed: if not, all are established and synchronised.
    pub(super) fn zab_tick(&mut self) -> bool {
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

    /// Checks whether a follower reaches its leader. Returns whether it is synchronised.
    fn follow(&mut self, id: ServerId) -> bool {
        let Some(zab_state) = &self.servers[&id].zab_state else { return true };
        let (leader, own) = (zab_state.leader, zab_state.leadership);
        let led = self.servers[&leader].zab_state.as_ref().filter(|it| it.leader == leader);
        let led =
            led.filter(|it| self.reach_each_other(id, leader) && (own.is_none() || own == it.leadership));
        let Some((leadership, epoch)) = led.map(|it| (it.leadership, it.epoch)) else {
            if self.is_out_of_contact(id, self.zab_timeouts.sync_limit) {
                self.record(id, EventKind::LeaderLost { leader });
                self.look(id);
            }
            return false;
        };
        let now = self.now;
        let synchronised = self.servers[&id].established();
        if let Some(zab_state) = self.zab_state(id) {
            (zab_state.last_contact, zab_state.leadership) = (now, leadership);
        }
        if let (Some(epoch), None) = (epoch, synchronised) {
            self.synchronise(id, self.servers[&leader].history, epoch);
        }
        epoch.is_some()
    }

    /// Checks whether a leader has a quorum of followers. Returns whether it is established.
    fn lead(&mut self, id: ServerId) -> bool {
        let followers = self.followers(id);
        let with_leader: BTreeSet<ServerId> = followers.iter().copied().chain([id]).collect();
        let established = self.servers[&id].established();
        if !self.quorum.is_quorum(&with_leader) {
            let limit = if established.is_some() {
                self.zab_timeouts.sync_limit
            } else {
                self.zab_timeouts.init_limit
            };
            if self.is_out_of_contact(id, limit) {
                self.record(id, EventKind::FollowersLost);
                self.look(id);
            }
            return false;
        }
        let now = self.now;
        if let Some(zab_state) = self.zab_state(id) {
            zab_state.last_contact = now;
        }
        if established.is_none() {
            self.establish(id, &followers);
        }
        self.servers[&id].established().is_some()
    }

    /// Gives a leader with a quorum of followers an epoch that none of them has seen, unless too many of them have a better
    /// history.
    fn establish(&mut self, id: ServerId, followers: &BTreeSet<ServerId>) {
        let own = self.servers[&id].history;
        let (ahead, accepting): (BTreeSet<ServerId>, BTreeSet<ServerId>) =
            followers.iter().partition(|it| self.servers[*it].history > own);
        if !self.quorum.is_quorum(&accepting.into_iter().chain([id]).collect()) {
            let by = ahead.first().copied().unwrap_or(id);
            self.record(id, EventKind::Refused { by });
            self.look(id);
            return;
        }
        let epochs = followers.iter().map(|it| self.servers[it].history.epoch).chain([own.epoch]);
        let epoch = Epoch(epochs.max().map_or(0, |it| it.0) + 1);
        let history = History { epoch, ..own };
        self.record(id, EventKind::Established { epoch });
        self.store(id, history, epoch);
        for follower in followers {
            self.synchronise(*follower, history, epoch);
        }
    }

    fn synchronise(&mut self, id: ServerId, history: History, epoch: Epoch) {
        self.record(id, EventKind::Synchronised { history });
        self.store(id, history, epoch);
    }

    fn store(&mut self, id: ServerId, history: History, epoch: Epoch) {
        if let Some(server) = self.servers.get_mut(&id) {
            server.history = history;
            if let Some(elector) = &mut server.elector {
                elector.established(epoch);
            }
            if let Some(zab_state) = &mut server.zab_state {
                zab_state.epoch = Some(epoch);
            }
        }
    }

    /// Adds this many transactions to the histories of the established leader and its synchronised followers. Returns the
    /// zxid of the last one; `None` if no leader has a quorum.
    ///
    /// It is atomic, like every step of the stand-in for Zab.
    pub fn write(&mut self, transactions: u32) -> Option<Zxid> {
        let leaders = self.servers.iter().filter(|(_, it)| it.state() == Some(ServerState::Leading));
        let leaders = leaders.filter_map(|(id, it)| it.established().map(|epoch| (epoch, *id)));
        let quorate = |id: ServerId| {
            let with_leader: BTreeSet<ServerId> = self.synchronised(id).into_iter().chain([id]).collect();
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

    /// The followers of this leadership that the leader reaches.
    fn followers(&self, leader: ServerId) -> BTreeSet<ServerId> {
        let leadership = self.servers[&leader].zab_state.as_ref().and_then(|it| it.leadership);
        let follows = |id: ServerId| {
            let zab_state = self.servers[&id].zab_state.as_ref();
            zab_state.is_some_and(|it| it.leader == leader && it.leadership == leadership)
        };
        let others = self.servers.keys().copied().filter(|id| *id != leader);
        others.filter(|id| follows(*id) && self.reach_each_other(*id, leader)).collect()
    }

    /// The followers that are synchronised with the leader.
    fn synchronised(&self, leader: ServerId) -> BTreeSet<ServerId> {
        self.followers(leader).into_iter().filter(|id| self.servers[id].established().is_some()).collect()
    }

    fn is_out_of_contact(&self, id: ServerId, ticks: u32) -> bool {
        let contact = self.servers[&id].zab_state.as_ref().map(|it| it.last_contact);
        let limit = self.zab_timeouts.tick.saturating_mul(ticks);
        contact.is_some_and(|contact| self.now >= contact.saturating_add(limit))
    }

    fn zab_state(&mut self, id: ServerId) -> Option<&mut ZabState> {
        self.servers.get_mut(&id).and_then(|it| it.zab_state.as_mut())
    }
}
