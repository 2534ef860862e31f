//! The task of one connection: splits its input into frames, and sends the frames of the outbox.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::ReadHalf;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout, timeout_at};

use crate::engine::connection_id::ConnectionId;
use crate::server::four_letter;
use crate::server::outbox::Outbox;
use crate::server::state::{Handled, Shared};

/// The most bytes in a frame: ZooKeeper's default `jute.maxbuffer`.
const MAX_FRAME: usize = 0xf_ffff;
/// The most bytes in a connect request. Clients send less than 100 bytes.
const MAX_CONNECT_REQUEST: usize = 4096;
/// How long a client may take to send its connect request or four-letter word, and to read the answer to a word.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The bytes that are read at once.
const READ_SIZE: usize = 4096;
/// The frames that are handled before other tasks get a turn.
const BURST: usize = 64;

/// Serves one connection until it ends. Unregisters the connection even if the future is dropped.
pub(super) async fn serve(shared: Arc<Shared>, mut stream: TcpStream) {
    let Ok(address) = stream.peer_addr() else {
        return;
    };
    let _ = stream.set_nodelay(true);
    let Some((connection, outbox)) = shared.lock().opened(address) else {
        return;
    };
    let _registration = Registration { shared: &shared, connection };
    let (mut reading, writing) = stream.split();
    let word = tokio::select! {
        word = read(&shared, connection, &outbox, &mut reading) => word,
        () = outbox.drain(writing, &shared.pause) => None,
    };
    if let Some(word) = word {
        let answer = four_letter::answer(word, &shared.lock());
        if let Ok(Ok(())) = timeout(CONNECT_TIMEOUT, stream.write_all(answer.as_bytes())).await {
            let _ = stream.shutdown().await;
        }
    }
}

/// Reads and handles frames until the connection ends. If the client sent a four-letter word instead, returns it.
async fn read(
    shared: &Shared,
    connection: ConnectionId,
    outbox: &Outbox,
    socket: &mut ReadHalf<'_>,
) -> Option<[u8; 4]> {
    let mut buffer = Vec::new();
    let mut end = Instant::now() + CONNECT_TIMEOUT;
    if !fill_until(&mut end, shared, socket, &mut buffer, 4).await {
        return None;
    }
    if let Some(word) = buffer.first_chunk().copied().filter(four_letter::is_known) {
        return Some(word);
    }
    let mut connected = false;
    let mut frames = 0_usize;
    loop {
        let mut used = 0;
        while let Some((length, rest)) = buffer[used..].split_first_chunk() {
            let max = if connected { MAX_FRAME } else { MAX_CONNECT_REQUEST };
            let length = usize::try_from(i32::from_be_bytes(*length)).ok().filter(|it| *it <= max)?;
            let Some(frame) = rest.get(..length) else {
                break;
            };
            // A statement of its own, because the lock must not be held while the server is stopped.
            let handled = shared.lock().handle(connection, frame);
            // After each frame, because a reply can be thousands of times longer than its request.
            outbox.not_full().await;
            frames += 1;
            if frames.is_multiple_of(BURST) {
                yield_now().await;
            }
            match handled {
                Handled::Done => {
                    used += 4 + length;
                    connected = true;
                }
                Handled::NotNow => shared.pause.ended().await,
                Handled::Refused => return None,
            }
        }
        buffer.drain(..used);
        if buffer.is_empty() && buffer.capacity() > READ_SIZE {
            buffer = Vec::new();
        }
        let more = buffer.len() + 1;
        let filled = if connected {
            fill(shared, socket, &mut buffer, more).await
        } else {
            fill_until(&mut end, shared, socket, &mut buffer, more).await
        };
        if !filled {
            return None;
        }
    }
}

/// The same as [`fill`], until `end`. Time during which the server is stopped does not count.
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
            Err(_) if !shared.pause.is_set() => return false,
            Err(_) => {
                shared.pause.ended().await;
                *end = Instant::now() + CONNECT_TIMEOUT;
            }
        }
    }
}

/// Reads until the buffer holds `wanted` bytes; false if the connection has ended.
async fn fill(shared: &Shared, socket: &mut ReadHalf<'_>, buffer: &mut Vec<u8>, wanted: usize) -> bool {
    while buffer.len() < wanted {
        // Memory is reserved only when there is something to read, because many connections may be idle.
        if socket.readable().await.is_err() {
            return false;
        }
        shared.pause.ended().await;
        buffer.reserve(READ_SIZE);
        if !matches!(socket.read_buf(buffer).await, Ok(1..)) {
            return false;
        }
    }
    true
}

/// Unregisters the connection when it is dropped.
struct Registration<'a> {
    shared: &'a Shared,
    connection: ConnectionId,
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        self.shared.lock().closed(self.connection);
    }
}
