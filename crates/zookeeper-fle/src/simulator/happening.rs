//! What happens in a simulation, so that it can be told.

use std::fmt;
use std::time::Duration;

use super::super::election::{Decision, History};
use super::super::notification::Notification;
use super::super::vote::{Epoch, Round, ServerId, Vote};

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// When, since the beginning of the simulation.
    pub at: Duration,
    /// To which server.
    pub server: ServerId,
    /// What.
    pub what: What,
}

/// What can happen to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// It starts, with this history on its disk.
    Started(History),
    /// It crashes: its history stays, its round and its votes are lost.
    Crashed,
    /// It begins to look for a leader, in a round of its own.
    Looks {
        /// The round.
        round: Round,
        /// What it puts forward: itself, or, without a vote, nobody.
        vote: Vote,
    },
    /// It tells all other servers that have a vote: because it begins, because its proposal or its round has
    /// changed, or because it has not heard anything for a while.
    Says(Notification),
    /// It answers one server.
    Answers {
        /// Whom.
        to: ServerId,
        /// What.
        notification: Notification,
    },
    /// Nobody got its last message. It tries to connect to the others.
    Connects,
    /// A message to a server is lost, and the connection with it.
    Lost {
        /// To whom.
        to: ServerId,
    },
    /// It hears a server.
    Hears {
        /// Whom.
        from: ServerId,
        /// What.
        notification: Notification,
        /// What it makes of it.
        effect: Effect,
    },
    /// It settles on a leader.
    Decided {
        /// On whom and as what.
        decision: Decision,
        /// By what.
        by: By,
    },
    /// It leads, and a quorum is in step with it from now on, in this epoch. (Zab's stand-in.)
    Established {
        /// The epoch, which it and its followers have on their disks now.
        epoch: Epoch,
    },
    /// It follows an established leader, and has taken over its history. (Zab's stand-in.)
    InStep {
        /// The history.
        history: History,
    },
    /// It was elected, but so many of its followers have a better history that there is no quorum without them. So it
    /// does not lead. (Zab's stand-in.)
    Refused {
        /// One of them.
        by: ServerId,
    },
    /// The leader on which it settled has not been heard, or has not led it, for as long as it is ready to wait.
    /// (Zab's stand-in.)
    LeaderLost {
        /// The leader.
        leader: ServerId,
    },
    /// It leads, and no quorum has followed it for as long as it is ready to wait. (Zab's stand-in.)
    FollowersLost,
}

/// What a server makes of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Effect {
    /// The vote is better than the proposal, in the same round, and becomes the proposal.
    Adopted,
    /// The vote is not better than the proposal. It is recorded.
    NotBetter,
    /// The vote is of a later round: the server goes over to that round, forgets the votes of its own, and puts
    /// forward this vote or its own first one, whichever is better.
    LaterRound,
    /// The vote is of an earlier round, and only answered.
    EarlierRound,
    /// A quorum agrees already, and a better vote is waited for, which this is not. It is not even recorded, and the
    /// wait begins anew.
    TooLate,
    /// The sender has settled on a leader. That is recorded.
    Noted,
    /// The sender has settled on a leader, as a quorum has, and the leader leads: the server joins.
    Joined,
    /// The server has settled on a leader itself, and the sender looks for one: it is told.
    Answered,
    /// Nothing: the server has settled, and the sender does not look for a leader either; or the sender has no vote
    /// or no database, or votes for such a one.
    Ignored,
}

/// By what a server decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum By {
    /// A quorum agreed with its proposal in its round, and nobody said anything better for a while.
    Votes,
    /// A quorum has settled on a leader, who leads.
    Joining,
}

/// In a line, without the time: `3: hears 1 LOOKING (1, 0x0, 0x0) in round 1: not better`.
impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.server, self.what)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started(History { epoch, zxid }) => write!(f, "starts at epoch {epoch}, zxid {zxid}"),
            Self::Crashed => f.write_str("crashes"),
            Self::Looks { round, vote } => write!(f, "looks for a leader in round {round} with {vote}"),
            Self::Says(notification) => write!(f, "says {}", Said(notification)),
            Self::Answers { to, notification } => write!(f, "answers {to} {}", Said(notification)),
            Self::Connects => f.write_str("connects"),
            Self::Lost { to } => write!(f, "loses the message to {to}"),
            Self::Hears { from, notification, effect } => {
                write!(f, "hears {from} {}: {effect}", Said(notification))
            }
            Self::Decided { decision: Decision { state, vote, round }, by } => {
                let by = if *by == By::Votes { "by votes" } else { "by joining" };
                write!(f, "is {state} {by}, {vote} in round {round}")
            }
            Self::Established { epoch } => write!(f, "is established in epoch {epoch}"),
            Self::InStep { history: History { epoch, zxid } } => {
                write!(f, "is in step at epoch {epoch}, zxid {zxid}")
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
            Self::Noted => "noted",
            Self::Joined => "joined",
            Self::Answered => "answered",
            Self::Ignored => "ignored",
        })
    }
}

/// A notification in a few words.
struct Said<'a>(&'a Notification);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Notification { state, vote, round, .. } = self.0;
        write!(f, "{state} {vote} in round {round}")
    }
}
