//! Ids, histories, votes and their order, and the two ways in which recorded votes agree.

use std::fmt;

/// The id of a server: `N` in `server.N=...`, the content of its file `myid`. Prints in decimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(pub i64);

/// The id of a ZooKeeper transaction: the epoch in the upper half, a counter in the lower one. Prints as in ZooKeeper's
/// logs: `0x100000008`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Zxid(pub i64);

/// The number of a leadership in an ensemble's history, which each server stores (`currentEpoch`). ZooKeeper's sources and
/// logs call it peer epoch. Prints in hexadecimal, like the [`Zxid`] whose upper half it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub i64);

/// The number of an election, which a server counts in memory from its start. ZooKeeper's sources and logs call it logical
/// clock or election epoch. It is unrelated to [`Epoch`]. Prints in decimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Round(pub i64);

/// A vote for a server, with that server's history.
///
/// Votes are ordered by their fields: the higher epoch wins, then the higher zxid, then the higher server id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vote {
    /// The current epoch of the server voted for.
    pub epoch: Epoch,
    /// The last zxid of the server voted for, at the start of its election.
    pub zxid: Zxid,
    /// The server voted for.
    pub leader: ServerId,
}

/// The state of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServerState {
    /// The server looks for a leader.
    Looking,
    /// The server is a voter and follows a leader.
    Following,
    /// The server leads.
    Leading,
    /// The server has no vote and follows a leader.
    Observing,
}

/// A vote as a receiver records it, with its round and the sender's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ballot {
    /// The vote.
    pub vote: Vote,
    /// The round in the notification. Between voters: the round of the vote. To a non-voter, a server sends its current round
    /// with the vote that it settled on last; that round is 0 after a reconfiguration.
    pub round: Round,
    /// The sender's state.
    pub state: ServerState,
    /// Whether the notification had a configuration ([`Format::Configured`](super::Format::Configured)).
    pub configured: bool,
}

impl ServerId {
    /// The id in the vote of an observer.
    pub const NONE: Self = Self(i64::MIN);
}

impl Zxid {
    /// The zxid in the vote of an observer.
    pub const NONE: Self = Self(i64::MIN);

    /// The zxid of a server whose database is not initialised, and that must not vote (ZOOKEEPER-3479).
    pub const UNINITIALISED: Self = Self(-1);

    /// The epoch of the transaction.
    #[must_use]
    pub const fn epoch(self) -> Epoch {
        Epoch(self.0 >> 32)
    }
}

impl Epoch {
    /// The epoch in the vote of an observer.
    pub const NONE: Self = Self(i64::MIN);

    /// The zxid at which a leadership of this epoch begins, before its first transaction.
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
    /// The vote of an observer, lower than all others.
    pub const NONE: Self = Self { epoch: Epoch::NONE, zxid: Zxid::NONE, leader: ServerId::NONE };
}

impl Ballot {
    /// Whether both are the same vote of the same round: how votes of looking servers agree.
    #[must_use]
    pub fn is_same_proposal(&self, other: &Self) -> bool {
        self.vote == other.vote && self.round == other.round
    }

    /// Whether both name the same leadership: how votes of settled servers agree.
    ///
    /// Leader and epoch identify a leadership, because an epoch is used once. The zxid and the round differ between servers
    /// that joined at different times (ZOOKEEPER-1805). Old servers report another epoch for the same leadership
    /// (ZOOKEEPER-1732): if only one of the votes has a configuration, only the leaders are compared.
    #[must_use]
    pub fn is_same_leadership(&self, other: &Self) -> bool {
        self.vote.leader == other.vote.leader
            && (self.configured != other.configured || self.vote.epoch == other.vote.epoch)
    }

    /// Whether both support the same leader: compared [as proposals](Self::is_same_proposal) if one of the senders was
    /// looking, otherwise [as leaderships](Self::is_same_leadership).
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
