//! Asks the servers of a live ensemble for their votes, without taking part.
//!
//! In comes the election address of a server, or several. Each is asked once (`question.rs`); the configurations in the
//! answers name the other servers, which are asked next. Out comes an [`Inspection`].

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

mod diagnosis;
mod finding;
mod inspection;
mod members;
mod not_asked;
mod question;
mod resolve;
mod server_list;

pub use self::finding::{Finding, Who};
pub use self::inspection::{Answer, InspectedServer, Inspection, Silence};
pub use self::not_asked::NotAsked;
pub use self::server_list::AddressError;

use self::members::{Asked, Members, Named, Sockets, Tried, lines, named_by};
use self::question::{Heard, Ids, PAUSE, QUIET};
use self::resolve::{Resolved, resolve};
use self::server_list::{ServerAddress, server_list};

/// How often the configurations may name servers that nobody named before. Once is usual, twice if an old one came first.
const WAVES: usize = 4;

/// The most servers that are asked, whatever the configurations say.
const MOST_SERVERS: usize = 256;

/// The shortest time-out: the pauses of a conversation, and some time for the rest.
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(500);

/// The longest time-out; what is longer counts as this.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// Asks the servers of an ensemble for their votes, with a time-out of 5 s for each; see [`Inspector::inspect`].
///
/// # Cancel safety
/// As [`Inspector::inspect`].
///
/// # Errors
/// As [`Inspector::inspect`].
///
/// # Connection loss
/// As [`Inspector::inspect`].
pub async fn inspect(servers: &str) -> Result<Inspection, InspectError> {
    Inspector::new().inspect(servers).await
}

/// Reads the votes of an ensemble's servers on their election ports.
///
/// It answers what no single server tells: whether they agree, and, where there is no quorum and `srvr` says nothing
/// any more, what each of them votes for, and who is missing.
///
/// It takes no part in the election. A server answers whoever is not of the ensemble with its vote, and does nothing
/// else about it. So the conversation has a strict form: the inspector greets with an id that no server has, in the
/// moment in which it is connected, waits for 120 ms, asks once, without a vote and without a configuration, listens
/// until it has been quiet for 200 ms, and closes. It never connects without speaking: a server accepts
/// election connections one after the other, and waits for the greeting of each.
///
/// What it leaves are lines in the servers' logs, at each question and on each server: a connection of an id from
/// 4611686018427387904 (2^62) on, its end, and two stack traces about that, which mean nothing. A server also keeps
/// its last message to each id, of which there are 65536 here, until it stops. So whoever watches an ensemble asks every
/// minute rather than every second.
///
/// It speaks without encryption. An election port that wants TLS (`sslQuorum`) or SASL (`quorum.auth`) closes the connection,
/// and is reported as such.
///
/// ```no_run
/// use std::time::Duration;
/// use zookeeper_fle::Inspector;
///
/// # async fn example() -> Result<(), zookeeper_fle::InspectError> {
/// let inspection = Inspector::new().timeout(Duration::from_secs(2)).inspect("10.0.0.1:3888").await?;
/// println!("{inspection}");
/// assert!(inspection.is_healthy());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Inspector {
    timeout: Duration,
}

/// Why there was no inspection. Servers that do not answer are no error but part of the [`Inspection`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// The addresses cannot be read. Nobody was asked.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The time-out does not leave a server the time to answer. Nobody was asked.
    #[error(
        "a time-out of {timeout:?} is too short for an answer: take {SHORTEST_TIMEOUT:?} or more, 5 s by default"
    )]
    Timeout {
        /// The time-out.
        timeout: Duration,
    },
    /// Too many addresses are given. Nobody was asked.
    #[error(
        "{servers} addresses are given, and no more than {MOST_SERVERS} servers are asked: give some of them"
    )]
    TooManyServers {
        /// How many.
        servers: usize,
    },
}

impl Default for Inspector {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(5) }
    }
}

