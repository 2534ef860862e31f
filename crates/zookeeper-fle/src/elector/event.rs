//! The inputs and outputs of an [`Elector`](crate::Elector).

use std::time::Duration;

use crate::notification::Notification;
use crate::vote::{Epoch, Round, ServerId, ServerState, Vote, Zxid};

/// The part of a server's disk that decides how good its own vote is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct History {
    /// The epoch of the last leader that the server synchronised with.
    pub epoch: Epoch,
    /// The server's last transaction.
    pub zxid: Zxid,
}

/// An input of an [`Elector`](crate::Elector).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A server has sent a notification.
    Notification {
        /// The sender, known from its connection.
        from: ServerId,
        /// The message.
        notification: Notification,
    },
    /// The last message to this server could not be delivered and waits for a connection. A later message from that
    /// server implies delivery.
    Undelivered {
        /// The addressee.
        to: ServerId,
    },
    /// The time that [`Action::WaitUntil`] named has come. A tick that comes too early is ignored.
    Tick,
}

/// An output of an [`Elector`](crate::Elector), which the caller carries out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send this to every other server that has a vote. It replaces a message that still waits to be sent.
    Broadcast(Notification),
    /// Send this to one server. It replaces a message that still waits to be sent.
    Send {
        /// The addressee.
        to: ServerId,
        /// The message.
        notification: Notification,
    },
    /// No message could be delivered: connect to every other server that has a vote, and send the waiting messages.
    Connect,
    /// Send [`Event::Tick`] at this time. It replaces the time named before.
    WaitUntil(Duration),
    /// The election is over: the server takes the state of the decision. Send no more [`Event::Tick`].
    Decided(Decision),
}

/// The result of an election for one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Decision {
    /// The server's new state: leading, following or observing.
    pub state: ServerState,
    /// The vote that the server has settled on. Its zxid is the leader's at the time of the election.
    pub vote: Vote,
    /// The round of the decision. A server that joins settled servers takes over their round.
    pub round: Round,
}
