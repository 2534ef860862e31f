//! The time-outs of the stand-in for Zab.

use std::time::Duration;

/// The time-outs of settled servers, named as in `zoo.cfg`. The defaults are shorter than ZooKeeper's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZabTimeouts {
    /// The interval at which leaders and followers check each other (`tickTime`), never 0. Default: 50 ms.
    pub tick: Duration,
    /// The number of ticks that an elected leader waits for a quorum (`initLimit`). Default: 20, which is 1 s.
    pub init_limit: u32,
    /// The number of ticks after which an established leader without a quorum, or a follower without its leader, looks
    /// again (`syncLimit`). Default: 10, which is 500 ms.
    pub sync_limit: u32,
}

impl Default for ZabTimeouts {
    fn default() -> Self {
        Self { tick: Duration::from_millis(50), init_limit: 20, sync_limit: 10 }
    }
}

impl ZabTimeouts {
    pub(super) fn assert_sound(&self) {
        assert!(!self.tick.is_zero(), "ZabTimeouts::tick is zero: write a positive time, such as 50 ms");
    }
}
