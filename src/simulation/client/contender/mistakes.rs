//! Mistakes of contenders, where a [`Mistake`] asks for them.

use super::super::requests::FakeOutcome;
use super::{Env, FakeContender};
use crate::machine::{Reply, Request, naming};
use crate::simulation::mistakes::Mistake;
use crate::types::FencingToken;

impl FakeContender {
    /// Answers without asking anybody, where that is the mistake to be made.
    pub(super) fn guess(&mut self, env: &Env<'_>, request: &Request) -> Option<FakeOutcome> {
        match request {
            Request::List if self.departed && env.client.makes(Mistake::LeadsWithoutLooking) => {
                Some(FakeOutcome::Reply(Reply::Listed(Ok(self.created.iter().cloned().collect()))))
            }
            _ => None,
        }
    }

    /// Takes an answer for another.
    pub(super) fn misread(&self, env: &Env<'_>, reply: Reply) -> Reply {
        match reply {
            Reply::Listed(Ok(names)) if env.client.makes(Mistake::WatchesTheFirst) => {
                let own = self.created.as_deref().unwrap_or_default();
                let first = naming::lowest(&self.contest.plan.prefix, &names).unwrap_or_default().to_owned();
                Reply::Listed(Ok(names.into_iter().filter(|name| *name == own || *name == first).collect()))
            }
            reply => reply,
        }
    }

    /// The token of a leadership, counted by itself.
    pub(super) fn misnumber(&mut self, env: &Env<'_>) -> Option<FencingToken> {
        self.leaderships += 1;
        env.client.makes(Mistake::OwnNumbers).then(|| FencingToken::from_zxid(self.leaderships))
    }
}
