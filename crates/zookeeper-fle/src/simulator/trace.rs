//! The trace of a simulation: everything that happened, in order.

use std::fmt;
use std::time::Duration;

use crate::elector::{Decision, History};
use crate::notification::Notification;
use crate::vote::{Epoch, Round, ServerId, Vote};

/// An entry of the trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceEvent {
    /// The time since the beginning of the simulation.
    pub at: Duration,
    /// The server that it happened to.
    pub server: ServerId,
    /// The kind of event, with its details.
    pub kind: EventKind,
}

/// What can happen to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// The server starts, with this history on its disk.
    Started(History),
    /// The server crashes. It keeps its history, and loses its round and its votes.
    Crashed,
    /// The server begins to look for a leader, in a new round.
    RoundStarted {
        /// The round.
        round: Round,
        /// Its initial vote: for itself, or [`Vote::NONE`] if it is an observer.
        vote: Vote,
    },
    /// The server sends its vote to all other voters: at the start of a round, when its proposal or its round has changed,
    /// or because no message has come for a while.
    Broadcast(Notification),
    /// The server answers one server.
    Replied {
        /// The addressee.
        to: ServerId,
        /// The answer.
        notification: Notification,
    },
    /// The server could deliver its last message to no server, and connects to the others.
    Connecting,
    /// A message of the server is lost, and the connection with it.
    MessageLost {
        /// The addressee.
        to: ServerId,
    },
    /// The server receives a notification.
    Received {
        /// The sender.
        from: ServerId,
        /// The message.
        notification: Notification,
        /// Its effect on the receiver.
        effect: Effect,
    },
    /// The server settles on a leader.
    Decided {
        /// The leader, and the server's new state.
        decision: Decision,
        /// The reason.
        reason: Reason,
    },
    /// The server leads, and a quorum is synchronised with it in this epoch. (Stand-in for Zab.)
    Established {
        /// The epoch, which the server and its followers have stored.
        epoch: Epoch,
    },
    /// The server follows an established leader and has taken over its history. (Stand-in for Zab.)
    Synchronised {
        /// The history.
        history: History,
    },
    /// The server was elected, but has no quorum without the followers that have a better history. So it does not lead.
    /// (Stand-in for Zab.)
    Refused {
        /// One of those followers.
        by: ServerId,
    },
    /// The server's leader was unreachable, or did not lead, until the time-out. (Stand-in for Zab.)
    LeaderLost {
        /// The leader.
        leader: ServerId,
    },
    /// The server leads, and no quorum followed it until the time-out. (Stand-in for Zab.)
    FollowersLost,
}

/// The effect of a notification on its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Effect {
    /// The vote is of the same round and better than the receiver's proposal. It becomes the proposal.
    Adopted,
    /// The vote is not better than the receiver's proposal. It is recorded.
    NotBetter,
    /// The vote is of a later round. The receiver enters that round, drops the votes of its own round, and proposes the
    /// better of this vote and its initial one.
    LaterRound,
    /// The vote is of an earlier round. It is only answered.
    EarlierRound,
    /// The receiver already has a quorum and waits for a better vote, which this is not. The vote is not recorded, and
    /// the wait starts again.
    TooLate,
    /// The sender has settled on a leader. The vote is recorded.
    Recorded,
    /// The sender has settled on a leader, so has a quorum, and the leader leads. The receiver joins them.
    Joined,
    /// The receiver has settled on a leader, and answers a sender that is looking.
    Replied,
    /// None. The receiver has settled, and the sender is not looking; or the sender, or the server voted for, is not a
    /// voter or has no database.
    Ignored,
}

/// The reason for a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// A quorum agreed with the server's proposal in its round, and no better vote came within the wait.
    Votes,
    /// A quorum had settled on a leader, which leads.
    Joining,
}

/// In a line, without the time: `3: receives from 1 LOOKING (1, 0x0, 0x0) in round 1: not better`.
impl fmt::Display for TraceEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.server, self.kind)
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started(History { epoch, zxid }) => write!(f, "starts at epoch {epoch}, zxid {zxid}"),
            Self::Crashed => f.write_str("crashes"),
            Self::RoundStarted { round, vote } => write!(f, "starts round {round} with {vote}"),
            Self::Broadcast(notification) => write!(f, "broadcasts {}", Brief(notification)),
            Self::Replied { to, notification } => write!(f, "replies to {to} {}", Brief(notification)),
            Self::Connecting => f.write_str("connects"),
            Self::MessageLost { to } => write!(f, "loses the message to {to}"),
            Self::Received { from, notification, effect } => {
                write!(f, "receives from {from} {}: {effect}", Brief(notification))
            }
            Self::Decided { decision: Decision { state, vote, round }, reason } => {
                write!(f, "is {state} {reason}, {vote} in round {round}")
            }
            Self::Established { epoch } => write!(f, "is established in epoch {epoch}"),
            Self::Synchronised { history: History { epoch, zxid } } => {
                write!(f, "is synchronised at epoch {epoch}, zxid {zxid}")
            }
            Self::Refused { by } => write!(f, "is refused by {by}"),
            Self::LeaderLost { leader } => write!(f, "has lost its leader {leader}"),
            Self::FollowersLost => f.write_str("has lost its followers"),
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Adopted => "adopted",
            Self::NotBetter => "not better",
            Self::LaterRound => "later round",
            Self::EarlierRound => "earlier round",
            Self::TooLate => "too late",
            Self::Recorded => "recorded",
            Self::Joined => "joined",
            Self::Replied => "replied",
            Self::Ignored => "ignored",
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Votes => "by votes",
            Self::Joining => "by joining",
        })
    }
}

/// Prints a notification without its format.
struct Brief<'a>(&'a Notification);

impl fmt::Display for Brief<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Notification { state, vote, round, .. } = self.0;
        write!(f, "{state} {vote} in round {round}")
    }
}
