//! The election of the leader server: among a majority of servers with open links, the one with the newest log wins.

use super::Ensemble;
use super::role::{Following, Leading, Member, Role};
use super::tracker::SessionTracker;
use crate::simulation::settings::{MAJORITY, OPERATOR, SERVERS};
use crate::simulation::world::{World, trace};

impl Ensemble {
    /// Looks for a leader server to join, or elects one.
    pub(super) fn look(&mut self, world: &mut World, server: usize) {
        let near: Vec<usize> = (0..SERVERS)
            .filter(|other| *other == server || self.talk(world, server, *other))
            .filter(|other| self.servers[*other].running && !self.servers[*other].sockets.is_paused())
            .collect();
        if let Some(leader) = near.iter().find(|other| self.servers[**other].leads_majority()) {
            return self.join(world, *leader, server);
        }
        let looking: Vec<usize> =
            near.into_iter().filter(|other| matches!(self.servers[*other].role, Role::Looking)).collect();
        // The winner is the same for each pair, so the others need open links to the winner only.
        let best = looking.iter().copied().max_by_key(|other| self.servers[*other].knowledge());
        let Some(leader) = best.filter(|_| looking.len() >= MAJORITY) else {
            return;
        };
        self.lead(world, leader);
        for follower in looking {
            if follower != leader && self.talk(world, leader, follower) {
                self.join(world, leader, follower);
            }
        }
    }

    /// Whether two servers can talk to each other.
    fn talk(&self, world: &World, one: usize, other: usize) -> bool {
        one != other && self.links.are_open(world.now, one, other)
    }

    /// Makes a server the leader server. Its whole log is committed, whether or not clients have had the replies. Each
    /// session has the whole timeout of its creation again.
    fn lead(&mut self, world: &mut World, leader: usize) {
        trace!(world, "server {leader} leads");
        let epoch = 1 + self.servers.iter().map(|server| server.epoch).max().unwrap_or(0);
        self.servers[leader].epoch = epoch;
        let length = self.servers[leader].log.len();
        self.apply(world, leader, length);
        let tick = Some(world.settings.tick).filter(|_| !world.settings.expires_exactly);
        let mut tracker = SessionTracker::new(tick, world.settings.longest_closing);
        let sessions = self.servers[leader].replica.alive().filter(|(it, _)| *it != OPERATOR);
        sessions.for_each(|(session, timeout)| tracker.track(session, timeout, None, world.now));
        self.servers[leader].role = Role::Leading(Leading::new(tracker));
        self.read_clients(world, leader);
    }

    /// Brings a server up to date, and makes it a follower.
    fn join(&mut self, world: &mut World, leader: usize, follower: usize) {
        trace!(world, "server {follower} follows {leader}");
        self.terms += 1;
        let (term, heard) = (self.terms, world.now);
        let (epoch, log) = (self.servers[leader].epoch, self.servers[leader].log.clone());
        let (applied, acked) = (self.servers[leader].applied, log.len());
        let replica = self.servers[leader].replica.without_clients();
        let this = &mut self.servers[follower];
        (this.epoch, this.log, this.applied, this.replica) = (epoch, log, applied, replica);
        this.role = Role::Following(Following { leader, term, heard });
        if let Role::Leading(leading) = &mut self.servers[leader].role {
            leading.members[follower] = Some(Member { term, heard, acked });
        }
        self.commit(world, leader);
    }
}
