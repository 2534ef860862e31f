//! A connection to a server's election port, under any id that is higher than the server's.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use zookeeper_fle::codec::{Addresses, Hello, frame_length};
use zookeeper_fle::{Format, Notification, Round, ServerId, ServerState, Vote};

use testkit::{PATIENCE, eventually};

/// An id that no server of an ensemble has, above all of theirs. Each connection has one of its own, as a server
/// sends again what it sent last to the same id.
pub(crate) fn stranger() -> ServerId {
    static NEXT: AtomicI64 = AtomicI64::new(1 << 62);
    ServerId(NEXT.fetch_add(1, Ordering::Relaxed))
}

/// What somebody without a vote asks a server with.
pub(crate) fn question() -> Notification {
    let state = ServerState::Observing;
    Notification { state, vote: Vote::NONE, round: Round(0), format: Format::Numbered }
}

/// One side of a connection.
#[derive(Debug)]
pub(crate) struct RawConnection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl RawConnection {
    /// Connects as soon as the server listens.
    pub(crate) async fn dial(id: ServerId, server: SocketAddr) -> Self {
        let hello = Hello { from: id, addresses: Addresses::None }.encode();
        let connecting = async || {
            let mut stream = TcpStream::connect(server).await.ok()?;
            stream.write_all(&hello).await.ok()?;
            Some(stream)
        };
        let stream = eventually("a connection to an election port", PATIENCE, connecting).await;
        stream.set_nodelay(true).expect("an option of a socket");
        Self { stream, buffer: Vec::new() }
    }

    /// Sends these, in one write.
    pub(crate) async fn say(&mut self, notifications: &[Notification]) {
        let frames: Vec<u8> = notifications.iter().flat_map(Notification::encode_frame).collect();
        self.stream.write_all(&frames).await.expect("a connection to a server that runs");
    }

    /// The next notification, with its bytes.
    pub(crate) async fn hear(&mut self) -> (Notification, Vec<u8>) {
        self.hear_within(PATIENCE).await.expect("a notification in time")
    }

    /// The next notification, if it comes in time.
    pub(crate) async fn hear_within(&mut self, limit: Duration) -> Option<(Notification, Vec<u8>)> {
        let body = timeout(limit, self.body()).await.ok()?;
        Some((Notification::decode(&body).expect("a notification of a server"), body))
    }

    /// Loses nothing when it is cancelled.
    async fn body(&mut self) -> Vec<u8> {
        loop {
            if let Some(first) = self.buffer.first_chunk() {
                let end = 4 + frame_length(*first).expect("a frame of a server");
                if self.buffer.len() >= end {
                    let rest = self.buffer.split_off(end);
                    return std::mem::replace(&mut self.buffer, rest).split_off(4);
                }
            }
            let read =
                self.stream.read_buf(&mut self.buffer).await.expect("a connection to a server that runs");
            assert!(read > 0, "the server has closed the connection");
        }
    }
}

/// What a server answers to somebody without a vote.
pub(crate) async fn ask(server: SocketAddr) -> (Notification, Vec<u8>) {
    let mut connection = RawConnection::dial(stranger(), server).await;
    connection.say(&[question()]).await;
    connection.hear().await
}

/// What the next server says that dials here and closes, as one does whose id is the lower one.
pub(crate) async fn greeting(listener: &TcpListener) -> Vec<u8> {
    let accepting = timeout(PATIENCE, listener.accept()).await;
    let (mut stream, _) = accepting.expect("a connection in time").expect("a connection");
    let mut raw = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut raw)).await.expect("an end in time").expect("an end");
    raw
}
