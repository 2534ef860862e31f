//! What is said to a server: a fixed conversation, and others from a seed.

use fastrand::Rng;
use zookeeper_fle::{Epoch, Format, Notification, Round, ServerId, ServerState, Vote, Zxid};

use crate::lockstep::Lockstep;

use ServerState::{Following, Leading, Looking, Observing};

/// What scripts from seeds have come to.
#[derive(Debug, Default)]
pub(crate) struct DecisionCounts {
    /// Decisions to follow, because a quorum had settled.
    pub(crate) joined: usize,
    /// Decisions to follow, after a quorum and a silence.
    pub(crate) elected: usize,
}

impl Lockstep {
    /// A notification, its vote told by how it differs from the server's own first one.
    fn vote(&self, state: ServerState, epoch: i64, zxid: i64, leader: i64, round: i64) -> Notification {
        let vote = Vote {
            epoch: Epoch(self.history.epoch.0 + epoch),
            zxid: Zxid(self.history.zxid.0 + zxid),
            leader: ServerId(leader),
        };
        Notification { state, vote, round: Round(round), format: Format::Configured(self.config.clone()) }
    }

    async fn says(&mut self, from: i64, notification: Notification) {
        self.say(ServerId(from), &notification).await;
    }

    fn assert_proposal(&self, expected: &Notification) {
        assert_eq!(self.ours.proposal(), Some(expected.vote));
    }

    /// Each rule once. It begins in the first round.
    pub(crate) async fn fixed_script(&mut self) {
        let initial = self.vote(Looking, 0, 0, 1, 1);
        self.assert_proposal(&initial);
        // From an earlier round: it is told the own vote. A worse vote: nothing.
        self.says(2, self.vote(Looking, 5, 0, 2, 0)).await;
        self.says(2, self.vote(Looking, 0, -1, 5, 1)).await;
        self.assert_proposal(&initial);
        // Better by the server, by the zxid, by the epoch.
        for better in [(0, 0, 2), (0, 5, 1), (1, -3, 2)] {
            let better = self.vote(Looking, better.0, better.1, better.2, 1);
            self.says(2, better.clone()).await;
            self.assert_proposal(&better);
        }
        let best = self.vote(Looking, 1, -3, 2, 1);
        // Without a database; for a stranger; of a voter that calls itself an observer; of a stranger.
        let mut empty = self.vote(Looking, 5, 0, 3, 1);
        empty.vote.zxid = Zxid::UNINITIALISED;
        self.says(3, empty).await;
        self.says(3, self.vote(Looking, 5, 0, 77, 1)).await;
        self.says(3, self.vote(Observing, 5, 0, 3, 1)).await;
        self.say(self.stranger, &self.vote(Looking, 5, 0, 3, 9)).await;
        self.assert_proposal(&best);
        // A later round, with a worse vote and with a better one.
        self.says(4, self.vote(Looking, 0, -1, 4, 4)).await;
        self.assert_proposal(&initial);
        self.says(5, self.vote(Looking, 0, 1, 5, 6)).await;
        assert_eq!(self.ours.round(), Round(6));

        // Those who had settled in the round before count no more, unless they agree in the epoch too.
        self.says(3, self.vote(Following, 0, 0, 4, 6)).await;
        self.says(2, self.vote(Looking, 0, -1, 2, 7)).await;
        self.says(5, self.vote(Following, 1, 0, 4, 7)).await;
        self.says(4, self.vote(Leading, 1, 0, 4, 7)).await;
        assert!(self.decision.is_none());

        // A quorum that has settled in an earlier round, whose leader does not say so, or not of this epoch.
        for from in [3, 4, 5] {
            self.says(from, self.vote(Following, 0, 0, 2, 1)).await;
        }
        self.says(2, self.vote(Leading, 1, 0, 2, 1)).await;
        assert!(self.decision.is_none());
        self.says(2, self.vote(Leading, 0, 3, 2, 1)).await;
        let decision = self.decision.expect("a decision");
        assert_eq!((decision.vote.leader, decision.round), (ServerId(2), Round(1)));
        // Who has settled answers those who look, in whatever round.
        for (state, round) in [(Looking, 0), (Looking, 9), (Following, 9), (Leading, 1), (Observing, 1)] {
            self.says(5, self.vote(state, 3, 0, 5, round)).await;
        }
        self.be_answered(self.stranger).await;
        self.lose_the_leader().await;
        assert_eq!(self.ours.round(), Round(2));
        self.be_answered(self.stranger).await;

        // A quorum, and then a better vote that is none: both lose sight of the quorum until they repeat their votes.
        let better = self.vote(Looking, 0, 2, 3, 2);
        for nonsense in [
            self.vote(Looking, 5, 0, 77, 2),
            self.vote(Looking, 5, 0, 5, 1),
            self.vote(Observing, 5, 0, 5, 2),
        ] {
            let mut better = better.clone();
            better.round = self.ours.round();
            self.says(3, better.clone()).await;
            assert!(!self.ours.is_finalizing());
            self.say_all(ServerId(2), &[better.clone(), nonsense]).await;
            assert!(!self.ours.is_finalizing());
            assert!(self.fall_silent().await, "a repetition");
            assert_eq!(self.decision.map(|it| it.vote), Some(better.vote));
            self.lose_the_leader().await;
        }
        // A quorum, a worse vote, a better one.
        let round = self.ours.round().0;
        self.says(3, self.vote(Looking, 0, 2, 3, round)).await;
        let talk = [(2, 3), (1, 4), (4, 2)].map(|(zxid, leader)| self.vote(Looking, 0, zxid, leader, round));
        self.say_all(ServerId(2), &talk).await;
        self.assert_proposal(&talk[2]);
        self.says(3, talk[2].clone()).await;
        assert!(self.ours.is_finalizing());
        self.fall_silent().await;
        self.lose_the_leader().await;
    }

