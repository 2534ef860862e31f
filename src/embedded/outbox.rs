//! What waits to be sent over one connection.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::state::Shared;

/// As long as this many bytes wait, no more requests of the client are read.
const PLENTY: usize = 1 << 20;
/// A client that lets this many bytes wait does not read: it is disconnected.
const TOO_MANY: usize = 64 << 20;
/// A chunk with this many bytes is not added to.
const FULL: usize = 64 << 10;
/// How long a client may take to receive what was put in before its connection is closed.
const GRACE: Duration = Duration::from_secs(2);

/// The queue between whoever has something to send and the connection's own task.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: Mutex<Queue>,
    filled: Notify,
    emptied: Notify,
    ending: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    chunks: VecDeque<Chunk>,
    /// Bytes in all chunks, and in the one that is being sent.
    bytes: usize,
    /// When the last of what was added may leave.
    due: Option<Instant>,
    /// Nothing more is added, and the connection ends at this time, whatever the client has received.
    end: Option<Instant>,
}

#[derive(Debug)]
struct Chunk {
    /// Not to leave before; `None` for at once.
    due: Option<Instant>,
    bytes: Vec<u8>,
    /// Nothing follows: close the connection.
    last: bool,
}

impl Outbox {
    /// Adds a frame, which leaves after `delay` and after everything that was added before.
    pub(super) fn push(&self, delay: Duration, encode: impl FnOnce(&mut Vec<u8>)) {
        let mut queue = self.lock();
        if queue.end.is_some() {
            return;
        }
        let mut chunk = match queue.chunks.pop_back() {
            Some(chunk) if delay.is_zero() && chunk.due.is_none() && chunk.bytes.len() < FULL => chunk,
            other => {
                queue.chunks.extend(other);
                queue.chunk(delay)
            }
        };
        let length = chunk.bytes.len();
        encode(&mut chunk.bytes);
        queue.bytes += chunk.bytes.len() - length;
        queue.chunks.push_back(chunk);
        if queue.bytes > TOO_MANY {
            queue.chunks = VecDeque::new();
            queue.end = Some(Instant::now());
            self.ending.notify_one();
        }
        drop(queue);
        self.filled.notify_one();
    }

    /// Closes the connection when everything before has left, or could have left.
    pub(super) fn close(&self, delay: Duration) {
        let mut queue = self.lock();
        if queue.end.is_some() {
            return;
        }
        let chunk = queue.chunk(delay);
        queue.chunks.push_back(Chunk { last: true, ..chunk });
        let now = Instant::now();
        queue.end = Some(queue.due.map_or(now, |due| due.max(now)) + GRACE);
        drop(queue);
        self.filled.notify_one();
        self.ending.notify_one();
    }

    /// Waits until not too much waits to be sent.
    pub(super) async fn not_full(&self) {
        while self.lock().bytes > PLENTY {
            self.emptied.notified().await;
        }
    }

    /// Sends what is added, in order, until the connection is to be closed or breaks.
    ///
    /// Nothing is written while the server stands still.
    pub(super) async fn drain(&self, socket: impl AsyncWrite + Unpin, shared: &Shared) {
        tokio::select! {
            biased;
            () = self.send(socket, shared) => {}
            () = self.ended() => shared.running().await,
        }
    }

    async fn send(&self, mut socket: impl AsyncWrite + Unpin, shared: &Shared) {
        loop {
            let Some(Chunk { due, bytes, last }) = self.next() else {
                self.filled.notified().await;
                continue;
            };
            if let Some(due) = due {
                sleep_until(due).await;
            }
            shared.running().await;
            if socket.write_all(&bytes).await.is_err() {
                return;
            }
            if last {
                let _ = socket.shutdown().await;
                return;
            }
            self.lock().bytes -= bytes.len();
            self.emptied.notify_one();
        }
    }

    /// Waits until the connection has to end, though the client may not have received all.
    async fn ended(&self) {
        loop {
            let end = self.lock().end;
            if let Some(end) = end {
                return sleep_until(end).await;
            }
            self.ending.notified().await;
        }
    }

    fn next(&self) -> Option<Chunk> {
        let mut queue = self.lock();
        let chunk = queue.chunks.pop_front()?;
        if queue.chunks.is_empty() {
            mem::take(&mut queue.chunks);
        }
        Some(chunk)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn chunk(&mut self, delay: Duration) -> Chunk {
        let due = (!delay.is_zero()).then(|| Instant::now() + delay);
        self.due = self.due.max(due);
        Chunk { due, bytes: Vec::new(), last: false }
    }
}
