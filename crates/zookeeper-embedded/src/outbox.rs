//! What waits to be sent over one connection.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::state::Shared;

/// As long as this many bytes wait for the client, no more of its requests are read.
const PAUSE_READING: usize = 1 << 20;
/// A client that lets this many bytes wait does not read: it is disconnected.
const DISCONNECT: usize = 64 << 20;
/// A chunk with this many bytes is not added to.
const CHUNK: usize = 64 << 10;
/// How long a client may take to receive what was put in before its connection is closed.
const GRACE: Duration = Duration::from_secs(2);

/// The queue between whoever has something to send and the connection's own task.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: Mutex<Queue>,
    /// The sender has to look again.
    changed: Notify,
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
            Some(chunk) if delay.is_zero() && chunk.due.is_none() && chunk.bytes.len() < CHUNK => chunk,
            other => {
                queue.chunks.extend(other);
                queue.chunk(delay)
            }
        };
        let length = chunk.bytes.len();
        encode(&mut chunk.bytes);
        queue.bytes += chunk.bytes.len() - length;
        queue.chunks.push_back(chunk);
        if queue.bytes > DISCONNECT {
            queue.cut();
            self.ending.notify_one();
        }
        drop(queue);
        self.changed.notify_one();
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
        self.changed.notify_one();
        self.ending.notify_one();
    }

    /// Closes the connection now, and drops what has not left.
    pub(super) fn cut(&self) {
        self.lock().cut();
        self.changed.notify_one();
        self.ending.notify_one();
    }

    /// Ends all delays: everything may leave now.
    pub(super) fn hurry(&self) {
        let mut queue = self.lock();
        queue.due = None;
        queue.chunks.iter_mut().for_each(|chunk| chunk.due = None);
        drop(queue);
        self.changed.notify_one();
    }

    /// Waits until not too much waits to be sent. What is delayed is not the client's fault.
    pub(super) async fn not_full(&self) {
        let full = |queue: &Queue| queue.bytes > PAUSE_READING && queue.due.is_none();
        while full(&self.lock()) {
            self.emptied.notified().await;
        }
    }

    /// Sends what is added, in order, until the connection is to be closed or breaks.
    ///
    /// Nothing is begun while the server stands still.
    pub(super) async fn drain(&self, socket: impl AsyncWrite + Unpin, shared: &Shared) {
        tokio::select! {
            biased;
            () = self.send(socket, shared) => {}
            () = self.ended() => shared.running().await,
        }
    }

    async fn send(&self, mut socket: impl AsyncWrite + Unpin, shared: &Shared) {
        loop {
            shared.running().await;
            match self.next() {
                Next::Nothing => self.changed.notified().await,
                Next::NotBefore(due) => tokio::select! {
                    () = sleep_until(due) => {}
                    () = self.changed.notified() => {}
                },
                Next::Chunk(Chunk { bytes, last, .. }) => {
                    if socket.write_all(&bytes).await.is_err() {
                        return;
                    }
                    if last {
                        let _ = socket.shutdown().await;
                        return;
                    }
                    let mut queue = self.lock();
                    queue.bytes -= bytes.len();
                    if queue.chunks.is_empty() {
                        queue.due = None;
                    }
                    drop(queue);
                    self.emptied.notify_one();
                }
            }
        }
    }

    /// Waits until the connection has to end, though the client may not have received all.
    async fn ended(&self) {
        loop {
            let end = self.lock().end;
            match end {
                Some(end) if end <= Instant::now() => return,
                // A cut may come before the end that was meant at first.
                Some(end) => tokio::select! {
                    () = sleep_until(end) => return,
                    () = self.ending.notified() => {}
                },
                None => self.ending.notified().await,
            }
        }
    }

    fn next(&self) -> Next {
        let mut queue = self.lock();
        match queue.chunks.front() {
            None => {
                mem::take(&mut queue.chunks);
                Next::Nothing
            }
            Some(Chunk { due: Some(due), .. }) if *due > Instant::now() => Next::NotBefore(*due),
            Some(_) => queue.chunks.pop_front().map_or(Next::Nothing, Next::Chunk),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is to be sent next.
enum Next {
    Nothing,
    NotBefore(Instant),
    Chunk(Chunk),
}

impl Queue {
    fn chunk(&mut self, delay: Duration) -> Chunk {
        let due = (!delay.is_zero()).then(|| Instant::now() + delay);
        self.due = self.due.max(due);
        Chunk { due, bytes: Vec::new(), last: false }
    }

    fn cut(&mut self) {
        self.chunks = VecDeque::new();
        self.due = None;
        self.end = Some(Instant::now());
    }
}