    /// A script from a seed.
    pub(crate) async fn random_script(&mut self, rng: &mut Rng, tally: &mut DecisionCounts) {
        for _ in 0..40 {
            let (from, notification) = self.anything(rng);
            let (decision, finalizing) = self.foresee(from, &notification);
            let leader = decision.map(|it| it.vote.leader);
            // Leading would last until the real server gives up waiting for followers: not here.
            if leader == Some(ServerId(1)) {
                continue;
            }
            if finalizing && leader.is_none() {
                let best = notification.vote.max(self.ours.proposal().expect("it looks"));
                if best.leader == ServerId(1) || rng.bool() {
                    continue;
                }
                self.say_all(from, &[notification]).await;
                self.fall_silent().await;
                tally.elected += 1;
            } else {
                self.say(from, &notification).await;
                tally.joined += usize::from(leader.is_some());
            }
            if self.decision.is_some() {
                for _ in 0..3 {
                    let (from, notification) = self.anything(rng);
                    self.say(from, &notification).await;
                }
                self.lose_the_leader().await;
            }
        }
    }

    /// Servers 2, 3 and 4 follow server 1: it believes it, and leads. There is no way back.
    pub(crate) async fn be_followed(&mut self) {
        let round = self.ours.round().0;
        for from in [2, 3, 4] {
            self.says(from, self.vote(Following, 0, 0, 1, round - 1)).await;
        }
        assert!(self.decision.is_none(), "in another round it knows better");
        for from in [2, 3, 4] {
            self.says(from, self.vote(Following, 0, 0, 1, round)).await;
        }
        assert_eq!(self.decision.map(|it| it.state), Some(Leading));
        self.says(5, self.vote(Looking, 0, 0, 5, round)).await;
        self.be_answered(self.stranger).await;
    }

    /// Anything that anybody may say. Often it fits to what has been said, so that quorums come about.
    fn anything(&self, rng: &mut Rng) -> (ServerId, Notification) {
        let stranger = rng.u32(..16) == 0;
        let from = if stranger { self.stranger } else { ServerId(rng.i64(2..=5)) };
        let state = match rng.u32(..16) {
            0..=7 => Looking,
            8..=11 => Following,
            12..=14 => Leading,
            _ => Observing,
        };
        let round = match rng.u32(..16) {
            0..=10 => 0,
            11..=13 => rng.i64(-2..0),
            _ => rng.i64(1..3),
        };
        let mut leader = if rng.u32(..16) == 0 { 77 } else { rng.i64(1..=5) };
        let (epoch, zxid) = match state {
            Looking | Observing => (rng.i64(-1..=1), rng.i64(-2..=2)),
            // Few leaderships, so that some agree.
            Following | Leading => (rng.i64(0..=1), rng.i64(0..=1)),
        };
        if state == Following {
            leader = leader.min(3);
        } else if state == Leading && rng.u32(..8) != 0 {
            leader = from.0;
        }
        let mut notification = self.vote(state, epoch, zxid, leader, self.ours.round().0 + round);
        if let Some(proposal) = self.ours.proposal()
            && rng.u32(..3) == 0
        {
            notification.vote = proposal;
        }
        if rng.u32(..16) == 0 {
            notification.vote.zxid = Zxid::UNINITIALISED;
        }
        if rng.u32(..4) == 0 || stranger {
            notification.format = Format::Numbered;
        }
        (from, notification)
    }
}
