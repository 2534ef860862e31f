//! What the stat of a znode says to whoever has looked at it.

use super::event::Seen;
use crate::types::{Node, Origin};

/// What a look at the own znode has shown, with the watch that it left if that is of use.
pub(crate) fn own<W>(node: &Node, glance: Option<(Origin, W)>) -> (Seen, Option<W>) {
    match glance {
        None => (Seen::Nothing, None),
        Some((origin, watch)) if origin.token == node.token => (Seen::Standing, Some(watch)),
        Some(_) => (Seen::Other, None),
    }
}

/// What a look at the znode ahead has shown, with the watch that it left.
pub(crate) fn ahead<W>(glance: Option<(Origin, W)>) -> (Seen, Option<W>) {
    match glance {
        None => (Seen::Nothing, None),
        Some((origin, watch)) if origin.owner.is_some() => (Seen::Standing, Some(watch)),
        Some((_, watch)) => (Seen::Other, Some(watch)),
    }
}
