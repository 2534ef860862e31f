//! The znodes of a session that its contenders count as their own.

use std::collections::{BTreeMap, BTreeSet};

use crate::types::FencingToken;

/// The znodes of the session that somebody in the process answers for.
#[derive(Default)]
pub(super) struct FakeClaims {
    pub(super) tokens: BTreeSet<FencingToken>,
    /// The creates whose outcome is not known yet: by the tombstone, how the znode's path begins.
    pub(super) unsettled: BTreeMap<String, String>,
}
