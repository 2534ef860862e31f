//! What servers vote with: ids, histories, votes and their order, and the two ways in which recorded votes agree.

use std::fmt;

/// The id of a server: `N` in `server.N=...`, the content of its file `myid`. Prints in decimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(pub i64);

/// The id of a ZooKeeper transaction: the epoch in the upper half, a counter in the lower one. Prints as in ZooKeeper's
/// logs: `0x100000008`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Zxid(pub i64);

/// The number of a leadership in an ensemble's history, which a server keeps on disk (`currentEpoch`). In sources and
/// logs of ZooKeeper: the peer epoch. Prints in hexadecimal, like the [`Zxid`] whose upper half it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub i64);

/// The number of an election, as a server counts them in memory since its start. In sources and logs of ZooKeeper: the
/// logical clock, or the election epoch. It has nothing to do with an [`Epoch`]. Prints in decimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Round(pub i64);

/// A vote: for a server, with the history by which it is put forward.
///
/// Votes are ordered as the fields are: the higher epoch wins, among equal epochs the higher zxid, and among equal
/// histories the higher server id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vote {
    /// The current epoch of the server voted for.
    pub epoch: Epoch,
    /// The last zxid of the server voted for, when its election began.
    pub zxid: Zxid,
    /// The server voted for.
    pub leader: ServerId,
}

/// What a server does, as its notifications tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServerState {
    /// It looks for a leader.
    Looking,
    /// It follows one.
    Following,
    /// It leads.
    Leading,
    /// It follows a leader without a vote.
    Observing,
}

/// A vote as another server has recorded it: with the round that it belongs to and what its sender was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ballot {
    /// The vote.
    pub vote: Vote,
    /// The round that its sender told with it. Among the servers of an ensemble: that in which the vote was given. To whoever
    /// is not of the ensemble a server tells its current round, beside the vote that it settled on last; after a
    /// reconfiguration it counts from 0 again.
    pub round: Round,
    /// What its sender was doing.
    pub state: ServerState,
    /// Whether it came with a configuration ([`Format::Configured`](super::Format::Configured)).
    pub configured: bool,
}

impl ServerId {
    /// What a server without a vote puts forward in place of its own id.
    pub const NONE: Self = Self(i64::MIN);
}

impl Zxid {
    /// What a server without a vote puts forward in place of its own zxid.
    pub const NONE: Self = Self(i64::MIN);

    /// The zxid of a server whose database is not initialised: one that must not vote (ZOOKEEPER-3479).
    pub const UNINITIALISED: Self = Self(-1);

    /// The epoch in which the transaction was made.
    #[must_use]
    pub const fn epoch(self) -> Epoch {
        Epoch(self.0 >> 32)
    }
}

impl Epoch {
    /// What a server without a vote puts forward in place of its own epoch.
    pub const NONE: Self = Self(i64::MIN);

    /// The zxid in which a leadership of this epoch begins, before its first transaction.
    #[must_use]
    pub const fn first_zxid(self) -> Zxid {
        Zxid(self.0 << 32)
    }
}

impl Round {
    /// The round after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

impl Vote {
    /// What a server without a vote, an observer, puts forward: the least of all votes.
    pub const NONE: Self = Self { epoch: Epoch::NONE, zxid: Zxid::NONE, leader: ServerId::NONE };
}

impl Ballot {
    /// Whether both are the same vote of the same round. So votes of servers that look for a leader agree.
    #[must_use]
    pub fn is_same_proposal(&self, other: &Self) -> bool {
        self.vote == other.vote && self.round == other.round
    }

    /// Whether both name the same leadership. So votes of servers that have settled agree.
    ///
    /// The epoch of a leadership is used once, so that the leader and the epoch name it. The zxid and the round do not:
    /// servers that joined it at different times have settled with different ones (ZOOKEEPER-1805). Old servers
    /// tell another epoch for the same leadership (ZOOKEEPER-1732): between a vote that came with a configuration and one
    /// that did not, the leader alone counts.
    #[must_use]
    pub fn is_same_leadership(&self, other: &Self) -> bool {
        self.vote.leader == other.vote.leader
            && (self.configured != other.configured || self.vote.epoch == other.vote.epoch)
    }

