//! One question to one server, without disturbing it.
//!
//! The conversation: connect, hello, a pause in which all messages are discarded, the question, and the last answer before
//! a quiet interval. ZooKeeper's servers require this form:
//!
//! - *The hello goes out at once.* A server accepts election connections one after the other and waits for the hello of
//!   each. A silent connection blocks the elections of that server.
//! - *The hello carries an id that no server has, and no address.* A server closes an older connection of the same id, and
//!   dials back to ids lower than its own. So the id is above all ids in use. It is not the highest number, which marks an
//!   observer, and not negative.
//! - *The id is fresh for each connection*, because a connection of the same id ends an older one.
//! - *The pause*: to an id that it knows, a server sends its last message again, which may be out of date.
//! - *The question has no voting state, no vote and no configuration*, because a server acts on the configuration of any
//!   sender. It answers a non-voter at once, whatever the message, and forgets it.
//! - *The last answer counts*, because the repeated message can also come after the question.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::ids::InspectorIds;
use super::no_answer::NoAnswer;
use crate::codec::{Addresses, DecodeError, Hello, frame_length};
use crate::notification::{Format, Notification};
use crate::vote::{Round, ServerState, Vote};

/// The time before the question, in which all messages are discarded.
pub(super) const PAUSE: Duration = Duration::from_millis(120);

/// The quiet interval after which an answer is taken for the last one.
pub(super) const QUIET: Duration = Duration::from_millis(200);

/// A notification that came after the question.
pub(super) struct ReceivedAnswer {
    pub(super) notification: Notification,
    pub(super) round_trip: Duration,
}

/// Connects. The caller has to call [`ask`] at once.
pub(super) async fn connect(server: SocketAddr, deadline: Instant) -> Result<TcpStream, NoAnswer> {
    match timeout_at(deadline, TcpStream::connect(server)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => Err(NoAnswer::Refused),
        Ok(Err(error)) => Err(NoAnswer::Unreachable(error.kind())),
        Err(_) => Err(NoAnswer::Unreachable(io::ErrorKind::TimedOut)),
    }
}

/// Asks over a new connection, and closes it before the deadline.
pub(super) async fn ask(
    stream: TcpStream,
    ids: &InspectorIds,
    deadline: Instant,
) -> Result<ReceivedAnswer, NoAnswer> {
    let Some(id) = ids.take() else { return Err(NoAnswer::Unreachable(io::ErrorKind::AddrInUse)) };
    let mut frames = FrameStream { stream, received: Vec::new() };
    frames.send(&Hello { from: id.server_id(), addresses: Addresses::None }.encode(), deadline).await?;
    // Only an error ends this before the time-out.
    if let Ok(ended) = timeout_at((Instant::now() + PAUSE).min(deadline), frames.skip_all()).await {
        return Err(ended);
    }

    // A frame that has begun to come before the question is no answer to it.
    let mut is_stale = !frames.received.is_empty();
    let question = Notification {
        state: ServerState::Observing,
        vote: Vote::NONE,
        round: Round(0),
        format: Format::Numbered,
    };
    let asked = Instant::now();
    frames.send(&question.encode_frame(), deadline).await?;
    let mut last: Option<ReceivedAnswer> = None;
    let mut until = deadline;
    while Instant::now() < until {
        match timeout_at(until, frames.next()).await {
            Ok(Ok(_)) if is_stale => is_stale = false,
            Ok(Ok(notification)) => {
                last = Some(ReceivedAnswer { notification, round_trip: asked.elapsed() });
                until = (Instant::now() + QUIET).min(deadline);
            }
            Ok(Err(no_answer @ NoAnswer::NotTheProtocol(_))) => return Err(no_answer),
            Ok(Err(no_answer)) => return last.ok_or(no_answer),
            Err(_) => break,
        }
    }
    last.ok_or(NoAnswer::Deaf)
}

/// A connection that carries frames.
///
/// Each read takes the length of a frame or the rest of it, and no more. So a flood of small frames takes many reads,
/// which yield to the runtime and its timers.
struct FrameStream {
    stream: TcpStream,
    /// The bytes of the current frame so far.
    received: Vec<u8>,
}

impl FrameStream {
    async fn send(&mut self, bytes: &[u8], deadline: Instant) -> Result<(), NoAnswer> {
        match timeout_at(deadline, self.stream.write_all(bytes)).await {
            Ok(sent) => sent.map_err(|error| failed(&error)),
            Err(_) => Err(NoAnswer::Deaf),
        }
    }

    /// The next notification. Cancel safe: no bytes are lost when this is dropped.
    async fn next(&mut self) -> Result<Notification, NoAnswer> {
        loop {
            let missing = self.missing().map_err(NoAnswer::NotTheProtocol)?;
            if missing == 0 {
                let notification = Notification::decode(&self.received[LENGTH_BYTES..]);
                self.received.clear();
                return notification.map_err(NoAnswer::NotTheProtocol);
            }
            match (&mut self.stream).take(missing as u64).read_buf(&mut self.received).await {
                Ok(0) => return Err(NoAnswer::Closed),
                Ok(_) => {}
                Err(error) => return Err(failed(&error)),
            }
        }
    }

    /// Reads and discards notifications until an error.
    async fn skip_all(&mut self) -> NoAnswer {
        loop {
            if let Err(no_answer) = self.next().await {
                return no_answer;
            }
        }
    }

    /// The number of bytes missing from the frame, or from its length while that is incomplete.
    fn missing(&self) -> Result<usize, DecodeError> {
        let length = match self.received.first_chunk::<LENGTH_BYTES>() {
            Some(first) => LENGTH_BYTES + frame_length(*first)?,
            None => LENGTH_BYTES,
        };
        Ok(length - self.received.len())
    }
}

/// The size of a frame's length.
const LENGTH_BYTES: usize = 4;

/// The reason for this error. A server that closes a connection with unread bytes resets it.
fn failed(error: &io::Error) -> NoAnswer {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
            NoAnswer::Closed
        }
        kind => NoAnswer::Unreachable(kind),
    }
}
