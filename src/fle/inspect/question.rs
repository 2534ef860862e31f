//! One question to one server, without disturbing it.
//!
//! After connecting: the greeting, a pause in which whatever comes is thrown away, the question, and the last answer within
//! a quiet moment. The reasons are those of ZooKeeper's servers:
//!
//! - *The greeting goes out at once.* A server accepts one election connection after the other and waits for the greeting of
//!   each. Who connects and is silent blocks the elections of that server.
//! - *The greeting has an id that no server has*, and nothing else: servers close a connection to another one of the same
//!   id, and dial back to ids lower than their own. So it is above all that are in use. Not the highest number, which says
//!   that an observer dials, and no negative one.
//! - *The id is fresh for each connection*, since a connection of the same id ends an older one. Those of one program
//!   are counted up from a random one, so that many inspections can run at once; drawn at random, two of twenty at a
//!   time are the same often enough to be seen in tests. Two programs hit on the same one now and then.
//! - *The pause*: to an id that it has sent something to a server sends its last message again, which may be out of date.
//! - *The question has no state in which one votes, no vote, no configuration.* Servers act on the configuration of
//!   whoever sends one, a stranger too. They answer a stranger at once, whatever it says, and forget it.
//! - *The last answer counts*, since that old message can also come after the question.

use std::io;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::super::codec::{Addresses, DecodeError, Hello, frame_length};
use super::super::notification::{Format, Notification};
use super::super::vote::{Round, ServerId, ServerState, Vote};
use super::inspection::Silence;

/// How long whatever comes before the question is thrown away.
pub(super) const PAUSE: Duration = Duration::from_millis(120);

/// How long it must be quiet after an answer for it to be the last one.
pub(super) const QUIET: Duration = Duration::from_millis(200);

/// The ids by which questions are asked: 16 bits above this one. Servers of an ensemble have lower ones.
pub(super) const STRANGERS: ServerId = ServerId(1 << 62);

/// The 16 bits of the next connection's id.
static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| AtomicU16::new(fastrand::u16(..)));

/// What a server answered, and how long after the question.
pub(super) struct Heard {
    pub(super) notification: Notification,
    pub(super) round_trip: Duration,
}

/// A connection over which nothing has gone yet. Whoever has one goes on with [`ask`] at once.
pub(super) async fn connect(server: SocketAddr, deadline: Instant) -> Result<TcpStream, Silence> {
    match timeout_at(deadline, TcpStream::connect(server)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => Err(Silence::Refused),
        Ok(Err(error)) => Err(Silence::Unreachable(error.kind())),
        Err(_) => Err(Silence::Unreachable(io::ErrorKind::TimedOut)),
    }
}

/// Asks over a new connection, and closes it. Takes until the deadline at most.
pub(super) async fn ask(stream: TcpStream, deadline: Instant) -> Result<Heard, Silence> {
    let from = ServerId(STRANGERS.0 | i64::from(NEXT.fetch_add(1, Ordering::Relaxed)));
    let mut frames = Frames { stream, received: Vec::new() };
    frames.send(&Hello { from, addresses: Addresses::None }.encode(), deadline).await?;
    // Only a failure ends this before the time.
    if let Ok(ended) = timeout_at((Instant::now() + PAUSE).min(deadline), frames.skip_all()).await {
        return Err(ended);
    }

    // What has begun to come before the question is no answer to it.
    let mut is_late = !frames.received.is_empty();
    let question = Notification {
        state: ServerState::Observing,
        vote: Vote::NONE,
        round: Round(0),
        format: Format::Numbered,
    };
    frames.send(&question.encode_frame(), deadline).await?;
    let asked = Instant::now();
    let mut last: Option<Heard> = None;
    let mut until = deadline;
    while Instant::now() < until {
        match timeout_at(until, frames.next()).await {
            Ok(Ok(_)) if is_late => is_late = false,
            Ok(Ok(notification)) => {
                last = Some(Heard { notification, round_trip: asked.elapsed() });
                until = (Instant::now() + QUIET).min(deadline);
            }
            Ok(Err(silence @ Silence::NotTheProtocol(_))) => return Err(silence),
            Ok(Err(silence)) => return last.ok_or(silence),
            Err(_) => break,
        }
    }
    last.ok_or(Silence::Deaf)
}

/// The frames that come over a connection.
struct Frames {
    stream: TcpStream,
    /// What has come and is not read yet: less than a frame and what one `read` brings.
    received: Vec<u8>,
}

impl Frames {
    async fn send(&mut self, bytes: &[u8], deadline: Instant) -> Result<(), Silence> {
        match timeout_at(deadline, self.stream.write_all(bytes)).await {
            Ok(sent) => sent.map_err(|error| failed(&error)),
            Err(_) => Err(Silence::Deaf),
        }
    }

    /// The next notification. Nothing is lost when this is dropped.
    async fn next(&mut self) -> Result<Notification, Silence> {
        loop {
            if let Some(frame) = self.frame().map_err(Silence::NotTheProtocol)? {
                return Notification::decode(&frame).map_err(Silence::NotTheProtocol);
            }
            match self.stream.read_buf(&mut self.received).await {
                Ok(0) => return Err(Silence::Closed),
                Ok(_) => {}
                Err(error) => return Err(failed(&error)),
            }
        }
    }

    /// Reads until it fails.
    async fn skip_all(&mut self) -> Silence {
        loop {
            if let Err(silence) = self.next().await {
                return silence;
            }
        }
    }

    /// The body of a frame that is complete.
    fn frame(&mut self) -> Result<Option<Vec<u8>>, DecodeError> {
        let Some((first, rest)) = self.received.split_first_chunk() else { return Ok(None) };
        let length = frame_length(*first)?;
        let Some(body) = rest.get(..length) else { return Ok(None) };
        let body = body.to_vec();
        self.received.drain(..first.len() + length);
        Ok(Some(body))
    }
}

/// A server that closes a connection with bytes unread resets it.
fn failed(error: &io::Error) -> Silence {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
            Silence::Closed
        }
        kind => Silence::Unreachable(kind),
    }
}
