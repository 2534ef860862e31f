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

/// The queue between whoever has something to send and the connection's own task.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: Mutex<Queue>,
    filled: Notify,
    emptied: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    chunks: VecDeque<Chunk>,
    /// Bytes in all chunks.
    bytes: usize,
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
        let before = queue.bytes;
        let chunk = match queue.chunks.back_mut() {
            Some(Chunk { last: true, .. }) => return,
            Some(chunk) if delay.is_zero() && chunk.due.is_none() => chunk,
            _ => {
                queue.chunks.push_back(Chunk::new(delay));
                queue.chunks.back_mut().expect("a chunk was pushed")
            }
        };
        let length = chunk.bytes.len();
        encode(&mut chunk.bytes);
        queue.bytes = before + chunk.bytes.len() - length;
        drop(queue);
        self.filled.notify_one();
    }

    /// Closes the connection when everything before has left.
    pub(super) fn close(&self, delay: Duration) {
        let mut queue = self.lock();
        queue.chunks.push_back(Chunk { last: true, ..Chunk::new(delay) });
        drop(queue);
        self.filled.notify_one();
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
    pub(super) async fn drain(&self, mut socket: impl AsyncWrite + Unpin, shared: &Shared) {
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
            self.emptied.notify_one();
        }
    }

    fn next(&self) -> Option<Chunk> {
        let mut queue = self.lock();
        if queue.bytes > TOO_MANY {
            *queue = Queue::default();
            return Some(Chunk { last: true, ..Chunk::new(Duration::ZERO) });
        }
        let chunk = queue.chunks.pop_front()?;
        queue.bytes -= chunk.bytes.len();
        if queue.chunks.is_empty() {
            mem::take(&mut queue.chunks);
        }
        Some(chunk)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Chunk {
    fn new(delay: Duration) -> Self {
        let due = (!delay.is_zero()).then(|| Instant::now() + delay);
        Self { due, bytes: Vec::new(), last: false }
    }
}
