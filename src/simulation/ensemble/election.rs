//! How servers find a leader: one of a majority that talk to each other, the one that knows most.

use super::super::settings::SERVERS;
use super::super::stage::{Stage, note};
use super::leader::{Leading, Member};
use super::tracker::Tracker;
use super::{Ensemble, Following, Role, majority};

impl Ensemble {
    /// A server without a leader looks for one.
    pub(super) fn look(&mut self, stage: &mut Stage, server: usize) {
        let near: Vec<usize> = (0..SERVERS)
            .filter(|other| *other == server || self.talk(stage, server, *other))
            .filter(|other| self.servers[*other].running && !self.servers[*other].sockets.stands_still())
            .collect();
        if let Some(leader) = near.iter().find(|other| self.servers[**other].leads_majority()) {
            return self.join(stage, *leader, server);
        }
        let looking: Vec<usize> =
            near.into_iter().filter(|other| matches!(self.servers[*other].role, Role::Looking)).collect();
        // Whoever knows most is the same for each pair of them; the others have to talk to that one only.
        let best = looking.iter().copied().max_by_key(|other| self.servers[*other].knowledge());
        let Some(leader) = best.filter(|_| looking.len() >= majority()) else {
            return;
        };
        self.lead(stage, leader);
        for follower in looking {
            if follower != leader && self.talk(stage, leader, follower) {
                self.join(stage, leader, follower);
            }
        }
    }

    /// Whether two servers can talk to each other.
    fn talk(&self, stage: &Stage, one: usize, other: usize) -> bool {
        one != other
            && [self.links[one][other], self.links[other][one]]
                .iter()
                .all(|link| link.cuts == 0 && link.stalled_until <= stage.now)
    }

    /// Makes a server the leader: whatever it has in its log is committed, which may or may not have been
    /// promised to clients, and each session has the whole timeout again that it was created with.
    fn lead(&mut self, stage: &mut Stage, leader: usize) {
        note!(stage, "server {leader} leads");
        let epoch = 1 + self.servers.iter().map(|server| server.epoch).max().unwrap_or(0);
        self.servers[leader].epoch = epoch;
        let length = self.servers[leader].log.len();
        self.apply(stage, leader, length);
        let tick = Some(stage.settings.tick).filter(|_| !stage.settings.expires_exactly);
        let mut tracker = Tracker::new(tick, stage.settings.longest_closing);
        let sessions = self.servers[leader].replica.alive().filter(|(it, _)| *it != super::OPERATOR);
        sessions.for_each(|(session, timeout)| tracker.track(session, timeout, None, stage.now));
        self.servers[leader].role = Role::Leading(Leading::new(tracker));
        self.attend(stage, leader);
    }

    /// Brings a server up to date, and makes it a follower.
    fn join(&mut self, stage: &mut Stage, leader: usize, follower: usize) {
        note!(stage, "server {follower} follows {leader}");
        self.terms += 1;
        let (term, heard) = (self.terms, stage.now);
        let (epoch, log) = (self.servers[leader].epoch, self.servers[leader].log.clone());
        let (applied, acked) = (self.servers[leader].applied, log.len());
        let replica = self.servers[leader].replica.without_clients();
        let this = &mut self.servers[follower];
        (this.epoch, this.log, this.applied, this.replica) = (epoch, log, applied, replica);
        this.role = Role::Following(Following { leader, term, heard });
        if let Role::Leading(leading) = &mut self.servers[leader].role {
            leading.members[follower] = Some(Member { term, heard, acked });
        }
        self.commit(stage, leader);
    }
}
