//! One connection: cuts what comes into frames, and sends what the outbox holds.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::ReadHalf;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout, timeout_at};

use crate::engine::ConnectionId;
use crate::outbox::Outbox;
use crate::state::{Handled, Shared};
use crate::words;

/// The longest frame that a client may send: ZooKeeper's default `jute.maxbuffer`.
const LONGEST: usize = 0xf_ffff;
/// The longest request for a session; those that clients send have less than 100 bytes.
const LONGEST_GREETING: usize = 4096;
/// How long a client may take to ask for a session, or for a word and to read the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How much is read at once.
const CHUNK: usize = 4096;
/// After so many frames it is the turn of other tasks.
const BURST: usize = 64;

/// Serves one connection until it ends, and cleans up after it even when dropped.
pub(super) async fn serve(shared: Arc<Shared>, mut stream: TcpStream) {
    let Ok(address) = stream.peer_addr() else {
        return;
    };
    let _ = stream.set_nodelay(true);
    let Some((connection, outbox)) = shared.lock().opened(address) else {
        return;
    };
    let _open = Open { shared: &shared, connection };
    let (mut reading, writing) = stream.split();
    let word = tokio::select! {
        word = read(&shared, connection, &outbox, &mut reading) => word,
        () = outbox.drain(writing, &shared) => None,
    };
    if let Some(word) = word {
        let answer = words::answer(word, &shared.lock());
        if let Ok(Ok(())) = timeout(PATIENCE, stream.write_all(answer.as_bytes())).await {
            let _ = stream.shutdown().await;
        }
    }
}

/// Reads frames until the connection ends. Returns the four-letter word if it was one instead.
async fn read(
    shared: &Shared,
    connection: ConnectionId,
    outbox: &Outbox,
    socket: &mut ReadHalf<'_>,
) -> Option<[u8; 4]> {
    let mut buffer = Vec::new();
    let mut end = Instant::now() + PATIENCE;
    if !fill_until(&mut end, shared, socket, &mut buffer, 4).await {
        return None;
    }
    if let Some(word) = buffer.first_chunk().copied().filter(words::is_known) {
        return Some(word);
    }
    let mut greeted = false;
    let mut frames = 0_usize;
    loop {
        let mut used = 0;
        while let Some((length, rest)) = buffer[used..].split_first_chunk() {
            let longest = if greeted { LONGEST } else { LONGEST_GREETING };
            let length = usize::try_from(i32::from_be_bytes(*length)).ok().filter(|it| *it <= longest)?;
            let Some(frame) = rest.get(..length) else {
                break;
            };
            // A statement of its own: the lock must not be held while the server stands still.
            let handled = shared.lock().handle(connection, frame);
            // After each frame: what is asked for can be thousands of times longer than the question.
            outbox.not_full().await;
            frames += 1;
            if frames.is_multiple_of(BURST) {
                yield_now().await;
            }
            match handled {
                Handled::Done => {
                    used += 4 + length;
                    greeted = true;
                }
                Handled::NotNow => shared.running().await,
                Handled::Refused => return None,
            }
        }
        buffer.drain(..used);
        if buffer.is_empty() && buffer.capacity() > CHUNK {
            buffer = Vec::new();
        }
        let more = buffer.len() + 1;
        let filled = if greeted {
            fill(shared, socket, &mut buffer, more).await
        } else {
            fill_until(&mut end, shared, socket, &mut buffer, more).await
        };
        if !filled {
            return None;
        }
    }
}

/// The same as [`fill`], with an end; while the server stands still there is none.
async fn fill_until(
    end: &mut Instant,
    shared: &Shared,
    socket: &mut ReadHalf<'_>,
    buffer: &mut Vec<u8>,
    wanted: usize,
) -> bool {
    loop {
        match timeout_at(*end, fill(shared, socket, buffer, wanted)).await {
            Ok(filled) => return filled,
            Err(_) if !shared.is_stopped() => return false,
            Err(_) => {
                shared.running().await;
                *end = Instant::now() + PATIENCE;
            }
        }
    }
}

/// Reads until there are this many bytes; false at the end of the connection.
async fn fill(shared: &Shared, socket: &mut ReadHalf<'_>, buffer: &mut Vec<u8>, wanted: usize) -> bool {
    while buffer.len() < wanted {
        // No memory for those that say nothing.
        if socket.readable().await.is_err() {
            return false;
        }
        shared.running().await;
        buffer.reserve(CHUNK);
        if !matches!(socket.read_buf(buffer).await, Ok(1..)) {
            return false;
        }
    }
    true
}

/// Takes the connection off the server's books.
struct Open<'a> {
    shared: &'a Shared,
    connection: ConnectionId,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.shared.lock().closed(self.connection);
    }
}
