//! Names of znodes: contenders, their order, and the helper znodes beside an election.

use crate::types::Sequence;

/// The path of the counter beside a master's path.
pub(crate) fn counter(path: &str) -> String {
    format!("{path}..counter")
}

/// The name of a tombstone: appended to the election's path, or a child of it. `contender` and `attempt` make it unique.
pub(crate) fn tombstone(contender: u64, attempt: u64) -> String {
    format!("..{contender:016x}-{attempt}")
}

/// The sequence number in a child's name, if the name is a contender's: the prefix and then the number as
/// ZooKeeper prints it (`%010d`), nothing else. Other children of the directory are ignored.
pub(crate) fn parse(prefix: &str, name: &str) -> Option<Sequence> {
    let digits = name.strip_prefix(prefix)?;
    let sequence = Sequence::new(digits.parse().ok()?);
    (sequence.to_string() == digits).then_some(sequence)
}

/// The child just before `own` among the contenders, if there is one.
pub(crate) fn predecessor<'a>(prefix: &str, children: &'a [String], own: Sequence) -> Option<&'a str> {
    let before = contenders(prefix, children).filter(|(sequence, _)| *sequence < own);
    before.max_by_key(|(sequence, _)| *sequence).map(|(_, name)| name)
}

/// The contender with the lowest number.
pub(crate) fn lowest<'a>(prefix: &str, children: &'a [String]) -> Option<&'a str> {
    contenders(prefix, children).min_by_key(|(sequence, _)| *sequence).map(|(_, name)| name)
}

/// The children that are contenders, in the order of the list.
pub(crate) fn contenders<'a>(
    prefix: &str,
    children: &'a [String],
) -> impl Iterator<Item = (Sequence, &'a str)> {
    children.iter().filter_map(move |name| Some((parse(prefix, name)?, name.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn children(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| name.to_string()).collect()
    }

    #[test]
    fn only_the_prefix_and_ten_digits_are_a_contender() {
        let parse = |name| parse("guid_", name).map(Sequence::number);
        assert_eq!(parse("guid_0000000000"), Some(0));
        assert_eq!(parse("guid_2147483647"), Some(i32::MAX));
        assert_eq!(parse("guid_-2147483648"), Some(i32::MIN));
        assert_eq!(parse("guid_-000000001"), Some(-1));
        for foreign in [
            "guid_",
            "guid_1",
            "guid_00000000001",
            "guid_+000000001",
            "guid_000000000x",
            "guid_2147483648",
            "Guid_0000000001",
            "xguid_0000000001",
            "guid_0000000001x",
            "_c_6ba7b810-9dad-11d1-80b4-00c04fd430c8-latch-0000000001",
            "lock",
            "größe_0000000001",
            "",
        ] {
            assert_eq!(parse(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn the_predecessor_is_the_nearest_below() {
        let all =
            children(&["guid_0000000010", "guid_0000000002", "lock", "guid_0000000009", "other_0000000008"]);
        let before = |own| predecessor("guid_", &all, Sequence::new(own));
        assert_eq!(before(10), Some("guid_0000000009"));
        assert_eq!(before(9), Some("guid_0000000002"));
        assert_eq!(before(2), None);
        assert_eq!(lowest("guid_", &all), Some("guid_0000000002"));
        assert_eq!(lowest("guid_", &children(&["lock"])), None);
    }
}
