//! The constant properties of the server that an elector votes for.

use crate::elector::event::Decision;
use crate::notification::{Format, Notification};
use crate::quorum::Quorum;
use crate::vote::{Round, ServerId, ServerState, Vote};

/// The server's id, its ensemble, and the format of its notifications.
#[derive(Clone, Debug)]
pub(super) struct LocalServer {
    pub(super) id: ServerId,
    pub(super) quorum: Quorum,
    pub(super) format: Format,
}

impl LocalServer {
    /// A notification from this server.
    pub(super) fn notification(&self, state: ServerState, vote: Vote, round: Round) -> Notification {
        Notification { state, vote, round, format: self.format.clone() }
    }

    /// The decision that follows when this server settles on this vote.
    pub(super) fn decision(&self, vote: Vote, round: Round) -> Decision {
        let state = if vote.leader == self.id {
            ServerState::Leading
        } else if self.quorum.is_voter(self.id) {
            ServerState::Following
        } else {
            ServerState::Observing
        };
        Decision { state, vote, round }
    }
}