    /// Whether both support the same leader: by [the proposal](Self::is_same_proposal) where one of the two senders was
    /// still looking, else by [the leadership](Self::is_same_leadership).
    #[must_use]
    pub fn agrees_with(&self, other: &Self) -> bool {
        if self.state == ServerState::Looking || other.state == ServerState::Looking {
            self.is_same_proposal(other)
        } else {
            self.is_same_leadership(other)
        }
    }
}

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:#x}", self.0))
    }
}

impl fmt::Debug for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:#x}", self.0))
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// As in ZooKeeper's logs, the leader first: `(3, 0x100000008, 0x1)` is a vote for server 3 with this zxid and epoch.
impl fmt::Display for Vote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({}, {}, {})", self.leader, self.zxid, self.epoch)
    }
}

/// As in ZooKeeper's logs: `LOOKING`, `FOLLOWING`, `LEADING`, `OBSERVING`.
impl fmt::Display for ServerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Looking => "LOOKING",
            Self::Following => "FOLLOWING",
            Self::Leading => "LEADING",
            Self::Observing => "OBSERVING",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn vote(epoch: i64, zxid: i64, leader: i64) -> Vote {
        Vote { epoch: Epoch(epoch), zxid: Zxid(zxid), leader: ServerId(leader) }
    }

    #[test]
    fn the_epoch_goes_before_the_zxid_and_the_zxid_before_the_server() {
        assert!(vote(2, 0x1_0000_0001, 1) > vote(1, 0x1_0000_0009, 3));
        assert!(vote(1, 0x1_0000_0008, 1) > vote(1, 0x1_0000_0002, 3));
        assert!(vote(1, 0x1_0000_0002, 3) > vote(1, 0x1_0000_0002, 2));
        assert!(Vote::NONE < vote(0, -1, 1));
    }

    #[test]
    fn votes_of_those_who_look_agree_in_everything_and_of_those_who_have_settled_in_the_leadership() {
        let ballot = |vote, round, state| Ballot { vote, round: Round(round), state, configured: true };
        let looking = ballot(vote(1, 5, 3), 2, ServerState::Looking);
        assert!(looking.agrees_with(&looking));
        for other in [vote(1, 6, 3), vote(2, 5, 3), vote(1, 5, 2)] {
            assert!(!looking.agrees_with(&ballot(other, 2, ServerState::Looking)), "{other}");
        }
        assert!(!looking.agrees_with(&ballot(looking.vote, 3, ServerState::Looking)));
        // One that looks is enough for all four fields to count.
        assert!(!looking.agrees_with(&ballot(vote(1, 6, 3), 2, ServerState::Following)));

        let following = ballot(vote(1, 5, 3), 2, ServerState::Following);
        assert!(following.agrees_with(&ballot(vote(1, 9, 3), 7, ServerState::Leading)));
        assert!(!following.agrees_with(&ballot(vote(2, 5, 3), 2, ServerState::Leading)));
        assert!(!following.agrees_with(&ballot(vote(1, 5, 2), 2, ServerState::Following)));
        // An old server tells another epoch: it is not looked at.
        let old = Ballot { configured: false, ..ballot(vote(2, 5, 3), 2, ServerState::Following) };
        assert!(following.agrees_with(&old) && old.agrees_with(&following));
        assert!(!old.agrees_with(&Ballot { vote: vote(1, 5, 3), ..old }));
    }

    #[test]
    fn numbers_print_as_in_zookeeper_s_logs() {
        assert_eq!(vote(1, 0x1_0000_0008, 3).to_string(), "(3, 0x100000008, 0x1)");
        assert_eq!(Zxid::NONE.to_string(), "0x8000000000000000");
        assert_eq!(format!("{:>12}", Zxid(0x1_0000_0008)), " 0x100000008");
        assert_eq!(format!("{:<9}|", ServerState::Looking), "LOOKING  |");
    }
}
