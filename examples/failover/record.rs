//! What is on record of the leaderships, and the verdict on it.

use std::time::Duration;

use zookeeper_election::FencingToken;

/// A leadership as its contender has reported it.
#[derive(Clone, Debug)]
pub(crate) struct Leadership {
    pub(crate) who: String,
    pub(crate) token: FencingToken,
    /// When the contender had won it, by its own account.
    pub(crate) began: Duration,
    /// When the contender had stepped down, by its own account, or its process was found dead.
    pub(crate) ended: Option<Duration>,
    /// When the contender was sent SIGKILL.
    pub(crate) killed: Option<Duration>,
}

/// All leaderships, in the order in which they began.
#[derive(Debug, Default)]
pub(crate) struct Record(Vec<Leadership>);

impl Record {
    pub(crate) fn leaderships(&self) -> &[Leadership] {
        &self.0
    }

    pub(crate) fn began(&mut self, who: &str, token: FencingToken, at: Duration) {
        // Reports of different processes may arrive out of order.
        let place = self.0.partition_point(|it| it.began <= at);
        self.0.insert(place, Leadership { who: who.into(), token, began: at, ended: None, killed: None });
    }

    /// The contender leads no longer. Of two ends, its own word and that of its process, the first one counts.
    pub(crate) fn ended(&mut self, who: &str, at: Duration) {
        if let Some(last) = self.last_of(who) {
            last.ended = Some(last.ended.map_or(at, |ended| ended.min(at)));
        }
    }

    /// The contender was killed, and was dead a moment later.
    pub(crate) fn killed(&mut self, who: &str, at: Duration, dead: Duration) {
        if let Some(last) = self.last_of(who) {
            last.killed = Some(at);
        }
        self.ended(who, dead);
    }

    fn last_of(&mut self, who: &str) -> Option<&mut Leadership> {
        self.0.iter_mut().rfind(|it| it.who == who)
    }

    /// Each leadership that ended with a kill, and the one that followed.
    pub(crate) fn fail_overs(&self) -> impl Iterator<Item = (&Leadership, &Leadership)> {
        let pairs = self.0.iter().zip(self.0.iter().skip(1));
        pairs.filter(|(leader, _)| leader.killed.is_some())
    }

    /// Two leaderships at once, or a token that is not greater than the one before: what must never be.
    pub(crate) fn violation(&self) -> Option<String> {
        let pairs =
            self.0.iter().enumerate().flat_map(|(i, next)| self.0[..i].iter().map(move |it| (it, next)));
        for (earlier, later) in pairs {
            if earlier.ended.is_none_or(|ended| ended > later.began) {
                return Some(format!("{} began to lead before {} had ended", later.who, earlier.who));
            }
            if earlier.token >= later.token {
                let (old, new) = (earlier.token, later.token);
                return Some(format!("the token {new} of {} follows {old} of {}", later.who, earlier.who));
            }
        }
        None
    }
}
