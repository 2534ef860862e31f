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
//! - *The id is fresh for each connection*, since a connection of the same id ends an older one ([`Ids`]).
//! - *The pause*: to an id that it has sent something to a server sends its last message again, which may be out of date.
//! - *The question has no state in which one votes, no vote, no configuration.* Servers act on the configuration of
//!   whoever sends one, a stranger too. They answer a stranger at once, whatever it says, and forget it.
//! - *The last answer counts*, since that old message can also come after the question.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
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

/// The ids of one inspection's connections: counted up from a random one, without those that this program uses at the
/// moment.
///
/// Drawn at random one by one, two of twenty connections at a time would have the same id often enough to be seen in tests.
/// Counted on from one inspection to the next, two programs that come across each other once would do so again and
/// again. So two programs can hit on the same one, but seldom, and not for long.
pub(super) struct Ids {
    next: AtomicU16,
}

/// The 16 bits of an id, which nobody else in this program has until it is dropped.
#[derive(Debug)]
struct Id(u16);

/// The 16 bits of the ids that are in use.
static IN_USE: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

fn in_use() -> MutexGuard<'static, BTreeSet<u16>> {
    IN_USE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ids {
    pub(super) fn new() -> Self {
        Self::from(fastrand::u16(..))
    }

    fn from(first: u16) -> Self {
        Self { next: AtomicU16::new(first) }
    }

    /// The next one that is free; `None` if this program has more than 65536 connections.
    fn take(&self) -> Option<Id> {
        let mut in_use = in_use();
        let next = (0..=u16::MAX).map(|_| self.next.fetch_add(1, Ordering::Relaxed));
        next.into_iter().find(|id| in_use.insert(*id)).map(Id)
    }
}

impl Drop for Id {
    fn drop(&mut self) {
        in_use().remove(&self.0);
    }
}

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
pub(super) async fn ask(stream: TcpStream, ids: &Ids, deadline: Instant) -> Result<Heard, Silence> {
    let Some(id) = ids.take() else { return Err(Silence::Unreachable(io::ErrorKind::AddrInUse)) };
    let from = ServerId(STRANGERS.0 | i64::from(id.0));
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
    let asked = Instant::now();
    frames.send(&question.encode_frame(), deadline).await?;
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
///
/// No more is read than the length of a frame, and then the rest of it. So whoever sends many is met with one `read` after
/// the other, and those yield to the runtime and its timers.
struct Frames {
    stream: TcpStream,
    /// What has come of the present frame.
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
            let missing = self.missing().map_err(Silence::NotTheProtocol)?;
            if missing == 0 {
                let notification = Notification::decode(&self.received[LENGTH_BYTES..]);
                self.received.clear();
                return notification.map_err(Silence::NotTheProtocol);
            }
            match (&mut self.stream).take(missing as u64).read_buf(&mut self.received).await {
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

    /// How many bytes are missing of the frame, or of its length if that has not come yet.
    fn missing(&self) -> Result<usize, DecodeError> {
        let length = match self.received.first_chunk::<LENGTH_BYTES>() {
            Some(first) => LENGTH_BYTES + frame_length(*first)?,
            None => LENGTH_BYTES,
        };
        Ok(length - self.received.len())
    }
}

/// How many bytes say how long a frame is.
const LENGTH_BYTES: usize = 4;

/// A server that closes a connection with bytes unread resets it.
fn failed(error: &io::Error) -> Silence {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
            Silence::Closed
        }
        kind => Silence::Unreachable(kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inspections_at_the_same_time_share_no_ids_and_the_numbers_are_free_again_after_it() {
        // Of two in one program that begin at the same number, and go over its end.
        let (one, other) = (Ids::from(u16::MAX), Ids::from(u16::MAX));
        let taken = [one.take(), other.take(), one.take(), other.take()].map(Option::unwrap);
        let different: BTreeSet<u16> = taken.iter().map(|id| id.0).collect();
        assert_eq!(different.len(), 4, "{taken:?}");
        assert!(taken[0].0 == u16::MAX && taken[1].0 == 0);
        drop(taken);
        assert_eq!(Ids::from(u16::MAX).take().map(|id| id.0), Some(u16::MAX));
    }
}
