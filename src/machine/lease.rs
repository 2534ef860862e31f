//! Until when a leadership may be acted upon.

use crate::types::Timestamp;

/// The span of a leadership, as far as it is known at present.
///
/// A leadership is valid while the clock reads less than [`Lease::end`]. In this version no instant is known
/// in advance: the end lies beyond every reading of the clock, until the first sign of a broken connection,
/// of the session's loss or of the znode's deletion moves it before all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    end: Timestamp,
}

impl Lease {
    /// The lease of a leadership that nothing speaks against.
    pub(crate) const OPEN: Self = Self { end: Timestamp::MAX };
    /// The lease of whoever does not lead.
    pub(crate) const OVER: Self = Self { end: Timestamp::MIN };

    /// The first instant at which the leadership is not valid.
    pub(crate) const fn end(self) -> Timestamp {
        self.end
    }
}
