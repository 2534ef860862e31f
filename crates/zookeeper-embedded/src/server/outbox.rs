//! The frames that wait to be sent on one connection.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::server::pause::Pause;

/// While more bytes than this wait for the client, no further requests are read.
const PAUSE_READING: usize = 1 << 20;
/// A client for which more bytes than this wait is disconnected.
const DISCONNECT: usize = 64 << 20;
/// No frame is added to a chunk of this size.
const CHUNK_SIZE: usize = 64 << 10;
/// How long a client may take to receive the last frames before its connection is closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The queue between the tasks that send frames and the connection's own task.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: Mutex<Queue>,
    /// The queue has changed, except by sending.
    changed: Notify,
    /// A chunk was sent.
    sent: Notify,
    /// The queue's `end` has changed.
    ending: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    chunks: VecDeque<Chunk>,
    /// The bytes in all chunks, including the one that is being sent.
    bytes: usize,
    /// When the last chunk may be sent, if it is delayed.
    due: Option<Instant>,
    /// The latest time for the end of the connection. Once it is set, no frame is added.
    end: Option<Instant>,
}

#[derive(Debug)]
struct Chunk {
    /// The earliest time to send it; `None` for at once.
    due: Option<Instant>,
    bytes: Vec<u8>,
    /// Whether the connection is closed after it.
    last: bool,
}

impl Outbox {
    /// Adds a frame, to be sent after `delay` and after all earlier frames.
    pub(super) fn push(&self, delay: Duration, encode: impl FnOnce(&mut Vec<u8>)) {
        let mut queue = self.lock();
        if queue.end.is_some() {
            return;
        }
        let mut chunk = match queue.chunks.pop_back() {
            Some(chunk) if delay.is_zero() && chunk.due.is_none() && chunk.bytes.len() < CHUNK_SIZE => chunk,
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

    /// Closes the connection after all earlier frames are sent, or [`CLOSE_TIMEOUT`] after they could have been.
    pub(super) fn close(&self, delay: Duration) {
        let mut queue = self.lock();
        if queue.end.is_some() {
            return;
        }
        let chunk = queue.chunk(delay);
        queue.chunks.push_back(Chunk { last: true, ..chunk });
        let now = Instant::now();
        queue.end = Some(queue.due.map_or(now, |due| due.max(now)) + CLOSE_TIMEOUT);
        drop(queue);
        self.changed.notify_one();
        self.ending.notify_one();
    }

    /// Closes the connection now, and drops the frames that are not sent yet.
    pub(super) fn cut(&self) {
        self.lock().cut();
        self.changed.notify_one();
        self.ending.notify_one();
    }

    /// Ends the delays of all frames that wait.
    pub(super) fn end_delays(&self) {
        let mut queue = self.lock();
        queue.due = None;
        queue.chunks.iter_mut().for_each(|chunk| chunk.due = None);
        drop(queue);
        self.changed.notify_one();
    }

    /// Waits until few enough bytes wait to be sent. Delayed frames do not count, because the client is not slow.
    pub(super) async fn not_full(&self) {
        let full = |queue: &Queue| queue.bytes > PAUSE_READING && queue.due.is_none();
        while full(&self.lock()) {
            self.sent.notified().await;
        }
    }

    /// Sends the frames in their order until the connection is closed or breaks. Sends nothing new while the server is
    /// stopped.
    pub(super) async fn drain(&self, socket: impl AsyncWrite + Unpin, pause: &Pause) {
        tokio::select! {
            biased;
            () = self.send(socket, pause) => {}
            () = self.ended() => pause.ended().await,
        }
    }

    async fn send(&self, mut socket: impl AsyncWrite + Unpin, pause: &Pause) {
        loop {
            pause.ended().await;
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
                    self.sent.notify_one();
                }
            }
        }
    }

    /// Waits until the latest time for the end of the connection.
    async fn ended(&self) {
        loop {
            let end = self.lock().end;
            match end {
                Some(end) if end <= Instant::now() => return,
                // A cut can move the end forward.
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

/// The next step of the sending task.
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
