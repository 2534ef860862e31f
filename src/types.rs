//! The values of the public interface: tokens, sequence numbers, ids, contenders, modes.

use std::fmt;

use crate::error::{Lost, ParseModeError};

/// A number that grows with every new leadership of an election.
///
/// It is the czxid of the leading znode: the id of the ZooKeeper transaction that created it. Transaction
/// ids only grow, over every znode of an ensemble, so tokens grow in both modes and even when the election's
/// directory was deleted and created again.
///
/// Send the token along with every write to a shared resource, and let the resource refuse a token smaller
/// than the greatest it has seen. A leader that acts late is then refused. The token prints as ZooKeeper
/// prints transaction ids, in hexadecimal: `0x100000004`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FencingToken(i64);

impl FencingToken {
    /// The token with this transaction id; for resources that store the number and compare it later.
    pub const fn from_zxid(zxid: i64) -> Self {
        Self(zxid)
    }

    /// The transaction id.
    pub const fn zxid(self) -> i64 {
        self.0
    }
}

impl fmt::Display for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Debug for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The id of a ZooKeeper session. Prints in hexadecimal, as in ZooKeeper's logs and four-letter words.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(i64);

impl SessionId {
    /// The id as ZooKeeper transmits it.
    pub const fn from_raw(id: i64) -> Self {
        Self(id)
    }

    /// The id as ZooKeeper transmits it.
    pub const fn raw(self) -> i64 {
        self.0
    }
}

impl From<SessionId> for i64 {
    fn from(id: SessionId) -> Self {
        id.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The number that ZooKeeper appended to the name of a sequential znode: ten digits (`0000000001`), ordered by value.
///
/// ZooKeeper counts with 32 bits per directory. A server whose counter has come to its end, 2147483647, stays there
/// and gives out that name again and again. Then the numbers have no order any more, and campaigns in such a directory
/// end with [`Error::SequenceExhausted`](crate::Error::SequenceExhausted).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(i32);

impl Sequence {
    /// The sequence number with this value.
    pub const fn new(number: i32) -> Self {
        Self(number)
    }

    /// The value.
    pub const fn number(self) -> i32 {
        self.0
    }

    /// Whether a directory gives it out once only: not the last number, nor a negative one, which very old servers
    /// have given out.
    pub(crate) const fn is_given_out_once(self) -> bool {
        0 <= self.0 && self.0 < i32::MAX
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:010}", self.0)
    }
}

impl fmt::Debug for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One participant of an election, as its znode tells it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Contender {
    /// The path of the contender's znode, below the session's chroot: `/app/leader_election/guid_0000000001`.
    pub node: String,
    /// The number in the znode's name; `None` in master mode.
    pub sequence: Option<Sequence>,
    /// What the contender published about itself: its znode's data. Bytes that are not UTF-8 (only other
    /// clients write such) show as U+FFFD.
    pub identity: String,
    /// The token that a leadership on this znode has.
    pub token: FencingToken,
    /// The session that owns the znode; `0x0` if it is not ephemeral, and so no contender's.
    pub session: SessionId,
}

/// Where a contender stands in its election, see [`Election::standing`](crate::Election::standing).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Standing {
    /// Takes no part: no campaign is under way and no znode of this contender is left.
    Idle,
    /// Campaigns, and has no connection to the ensemble at present. A place in the queue is kept as long as
    /// the ZooKeeper session lives.
    Connecting {
        /// Why an earlier place in the queue was lost during this campaign, if it was.
        after: Option<Lost>,
    },
    /// Campaigns, and is about to create its znode or to find out its place.
    Joining {
        /// Why an earlier place in the queue was lost during this campaign, if it was.
        after: Option<Lost>,
    },
    /// Campaigns, and waits for another znode to go.
    Waiting {
        /// This contender's own znode; `None` in master mode, where only the master has one.
        node: Option<String>,
        /// The znode that has to go first: the predecessor, or the master's.
        behind: String,
    },
    /// Leads.
    Leading {
        /// This contender's own znode.
        node: String,
        /// The token of this leadership.
        token: FencingToken,
    },
    /// Has given up its place, and its znode is being removed. A campaign that was begun meanwhile starts after
    /// that.
    Leaving,
}

/// How the members of an election find out who leads. Written `sequential` and `master`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mode {
    /// Every contender creates an ephemeral sequential znode in the election's directory; the lowest number
    /// leads, and each other contender watches its predecessor alone. First come, first served; a departure
    /// wakes one contender. ZooKeeper's
    /// [leader election recipe](https://zookeeper.apache.org/doc/current/recipes.html#sc_leaderElection).
    #[default]
    Sequential,
    /// The contender that creates the one ephemeral znode at the election's path is master. All others watch that znode, and
    /// try again when it is gone. They are in no order, and each departure wakes all of them: for a handful of
    /// contenders.
    Master,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sequential => "sequential",
            Self::Master => "master",
        })
    }
}

impl std::str::FromStr for Mode {
    type Err = ParseModeError;

    fn from_str(text: &str) -> Result<Self, ParseModeError> {
        match text {
            "sequential" => Ok(Self::Sequential),
            "master" => Ok(Self::Master),
            given => Err(ParseModeError { given: given.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_print_as_zookeeper_prints_them() {
        assert_eq!(FencingToken::from_zxid(0x1_0000_0004).to_string(), "0x100000004");
        assert_eq!(SessionId::from_raw(0x1000_5a2b_0001).to_string(), "0x10005a2b0001");
        assert_eq!(Sequence::new(7).to_string(), "0000000007");
        assert_eq!(Sequence::new(-2147483648).to_string(), "-2147483648");
        assert_eq!(Sequence::new(-1).to_string(), "-000000001");
    }

    #[test]
    fn the_last_number_of_a_directory_is_given_out_again_and_again() {
        for number in [0, 1, i32::MAX - 1] {
            assert!(Sequence::new(number).is_given_out_once(), "{number}");
        }
        for number in [i32::MAX, -1, i32::MIN] {
            assert!(!Sequence::new(number).is_given_out_once(), "{number}");
        }
    }

    #[test]
    fn modes_are_read_as_they_are_written() {
        for mode in [Mode::Sequential, Mode::Master] {
            assert_eq!(mode.to_string().parse::<Mode>().unwrap(), mode);
        }
        assert!(
            "Master".parse::<Mode>().unwrap_err().to_string().contains("write \"sequential\" or \"master\"")
        );
    }
}
