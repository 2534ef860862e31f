//! Bytes that no server sends, from a seed: nothing panics, and what is read is written as it was.

use fastrand::Rng;
use zookeeper_election::fle::codec::{Addresses, Hello, MAX_FRAME_BYTES, frame_length};
use zookeeper_election::fle::{Format, Notification, ServerId};

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
