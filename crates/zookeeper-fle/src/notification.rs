//! The only message of the election.

use crate::vote::{Ballot, Round, ServerState, Vote};

/// A server's vote, as it sends it to the other voters whenever the vote changes, and as an answer.
///
/// It does not contain its sender: the receiver knows the sender from the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// The sender's state.
    pub state: ServerState,
    /// The sender's proposal while it is looking, later the vote that it has settled on.
    pub vote: Vote,
    /// The round of that vote.
    pub round: Round,
    /// The format of the message.
    pub format: Format,
}

/// The formats of a notification, each longer than the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// Without the epoch, which is taken from the zxid; 28 bytes. ZooKeeper 3.3.
    WithoutEpoch,
    /// With the epoch; 36 bytes. ZooKeeper 3.4.0 to 3.4.5. Later versions of ZooKeeper claim to read it, but
    /// drop it.
    WithEpoch,
    /// With the format number 1; 40 bytes. ZooKeeper 3.4.6 to 3.4.14.
    Numbered,
    /// With the format number 2 and the sender's configuration of the ensemble; 44 bytes and the text. ZooKeeper 3.5 and
    /// later.
    Configured(String),
}

impl Notification {
    /// The vote as a receiver records it.
    ///
    /// Of the format, it records only whether there is a configuration: ZooKeeper 3.8 reads a notification of 40 bytes as if
    /// it had no format number.
    #[must_use]
    pub fn ballot(&self) -> Ballot {
        let configured = matches!(self.format, Format::Configured(_));
        Ballot { vote: self.vote, round: self.round, state: self.state, configured }
    }

    /// The text of the configuration; `None` before ZooKeeper 3.5.
    #[must_use]
    pub fn config(&self) -> Option<&str> {
        match &self.format {
            Format::Configured(text) => Some(text),
            _ => None,
        }
    }
}
