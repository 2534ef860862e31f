//! The links between servers: they keep the order, stand still, and are cut.

use super::super::stage::{Happening, Stage};
use super::super::time::Instant;
use super::{Ensemble, Message, Role};

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Link {
    /// When the last message arrives.
    pub(super) last: Instant,
    pub(super) stalled_until: Instant,
    /// How many faults cut it.
    pub(super) cuts: u32,
    /// What was sent until then, and has not arrived, is lost.
    pub(super) lost_until: Option<Instant>,
}

impl Ensemble {
    /// Cuts what one server says to another: what is under way is lost, too.
    pub(in super::super) fn cut(&mut self, now: Instant, from: usize, to: usize) {
        let link = &mut self.links[from][to];
        link.cuts += 1;
        link.lost_until = Some(now);
    }

    /// Takes one cut back. Something was lost: the two have to begin anew.
    pub(in super::super) fn mend(&mut self, stage: &mut Stage, from: usize, to: usize) {
        self.links[from][to].cuts -= 1;
        for (leader, follower) in [(from, to), (to, from)] {
            if let Some(following) = self.servers[follower].following()
                && following.leader == leader
            {
                self.lose_leader(stage, follower);
            }
            if let Role::Leading(leading) = &mut self.servers[leader].role {
                leading.members[follower] = None;
            }
        }
    }

    /// Whether what one server says to another stands still.
    pub(in super::super) fn is_stalled(&self, now: Instant, from: usize, to: usize) -> bool {
        self.links[from][to].stalled_until > now
    }

    /// Lets what one server says to another stand still.
    pub(in super::super) fn stall(&mut self, from: usize, to: usize, until: Instant) {
        self.links[from][to].stalled_until = until;
    }

    pub(super) fn send(&mut self, stage: &mut Stage, from: usize, to: usize, message: Message) {
        let latency = stage.latency();
        let link = &mut self.links[from][to];
        if link.cuts == 0 {
            link.last = (stage.now.max(link.stalled_until) + latency).max(link.last);
            stage.agenda.enter(link.last, Happening::Between { from, to, sent: stage.now, message });
        }
    }
}
