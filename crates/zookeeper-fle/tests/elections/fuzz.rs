//! Bytes that no server sends, from a seed: nothing panics, and what is read is written as it was.

use std::collections::BTreeSet;

use fastrand::Rng;
use zookeeper_fle::codec::{Addresses, Hello, MAX_FRAME_BYTES, frame_length};
use zookeeper_fle::{EnsembleConfig, Format, Notification, Quorum, Role, ServerId};

use crate::seeded;
use crate::servers::Past;

/// How many inputs.
const INPUTS: u64 = 1_000_000;

/// Fields of a notification and a greeting that say how long something is, or what it is.
const FIELDS: [usize; 4] = [0, 16, 36, 40];

/// What is written over such a field: lengths, formats, states that cannot be, and some that can.
const CLAIMS: [i32; 12] =
    [-1, i32::MIN, i32::MAX, 0, 1, 2, 3, 4, 2048, 2049, 10_000_000, MAX_FRAME_BYTES as i32 + 1];

#[tokio::test]
async fn whatever_the_bytes_nothing_panics_and_what_is_read_is_written_as_it_was() {
    // What real servers have sent, and the forms that only other versions send.
    let mut messages = Past::get().await.raw.clone();
    let known = Notification::decode(&messages[0]).expect("a notification of a server");
    for format in [Format::WithoutEpoch, Format::WithEpoch, Format::Numbered] {
        messages.push(Notification { format, ..known.clone() }.encode());
    }
    for addresses in [Addresses::None, Addresses::Several("10.0.0.1:3888|10.0.0.2:3888".into())] {
        messages.push(Hello { from: ServerId(3), addresses }.encode());
    }

    let mut rng = seeded();
    let (mut notifications, mut greetings, mut frames) = (0, 0, 0);
    for _ in 0..INPUTS {
        let bytes = input(&mut rng, &messages);
        notifications += u64::from(check_notification(&bytes));
        greetings += u64::from(check_hello(&bytes));
        frames += u64::from(check_length(&bytes));
    }
    println!("of {INPUTS}: {notifications} notifications, {greetings} greetings, {frames} lengths");
    assert!(notifications > INPUTS / 20 && notifications < INPUTS, "neither all nor none are notifications");
    assert!(greetings > INPUTS / 20 && greetings < INPUTS, "neither all nor none are greetings");
    assert!(frames > 1000 && frames < INPUTS, "neither all nor none are lengths");
}

/// How many configurations.
const CONFIGS: u64 = 300_000;

/// What is written somewhere into a configuration.
const PIECES: [&str; 24] = [
    "\nweight.1=18446744073709551615\n",
    "\nweight.2=18446744073709551615\n",
    "\nweight.3=0\n",
    "\ngroup.1=1:2:3\n",
    "\ngroup.2=3\n",
    "\ngroup.1=1:2\n",
    "\nserver.4=[::1]:2888:3888|zk4:2889:3889:observer;[::1]:2181\n",
    "\nserver.4611686018427387909=zk5:1:2\n",
    "\nversion=-1\n",
    "\nversion=ffffffffffffffff\n",
    "\nversion=7fffffffffffffff\n",
    "\u{1b}[2J",
    "\u{202e}",
    "\n",
    "\r",
    " ",
    ":",
    "|",
    ";",
    "[",
    "]",
    "-",
    "+",
    "0",
];

#[tokio::test]
async fn whatever_the_configuration_nothing_panics_and_what_is_read_prints_and_reads_back_equal() {
    let raw = &Past::get().await.raw;
    let sent = raw.iter().filter_map(|raw| Notification::decode(raw).ok()?.config().map(str::to_owned));
    let mut texts: Vec<String> = sent.collect::<BTreeSet<_>>().into_iter().collect();
    assert!(!texts.is_empty() && texts.iter().all(|text| check_config(text)), "{texts:?}");
    texts.push(texts[0].clone() + "\ngroup.1=1:2\ngroup.7=3\nweight.1=3\nweight.2=0\nweight.3=1");

    let mut rng = seeded();
    let mut read = 0;
    for _ in 0..CONFIGS {
        let text = config_text(&mut rng, &texts);
        read += u64::from(check_config(&text));
    }
    println!("of {CONFIGS}: {read} configurations");
    assert!(read > CONFIGS / 20 && read < CONFIGS / 20 * 19, "neither all nor none are read");
}

fn config_text(rng: &mut Rng, texts: &[String]) -> String {
    let mut text: Vec<char> = rng.choice(texts).expect("a text").chars().collect();
    for _ in 0..rng.u32(..4) {
        let at = rng.usize(..=text.len());
        let to = (at + rng.usize(..3)).min(text.len());
        match rng.u32(..4) {
            0 => _ = text.drain(at..to),
            1 if at < text.len() => text[at] = char::from(rng.u8(..128)),
            2 => text.rotate_left(at),
            _ => _ = text.splice(at..at, rng.choice(PIECES).expect("a piece").chars()),
        }
    }
    text.into_iter().collect()
}

/// Whether this is the configuration of an ensemble. What is printed names all weights where there are groups.
fn check_config(text: &str) -> bool {
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

fn input(rng: &mut Rng, messages: &[Vec<u8>]) -> Vec<u8> {
    if rng.u32(..8) == 0 {
        return (0..rng.usize(..100)).map(|_| rng.u8(..)).collect();
    }
    let mut bytes = rng.choice(messages).expect("a message").clone();
    for _ in 0..rng.u32(..3) {
        match rng.u32(..5) {
            0 => bytes.truncate(rng.usize(..=bytes.len())),
            1 => bytes.extend((0..rng.usize(..20)).map(|_| rng.u8(..))),
            2 if !bytes.is_empty() => {
                let at = rng.usize(..bytes.len());
                bytes[at] ^= 1 << rng.u32(..8);
            }
            _ => {
                let at = *rng.choice(&FIELDS).expect("a field");
                if let Some(field) = bytes.get_mut(at..at + 4) {
                    field.copy_from_slice(&rng.choice(CLAIMS).expect("a claim").to_be_bytes());
                }
            }
        }
    }
    bytes
}

/// Whether these bytes begin with a notification, which is written again as it was. A format above 2 is read as 2.
fn check_notification(bytes: &[u8]) -> bool {
    let Ok(notification) = Notification::decode(bytes) else { return false };
    let mut encoded = notification.encode();
    if let Format::Configured(_) = notification.format {
        assert!(bytes[36..40] >= encoded[36..40], "{bytes:x?}");
        encoded[36..40].copy_from_slice(&bytes[36..40]);
    }
    assert!(bytes.starts_with(&encoded), "{bytes:x?} are read as {notification:?}");
    if let Some(config) = notification.config() {
        check_config(config);
    }
    true
}

fn check_hello(bytes: &[u8]) -> bool {
    let Ok(Some((hello, length))) = Hello::decode(bytes) else { return false };
    assert_eq!(hello.encode(), bytes[..length], "{bytes:x?} are read as {hello:?}");
    true
}

fn check_length(bytes: &[u8]) -> bool {
    let Some(first) = bytes.first_chunk() else { return false };
    let Ok(length) = frame_length(*first) else { return false };
    assert!((1..=MAX_FRAME_BYTES).contains(&length));
    assert_eq!(i32::try_from(length).map(i32::to_be_bytes), Ok(*first));
    true
}
