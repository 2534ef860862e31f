//! Decides which servers to ask, and asks them: the I/O of an inspection.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::addresses::{AddressError, ServerAddress, parse_addresses};
use super::answer::Answer;
use super::ids::InspectorIds;
use super::inspection::Inspection;
use super::question::{self, PAUSE, QUIET, ReceivedAnswer};
use super::resolve::{Resolved, resolve};
use super::targets::{
    Attempt, MOST_SERVERS, ResolvedMembers, SocketState, Target, TriedSockets, next_targets, results,
};

/// The number of rounds of questions. One more than the first is usual, two if an old configuration came first.
const ROUNDS: usize = 4;

/// The shortest time-out: the pauses of a conversation, and some time for the rest.
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(500);

/// The longest time-out. A longer one counts as this.
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
/// It shows what no single server knows: whether the servers agree. Without a quorum, when `srvr` answers nothing useful, it
/// shows the vote of each server and which servers are missing.
///
/// It takes no part in the election: a server answers a non-voter with its vote, and does nothing else about it. For this
/// the conversation has a strict form. The inspector says hello with an id that no server has as soon as it is connected,
/// waits for 120 ms, asks once without a vote and without a configuration, listens until no message has come for 200 ms,
/// and closes. It never leaves a connection silent, because a server accepts election connections one after the other and
/// waits for the hello of each.
///
/// Each question leaves lines in the server's log: a connection from an id of 4611686018427387904 (2^62) or more, its end,
/// and two harmless stack traces about the end. A server also keeps its last message to each id until it stops, for 65,536
/// ids of inspectors at most. So an ensemble should be inspected every minute rather than every second.
///
/// The inspector does not encrypt. An election port that requires TLS (`sslQuorum`) or SASL (`quorum.auth`) closes the
/// connection, and is reported so.
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

/// Why an inspection did not take place. A server without an answer is no error, but part of the [`Inspection`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// The addresses are not valid. No server was asked.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The time-out is too short for an answer. No server was asked.
    #[error("a time-out of {timeout:?} is too short: set {SHORTEST_TIMEOUT:?} or more, the default is 5 s")]
    Timeout {
        /// The time-out.
        timeout: Duration,
    },
    /// Too many addresses are given. No server was asked.
    #[error(
        "{servers} addresses are given, and the inspector asks {MOST_SERVERS} servers at most: give fewer"
    )]
    TooManyServers {
        /// The number of addresses.
        servers: usize,
    },
}

impl Default for Inspector {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(5) }
    }
}

