//! The ids of sessions.

use std::fmt;

/// The id of a ZooKeeper session. Prints in hexadecimal, as in ZooKeeper's logs and four-letter words.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
