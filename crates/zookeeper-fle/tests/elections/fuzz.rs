//! Mutated messages, from a seed: no decoder panics, and a decoded message encodes to the same bytes.

use std::collections::BTreeSet;

use fastrand::Rng;
use zookeeper_fle::codec::{Addresses, Hello, MAX_FRAME_BYTES};
use zookeeper_fle::{Format, Notification, ServerId};

use crate::real_servers::RecordedRun;
use crate::{round_trip, seeded};

/// The number of inputs.
const INPUTS: u64 = 1_000_000;

/// The offsets of lengths, versions and states in a notification and a hello.
const FIELDS: [usize; 4] = [0, 16, 36, 40];

/// The values that are written there: valid and invalid ones.
const CLAIMS: [i32; 12] =
    [-1, i32::MIN, i32::MAX, 0, 1, 2, 3, 4, 2048, 2049, 10_000_000, MAX_FRAME_BYTES as i32 + 1];

#[tokio::test]
async fn whatever_the_bytes_nothing_panics_and_what_is_read_is_written_as_it_was() {
    // What real servers have sent, and the forms that only other versions send.
    let mut messages = RecordedRun::get().await.raw.clone();
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
        notifications += u64::from(round_trip::notification(&bytes));
        greetings += u64::from(round_trip::hello(&bytes));
        frames += u64::from(round_trip::frame_length(&bytes));
    }
    println!("of {INPUTS}: {notifications} notifications, {greetings} greetings, {frames} lengths");
    assert!(notifications > INPUTS / 20 && notifications < INPUTS, "neither all nor none are notifications");
    assert!(greetings > INPUTS / 20 && greetings < INPUTS, "neither all nor none are greetings");
    assert!(frames > 1000 && frames < INPUTS, "neither all nor none are lengths");
}

/// The number of configurations.
const CONFIGS: u64 = 300_000;

/// The pieces that are inserted into a configuration.
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
    let raw = &RecordedRun::get().await.raw;
    let sent = raw.iter().filter_map(|raw| Notification::decode(raw).ok()?.config().map(str::to_owned));
    let mut texts: Vec<String> = sent.collect::<BTreeSet<_>>().into_iter().collect();
    assert!(!texts.is_empty() && texts.iter().all(|text| round_trip::config(text)), "{texts:?}");
    texts.push(texts[0].clone() + "\ngroup.1=1:2\ngroup.7=3\nweight.1=3\nweight.2=0\nweight.3=1");

    let mut rng = seeded();
    let mut read = 0;
    for _ in 0..CONFIGS {
        let text = config_text(&mut rng, &texts);
        read += u64::from(round_trip::config(&text));
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