impl Inspector {
    /// An inspector with a time-out of 5 s for each server.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the time-out for each server, from the name lookup to the last byte. The default is 5 s, the minimum 500 ms; a
    /// time-out of more than an hour counts as an hour.
    ///
    /// An answer takes about 320 ms, because of the pauses in the conversation. The addresses of a server share its
    /// time-out: their lookup takes half of it at most.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Asks the servers with these election addresses, and all others that the configurations in their answers name.
    ///
    /// `servers` is `host:port[,host:port...]`, usually with port 3888, and with IPv6 addresses in brackets. The address of
    /// one running server is enough. ZooKeeper before 3.5 sends no configuration: give all addresses.
    ///
    /// The inspector asks in rounds, all servers of a round at the same time: first the given ones, then those that the
    /// answers name. So an inspection takes twice the time-out at most; up to four times, if the configurations contradict
    /// each other. It connects to the addresses that the configurations name, to each socket address once, to 256 servers
    /// and to eight addresses of a server at most. The inspection also lists the servers of the newest configuration that
    /// were not asked, with the reason ([`NoAnswer::NotAsked`](super::NoAnswer::NotAsked)).
    ///
    /// It needs a tokio runtime with I/O and time.
    ///
    /// # Cancel safety
    /// Dropping the future closes all its connections. A name lookup goes on until it ends, on a blocking thread of the
    /// runtime; a runtime that is dropped waits for it. The servers keep their last message to each id that asked.
    ///
    /// # Errors
    /// The addresses or the time-out are not valid; see [`InspectError`].
    ///
    /// # Connection loss
    /// A server that is not reached, closes the connection or does not answer has a [`NoAnswer`](super::NoAnswer) in the
    /// inspection. It is not asked again.
    pub async fn inspect(&self, servers: &str) -> Result<Inspection, InspectError> {
        let timeout = self.timeout;
        if timeout < SHORTEST_TIMEOUT.max(PAUSE + QUIET) {
            return Err(InspectError::Timeout { timeout });
        }
        let given = parse_addresses(servers)?;
        if given.len() > MOST_SERVERS {
            return Err(InspectError::TooManyServers { servers: given.len() });
        }
        let mut targets: Vec<Target> =
            given.into_iter().map(|address| Target { member: None, addresses: vec![address] }).collect();
        let (sockets, ids) = (TriedSockets::default(), InspectorIds::starting_at(fastrand::u16(..)));
        let mut attempts: Vec<Attempt> = Vec::new();
        let mut members = ResolvedMembers::new();
        for _ in 0..ROUNDS {
            let asking = targets.iter().map(|target| self.ask(&target.addresses, &sockets, &ids));
            for (target, (resolved, attempt)) in targets.iter().zip(join_all(asking).await) {
                members.extend(target.member.map(|id| (id, resolved)));
                attempts.extend(attempt.map(|attempt| Attempt { member: target.member, ..attempt }));
            }
            targets = next_targets(&attempts, &members);
            if targets.is_empty() {
                break;
            }
        }
        Ok(Inspection::new(results(attempts, &members, &sockets)))
    }

    /// Asks a server at the first of these addresses that accepts a connection. Returns the socket addresses and the
    /// attempt; no attempt if another one has used these socket addresses already.
    async fn ask(
        &self,
        addresses: &[ServerAddress],
        sockets: &TriedSockets,
        ids: &InspectorIds,
    ) -> (Vec<SocketAddr>, Option<Attempt>) {
        let deadline = Instant::now() + self.timeout.min(LONGEST_TIMEOUT);
        let first = addresses.first().map(ServerAddress::to_string).unwrap_or_default();
        let failure =
            |sockets, reason| Some(Attempt { member: None, address: first, sockets, outcome: Err(reason) });
        let resolved = match resolve(addresses, deadline).await {
            Ok(resolved) => resolved,
            Err(reason) => return (Vec::new(), failure(Vec::new(), reason)),
        };
        let all: Vec<SocketAddr> = resolved.iter().map(|it| it.socket).collect();
        if all.iter().any(|socket| sockets.is_connected(*socket)) {
            return (all, None);
        }
        let (mut failed, mut last_reason) = (Vec::new(), None);
        for (at, Resolved { address, socket }) in resolved.iter().enumerate() {
            if !sockets.take(*socket) {
                continue;
            }
            // Each address gets its share of the time, so that one that drops packets leaves time for the others.
            let left = deadline.saturating_duration_since(Instant::now());
            let others = u32::try_from(all.len() - at).unwrap_or(u32::MAX);
            match question::connect(*socket, Instant::now() + left / others).await {
                Ok(stream) => {
                    sockets.set(*socket, SocketState::Connected);
                    let outcome = question::ask(stream, ids, deadline).await.map(answer);
                    let (address, sockets) = (address.to_string(), vec![*socket]);
                    return (all, Some(Attempt { member: None, address, sockets, outcome }));
                }
                Err(reason) => {
                    sockets.set(*socket, SocketState::Failed(reason.clone()));
                    failed.push(*socket);
                    last_reason = Some(reason);
                }
            }
        }
        let are_all_tried = failed.len() == all.len();
        (all, last_reason.filter(|_| are_all_tried).and_then(|reason| failure(failed, reason)))
    }
}

fn answer(received: ReceivedAnswer) -> Answer {
    let ReceivedAnswer { notification, round_trip } = received;
    Answer { ballot: notification.ballot(), config: notification.config().map(str::parse), round_trip }
}
