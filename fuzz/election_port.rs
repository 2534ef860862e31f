//! Any bytes, to every decoder of an election port: none panics, and a value that is read encodes to the same bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../crates/zookeeper-fle/tests/elections/round_trip.rs"]
mod round_trip;

fuzz_target!(|bytes: &[u8]| {
    round_trip::notification(bytes);
    round_trip::hello(bytes);
    round_trip::frame_length(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        round_trip::config(text);
    }
});
