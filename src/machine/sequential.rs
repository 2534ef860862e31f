//! The decision of sequential mode, made from a list of the directory and nothing else.

use super::naming;

/// What a list of the directory says about the own znode.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum QueuePosition {
    /// It is not there any more.
    Gone,
    /// No lower number is left.
    Lowest,
    /// The directory has come to the end of its numbers: the order says nothing any more.
    Exhausted,
    /// This sibling is the next lower one; `next` if it is the lowest, so that it is our turn when it goes.
    Behind { name: String, next: bool },
}

/// Finds the own znode's place. A list is never falsely favourable: whoever stands below us was created
/// before us, and as our own create has been answered, the server that we read from knows of it.
pub(crate) fn judge(prefix: &str, children: &[String], own: &str) -> QueuePosition {
    let Some(sequence) = naming::parse(prefix, own).filter(|_| children.iter().any(|child| child == own))
    else {
        return QueuePosition::Gone;
    };
    if !naming::contenders(prefix, children).all(|(sequence, _)| sequence.is_given_out_once()) {
        return QueuePosition::Exhausted;
    }
    match naming::predecessor(prefix, children, sequence) {
        Some(name) => {
            let next = naming::lowest(prefix, children) == Some(name);
            QueuePosition::Behind { name: name.to_owned(), next }
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
        let behind = |name: &str, next| QueuePosition::Behind { name: name.into(), next };
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
