//! Decodes arbitrary frames as the server does, and answers the requests.
//!
//! The input is a sequence of frames, each after its length in one byte. The first one is a connect request, the others
//! are requests. A finding is a panic, an allocation of more memory than `run` allows, or an input that takes too long.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use zookeeper_embedded::replica::{ConnectionId, Replica, Request, Transaction};
use zookeeper_embedded::{ConnectRequest, RequestFrame, SessionId};

fuzz_target!(|input: &[u8]| {
    let mut frames = Frames(input);
    let session = frames.next().and_then(|frame| ConnectRequest::decode(frame).ok());
    let session = session.map_or(SessionId::from_raw(1), |request| request.session);
    let connection = ConnectionId::new(1);
    let mut replica = Replica::new();
    let mut events = Vec::new();
    let open = Transaction::Open(session, Duration::from_secs(1));
    replica.apply(Duration::ZERO, &open, &mut events).expect("a session can always be opened");
    for frame in frames {
        let request = RequestFrame::read(frame).ok().and_then(|frame| frame.request());
        let zxid = replica.zxid();
        let write = match request {
            Some(Request::Write(write)) => Transaction::Write(session, write),
            Some(Request::Multi(writes)) => Transaction::Multi(session, writes),
            Some(Request::CloseSession) => Transaction::Close(session),
            Some(read) => {
                let _ = replica.read(connection, read, &mut events);
                assert_eq!(replica.zxid(), zxid, "a read changes nothing");
                continue;
            }
            None => continue,
        };
        let _ = replica.apply(Duration::ZERO, &write, &mut events);
        assert_eq!(replica.zxid(), zxid + 1, "a write takes one transaction id");
    }
});

/// The frames of an input. The last one may be shorter than its length.
struct Frames<'a>(&'a [u8]);

impl<'a> Iterator for Frames<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first()?;
        let (frame, rest) = rest.split_at(rest.len().min(usize::from(*length)));
        self.0 = rest;
        Some(frame)
    }
}
