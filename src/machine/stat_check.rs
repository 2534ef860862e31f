//! What the stat of a znode says to whoever has looked at it.

use super::event::Seen;
use crate::znode::{Node, Origin};

/// What a look at the own znode has shown, with the watch that it left if that is of use.
pub(crate) fn own<W>(node: &Node, peek: Option<(Origin, W)>) -> (Seen, Option<W>) {
    match peek {
        None => (Seen::Absent, None),
        Some((origin, watch)) if origin.token == node.token => (Seen::Present, Some(watch)),
        Some(_) => (Seen::Other, None),
    }
}

/// What a look at the znode ahead has shown, with the watch that it left.
pub(crate) fn ahead<W>(peek: Option<(Origin, W)>) -> (Seen, Option<W>) {
    match peek {
        None => (Seen::Absent, None),
        Some((origin, watch)) if origin.owner.is_some() => (Seen::Present, Some(watch)),
        Some((_, watch)) => (Seen::Other, Some(watch)),
    }
}
