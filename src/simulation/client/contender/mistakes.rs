//! Mistakes of contenders, where a [`Mutation`] asks for them.

use super::super::requests::Outcome;
use super::{Contender, Surroundings};
use crate::machine::{Reply, Request, naming};
use crate::simulation::mutation::Mutation;
use crate::types::FencingToken;

impl Contender {
    /// Answers without asking anybody, where that is the mistake to be made.
    pub(super) fn guess(&mut self, around: &Surroundings<'_>, request: &Request) -> Option<Outcome> {
        match request {
            Request::List if self.departed && around.desk.errs(Mutation::LeadsWithoutLooking) => {
                Some(Outcome::Reply(Reply::Listed(Ok(self.created.iter().cloned().collect()))))
            }
            _ => None,
        }
    }

    /// Takes an answer for another.
    pub(super) fn misread(&self, around: &Surroundings<'_>, reply: Reply) -> Reply {
        match reply {
            Reply::Listed(Ok(names)) if around.desk.errs(Mutation::WatchesTheFirst) => {
                let own = self.created.as_deref().unwrap_or_default();
                let first = naming::lowest(&self.contest.plan.prefix, &names).unwrap_or_default().to_owned();
                Reply::Listed(Ok(names.into_iter().filter(|name| *name == own || *name == first).collect()))
            }
            reply => reply,
        }
    }

    /// The token of a leadership, counted by itself.
    pub(super) fn misnumber(&mut self, around: &Surroundings<'_>) -> Option<FencingToken> {
        self.leaderships += 1;
        around.desk.errs(Mutation::OwnNumbers).then(|| FencingToken::from_zxid(self.leaderships))
    }
}
