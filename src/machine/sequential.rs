//! The decision of sequential mode: what a list of the directory says about the contender's position.

use super::naming;
use crate::mistakes::mistake;

/// The position of the own znode in the queue.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum QueuePosition {
    /// The own znode is gone.
    Gone,
    /// No lower number exists.
    Lowest,
    /// The directory's sequence numbers are used up, so their order is meaningless.
    Exhausted,
    /// This sibling is the next lower one. `next_in_line`: it is also the lowest, so this contender leads after it.
    Behind { name: String, next_in_line: bool },
}

/// Finds the own znode's position.
///
/// An outdated list never omits a lower znode: lower znodes were created before the own one, and the server that answered
/// the own create has seen them all.
pub(crate) fn judge(prefix: &str, children: &[String], own: &str) -> QueuePosition {
    let Some(sequence) = naming::parse(prefix, own).filter(|_| children.iter().any(|child| child == own))
    else {
        return QueuePosition::Gone;
    };
    if !naming::contenders(prefix, children).all(|(sequence, _)| sequence.is_given_out_once()) {
        return QueuePosition::Exhausted;
    }
    let mut ahead = naming::predecessor(prefix, children, sequence);
    if mistake!(WatchesTheFirst) {
        ahead = ahead.and_then(|_| naming::lowest(prefix, children));
    }
    match ahead {
        Some(name) => {
            let next_in_line = naming::lowest(prefix, children) == Some(name);
            QueuePosition::Behind { name: name.to_owned(), next_in_line }
        }
        None => QueuePosition::Lowest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_tells_the_place() {
        let children: Vec<String> =
            ["guid_0000000004", "config", "guid_0000000002", "guid_0000000007"].map(str::to_owned).into();
        let judge = |own| judge("guid_", &children, own);
        assert_eq!(judge("guid_0000000002"), QueuePosition::Lowest);
        let behind = |name: &str, next_in_line| QueuePosition::Behind { name: name.into(), next_in_line };
        assert_eq!(judge("guid_0000000004"), behind("guid_0000000002", true));
        assert_eq!(judge("guid_0000000007"), behind("guid_0000000004", false));
        assert_eq!(judge("guid_0000000003"), QueuePosition::Gone);
    }

    #[test]
    fn numbers_that_are_given_out_twice_are_no_order() {
        for last in ["guid_2147483647", "guid_-2147483648", "guid_-000000001"] {
            let children: Vec<String> = ["guid_0000000004", last].map(str::to_owned).into();
            assert_eq!(judge("guid_", &children, "guid_0000000004"), QueuePosition::Exhausted, "{last}");
            assert_eq!(judge("guid_", &children, last), QueuePosition::Exhausted, "{last}");
        }
    }
}