impl Inspector {
    /// An inspector that gives each server 5 s.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How long each server has to answer, from the resolution of its name to the last byte; by default 5 s, at least
    /// 500 ms, and an hour at most: what is longer counts as that. A server that answers takes about 320 ms, by the pauses
    /// of the conversation. One that has several addresses shares the time among them: half of it goes to their names at
    /// most.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Asks the servers with these election addresses (`host:port[,host:port...]`, 3888 by custom; an IPv6 address in
    /// brackets), and all others that the configurations in their answers name. One address is enough, if its server
    /// runs; ZooKeeper before 3.5 sends no configuration, and is to be given with all addresses.
    ///
    /// Servers are asked at the same time, first those that were given, then the others: so it takes twice the
    /// time-out at most, where the configurations do not contradict each other, and four times at the very most. Each
    /// socket address is asked once. Connections go wherever the configurations say, but to 256 servers at most, and at
    /// eight addresses of each. Whoever of the newest configuration is not asked is listed all the same, with the reason
    /// ([`Silence::NotAsked`]).
    ///
    /// It needs a tokio runtime with I/O and time.
    ///
    /// # Cancel safety
    /// Dropping the future closes all its connections. A name lookup under way ends by itself, on a thread of the runtime
    /// for blocking work, and a runtime that is dropped waits for it. Servers keep their last message to each id that asked.
    ///
    /// # Errors
    /// What was given cannot be used; see [`InspectError`].
    ///
    /// # Connection loss
    /// A server that is not reached, closes the connection or does not answer has a [`Silence`] in the inspection. It is not
    /// asked again.
    pub async fn inspect(&self, servers: &str) -> Result<Inspection, InspectError> {
        let timeout = self.timeout;
        if timeout < SHORTEST_TIMEOUT.max(PAUSE + QUIET) {
            return Err(InspectError::Timeout { timeout });
        }
        let given = server_list(servers)?;
        if given.len() > MOST_SERVERS {
            return Err(InspectError::TooManyServers { servers: given.len() });
        }
        let mut next: Vec<Named> = given.into_iter().map(|address| (None, vec![address])).collect();
        let (sockets, ids) = (Sockets::default(), Ids::new());
        let mut asked: Vec<Asked> = Vec::new();
        let mut members = Members::new();
        for _ in 0..WAVES {
            let asking = next.iter().map(|(_, addresses)| self.ask(addresses, &sockets, &ids));
            for ((id, _), (resolved, outcome)) in next.iter().zip(join_all(asking).await) {
                members.extend(id.map(|id| (id, resolved)));
                asked.extend(outcome.map(|asked| Asked { member: *id, ..asked }));
            }
            next = named_by(&asked, &members);
            if next.is_empty() {
                break;
            }
        }
        Ok(Inspection::of(lines(asked, &members, &sockets)))
    }

    /// Asks the server with these addresses at the first of them that accepts a connection. Says what they stand for, and
    /// nothing else if it turns out to have been asked already.
    async fn ask(
        &self,
        addresses: &[ServerAddress],
        sockets: &Sockets,
        ids: &Ids,
    ) -> (Vec<SocketAddr>, Option<Asked>) {
        let deadline = Instant::now() + self.timeout.min(LONGEST_TIMEOUT);
        let first = addresses.first().map(ServerAddress::to_string).unwrap_or_default();
        let silent = |sockets, why| Some(Asked { member: None, address: first, sockets, outcome: Err(why) });
        let resolved = match resolve(addresses, deadline).await {
            Ok(resolved) => resolved,
            Err(why) => return (Vec::new(), silent(Vec::new(), why)),
        };
        let all: Vec<SocketAddr> = resolved.iter().map(|it| it.socket).collect();
        if all.iter().any(|socket| sockets.is_connected(*socket)) {
            return (all, None);
        }
        let (mut failed, mut silence) = (Vec::new(), None);
        for (at, Resolved { address, socket }) in resolved.iter().enumerate() {
            if !sockets.take(*socket) {
                continue;
            }
            // Each has its part of the time, so that one that swallows packets does not use up that of the others.
            let left = deadline.saturating_duration_since(Instant::now());
            let others = u32::try_from(all.len() - at).unwrap_or(u32::MAX);
            match question::connect(*socket, Instant::now() + left / others).await {
                Ok(stream) => {
                    sockets.set(*socket, Tried::Connected);
                    let outcome = question::ask(stream, ids, deadline).await.map(answer);
                    let (address, sockets) = (address.to_string(), vec![*socket]);
                    return (all, Some(Asked { member: None, address, sockets, outcome }));
                }
                Err(why) => {
                    sockets.set(*socket, Tried::Failed(why.clone()));
                    failed.push(*socket);
                    silence = Some(why);
                }
            }
        }
        let are_all_tried = failed.len() == all.len();
        (all, silence.filter(|_| are_all_tried).and_then(|why| silent(failed, why)))
    }
}

fn answer(heard: Heard) -> Answer {
    let Heard { notification, round_trip } = heard;
    Answer { ballot: notification.ballot(), config: notification.config().map(str::parse), round_trip }
}
