//! Decodes, encodes, and asserts that nothing was lost. Each function returns whether its input could be decoded.
//!
//! The tests use this with mutated messages, and so does the fuzz target `fuzz/election_port.rs`.

use std::collections::BTreeSet;

use zookeeper_fle::codec::{self, Hello, MAX_FRAME_BYTES};
use zookeeper_fle::{EnsembleConfig, Format, Notification, Quorum, Role, ServerId};

/// A notification. A format above 2 is read as 2.
pub(crate) fn notification(bytes: &[u8]) -> bool {
    let Ok(notification) = Notification::decode(bytes) else { return false };
    let mut encoded = notification.encode();
    if let Format::Configured(_) = notification.format {
        assert!(bytes[36..40] >= encoded[36..40], "{bytes:x?}");
        encoded[36..40].copy_from_slice(&bytes[36..40]);
    }
    assert!(bytes.starts_with(&encoded), "{bytes:x?} are read as {notification:?}");
    if let Some(text) = notification.config() {
        config(text);
    }
    true
}

/// The first message of the side that connects.
pub(crate) fn hello(bytes: &[u8]) -> bool {
    let Ok(Some((hello, length))) = Hello::decode(bytes) else { return false };
    assert_eq!(hello.encode(), bytes[..length], "{bytes:x?} are read as {hello:?}");
    true
}

/// The length of a frame.
pub(crate) fn frame_length(bytes: &[u8]) -> bool {
    let Some(first) = bytes.first_chunk() else { return false };
    let Ok(length) = codec::frame_length(*first) else { return false };
    assert!((1..=MAX_FRAME_BYTES).contains(&length));
    assert_eq!(i32::try_from(length).map(i32::to_be_bytes), Ok(*first));
    true
}

/// The configuration of an ensemble. It prints the weight of every participant where there are groups.
pub(crate) fn config(text: &str) -> bool {
    let Ok(mut config) = text.parse::<EnsembleConfig>() else { return false };
    let printed = config.to_string();
    assert!(!printed.contains(|it: char| it.is_control() && it != '\n'), "{printed:?}");
    let participants = config.servers.iter().filter(|(_, it)| it.role == Role::Participant);
    let participants: BTreeSet<ServerId> = participants.map(|(id, _)| *id).collect();
    if !config.groups.is_empty() {
        participants.iter().for_each(|id| _ = config.weights.entry(*id).or_insert(1));
    }
    assert_eq!(printed.parse(), Ok(config.clone()), "{text:?} prints as {printed:?}");

    let quorum = Quorum::of(&config);
    assert!(quorum.voters().eq(participants.iter().copied()), "{text:?}");
    assert!((1..=participants.len()).contains(&quorum.smallest()), "{text:?}");
    assert!(quorum.is_quorum(&participants) && !quorum.is_quorum(&BTreeSet::new()), "{text:?}");
    let fewer = participants.iter().copied().take(quorum.smallest() - 1).collect();
    assert!(!quorum.is_quorum(&fewer), "{text:?}");
    true
}
