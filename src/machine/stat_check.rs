//! What the stat of a watched znode says about it.

use super::event::Seen;
use crate::znode::{Node, Origin};

/// Checks the own znode. Returns the watch as well, if the znode is the own one.
pub(crate) fn own<W>(node: &Node, peek: Option<(Origin, W)>) -> (Seen, Option<W>) {
    match peek {
        None => (Seen::Absent, None),
        Some((origin, watch)) if origin.token == node.token => (Seen::Present, Some(watch)),
        Some(_) => (Seen::Other, None),
    }
}

/// Checks the znode ahead. Returns the watch as well.
pub(crate) fn ahead<W>(peek: Option<(Origin, W)>) -> (Seen, Option<W>) {
    match peek {
        None => (Seen::Absent, None),
        Some((origin, watch)) if origin.owner.is_some() => (Seen::Present, Some(watch)),
        Some((_, watch)) => (Seen::Other, Some(watch)),
    }
}
