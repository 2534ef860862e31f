//! What an application was told is true: after `Ok` from `resign` or `withdraw` the contender's znode is gone, and after `Ok`
//! from `close` all znodes of the session are.

use zookeeper_embedded::replica::Replica;

use crate::path::join;
use crate::simulation::settings::path_of;
use crate::types::{FencingToken, Mode, SessionId};

#[derive(Debug, Default)]
pub(in crate::simulation) struct Claims {
    elections: Vec<Mode>,
    fresh: Vec<Claim>,
}

#[derive(Debug)]
enum Claim {
    Removed(String, FencingToken),
    Closed(SessionId),
}

impl Claims {
    pub(super) fn new(elections: &[Mode]) -> Self {
        Self { elections: elections.to_vec(), fresh: Vec::new() }
    }

    /// A contender's znode is said to be gone.
    pub(in crate::simulation) fn removed(&mut self, path: String, token: FencingToken) {
        self.fresh.push(Claim::Removed(path, token));
    }

    /// A session is said to have left no znode of a contender.
    pub(in crate::simulation) fn closed(&mut self, session: SessionId) {
        self.fresh.push(Claim::Closed(session));
    }

    /// Checks what was said since the last time.
    pub(super) fn check(&mut self, truth: &Replica) -> Result<(), String> {
        for claim in self.fresh.drain(..) {
            match claim {
                Claim::Removed(path, token) => {
                    if truth.stat(&path).is_some_and(|stat| stat.czxid == token.zxid()) {
                        return Err(format!("{path} with {token} was said to be removed"));
                    }
                }
                Claim::Closed(session) => {
                    for (election, mode) in self.elections.iter().enumerate() {
                        let path = path_of(election, *mode);
                        let children = truth.children(&path).into_iter().map(|name| join(&path, &name));
                        let left = children.chain([path.clone()]).find(|path| {
                            truth.stat(path).is_some_and(|stat| stat.ephemeral_owner == session.raw())
                        });
                        if let Some(left) = left {
                            return Err(format!(
                                "session {session} was said to be closed, and {left} stands"
                            ));
                        }
                    }
                }
            }
        }
        Ok(())
    }
}
