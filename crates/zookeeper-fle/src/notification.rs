//! The one message of the election.

use crate::vote::{Ballot, Round, ServerState, Vote};

/// A notification: what a server tells the others whenever its vote changes, and whoever asks.
///
/// It does not name its sender, who is known by the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// What the sender does.
    pub state: ServerState,
    /// Its vote: while it looks for a leader its proposal, later the vote that it has settled on.
    pub vote: Vote,
    /// The round of that vote.
    pub round: Round,
    /// How much the message says besides.
    pub format: Format,
}

/// The forms of a notification, each longer than the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// Without the epoch, which is taken from the zxid; 28 bytes. ZooKeeper 3.3.
    WithoutEpoch,
    /// With the epoch; 36 bytes. ZooKeeper 3.4.0 to 3.4.5. Later versions of ZooKeeper announce that they understand it,
    /// and drop it.
    WithEpoch,
    /// With the number of the format, 1; 40 bytes. ZooKeeper 3.4.6 to 3.4.14.
    Numbered,
    /// With format 2 and the configuration of the ensemble as the sender knows it; 44 bytes and the text. ZooKeeper 3.5
    /// and later.
    Configured(String),
}

impl Notification {
    /// What a server that receives it records.
    ///
    /// Formats are told apart by their configuration alone: ZooKeeper 3.8 takes a notification of 40 bytes for one without
    /// a number, too.
    #[must_use]
    pub fn ballot(&self) -> Ballot {
        let configured = matches!(self.format, Format::Configured(_));
        Ballot { vote: self.vote, round: self.round, state: self.state, configured }
    }

    /// The configuration text, of those who send one.
    #[must_use]
    pub fn config(&self) -> Option<&str> {
        match &self.format {
            Format::Configured(text) => Some(text),
            _ => None,
        }
    }
}
