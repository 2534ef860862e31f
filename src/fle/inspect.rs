//! Asks the servers of a live ensemble for their votes, without taking part.
//!
//! In comes the election address of a server, or several. Each is asked once (`question.rs`); the configurations in the
//! answers name the other servers, which are asked next. Out comes an [`Inspection`].

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::net::lookup_host;
use tokio::time::{Instant, timeout_at};

use super::config::EnsembleConfig;
use super::vote::{ServerId, ServerState};

mod diagnosis;
mod finding;
mod inspection;
mod question;
mod server_list;

pub use self::finding::{Finding, Who};
pub use self::inspection::{Answer, InspectedServer, Inspection, Silence};
pub use self::server_list::AddressError;

use self::question::{Heard, PAUSE, QUIET, STRANGERS};
use self::server_list::{ServerAddress, server_list};

/// How often the configurations may name servers that nobody named before. Once is usual, twice if an old one came first.
const WAVES: usize = 4;

/// The most servers that are asked, whatever the configurations say.
const MOST_SERVERS: usize = 256;

/// The shortest time-out: the pauses of a conversation, and some time for the rest.
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(500);

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
/// use zookeeper_election::fle::Inspector;
///
/// # async fn example() -> Result<(), zookeeper_election::fle::InspectError> {
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
    /// The ensemble has a server whose id is not below those by which the inspector asks. Nobody was asked after that.
    #[error(
        "server {id} of the ensemble has an id from {STRANGERS} on, where an inspection could be taken for a server"
    )]
    ServerId {
        /// The server.
        id: ServerId,
    },
    /// The addresses or the configurations name too many servers. No more than those given were asked.
    #[error("{servers} servers are named, and no more than {MOST_SERVERS} are asked")]
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
    /// 500 ms. A server that answers takes about 320 ms, by the pauses of the conversation.
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
    /// socket address is asked once. Connections go wherever the configurations say.
    ///
    /// It needs a tokio runtime with I/O and time.
    ///
    /// # Cancel safety
    /// Dropping the future closes all its connections. Nothing goes on, and the servers remember nothing.
    ///
    /// # Errors
    /// What was given cannot be used, or the ensemble cannot be asked safely; see [`InspectError`].
    ///
    /// # Connection loss
    /// A server that is not reached, closes the connection or does not answer has a [`Silence`] in the inspection. It is not
    /// asked again.
    pub async fn inspect(&self, servers: &str) -> Result<Inspection, InspectError> {
        let timeout = self.timeout;
        if timeout < SHORTEST_TIMEOUT.max(PAUSE + QUIET) {
            return Err(InspectError::Timeout { timeout });
        }
        let sockets = Sockets::default();
        let mut asked: Vec<Asked> = Vec::new();
        let mut members = BTreeMap::new();
        let given = server_list(servers)?.into_iter().map(|address| (None, vec![address]));
        let mut next: Vec<Named> = given.collect();
        for _ in 0..WAVES {
            let servers = asked.len() + next.len();
            if servers > MOST_SERVERS {
                return Err(InspectError::TooManyServers { servers });
            }
            let asking = next.iter().map(|(_, addresses)| self.ask(addresses, &sockets));
            for ((id, _), (resolved, outcome)) in next.iter().zip(join_all(asking).await) {
                members.extend(id.map(|id| (id, resolved)));
                asked.extend(outcome.map(|asked| Asked { member: *id, ..asked }));
            }
            next = named_by(&asked, &members)?;
            if next.is_empty() {
                break;
            }
        }
        Ok(Inspection::of(asked.into_iter().map(|asked| asked.inspected(&members)).collect()))
    }

    /// Asks the server with these addresses at the first of them that accepts a connection. Says what they stand for, and
    /// nothing else if it turns out to have been asked already.
    async fn ask(&self, addresses: &[ServerAddress], sockets: &Sockets) -> (Vec<SocketAddr>, Option<Asked>) {
        let deadline = Instant::now() + self.timeout;
        let address = addresses.first().map(ServerAddress::to_string).unwrap_or_default();
        let resolved = resolve(addresses, deadline).await;
        if resolved.iter().any(|socket| sockets.is_asked(*socket)) {
            return (resolved, None);
        }
        let (mut refused, mut taken, mut silence) = (Vec::new(), false, Silence::Unresolved);
        for (at, socket) in resolved.iter().enumerate() {
            if !sockets.take(*socket) {
                taken = true;
                continue;
            }
            // Each has its part of the time, so that one that swallows packets does not use up that of the others.
            let left = deadline.saturating_duration_since(Instant::now());
            let others = u32::try_from(resolved.len() - at).unwrap_or(u32::MAX);
            match question::connect(*socket, Instant::now() + left / others).await {
                Ok(stream) => {
                    let outcome = question::ask(stream, deadline).await.map(answer);
                    sockets.asked(*socket);
                    return (
                        resolved.clone(),
                        Some(Asked { member: None, address, sockets: vec![*socket], outcome }),
                    );
                }
                Err(why) => silence = why,
            }
            refused.push(*socket);
        }
        let asked =
            (!taken).then_some(Asked { member: None, address, sockets: refused, outcome: Err(silence) });
        (resolved, asked)
    }
}

/// Somebody to be asked: as whom, where a configuration names it, and its addresses.
type Named = (Option<ServerId>, Vec<ServerAddress>);

/// Somebody who was asked.
struct Asked {
    /// As whom, where a configuration named it.
    member: Option<ServerId>,
    address: String,
    /// The one with which there was a connection, or if there was none all that were tried.
    sockets: Vec<SocketAddr>,
    outcome: Result<Answer, Silence>,
}

impl Asked {
    fn inspected(self, members: &BTreeMap<ServerId, Vec<SocketAddr>>) -> InspectedServer {
        let id = self.id(members);
        InspectedServer { id, address: self.address, role: None, outcome: self.outcome }
    }

    /// Who it is: by its address if a configuration has that; otherwise a leader votes for itself, and some call themselves
    /// `0.0.0.0` in their own configuration.
    fn id(&self, members: &BTreeMap<ServerId, Vec<SocketAddr>>) -> Option<ServerId> {
        let is_here = |sockets: &[SocketAddr]| sockets.iter().any(|socket| self.sockets.contains(socket));
        let by_address = || members.iter().find(|(_, sockets)| is_here(sockets)).map(|(id, _)| *id);
        let answer = self.outcome.as_ref().ok();
        let leading =
            || answer.filter(|it| it.ballot.state == ServerState::Leading).map(|it| it.ballot.vote.leader);
        let by_itself = || {
            let servers = &answer?.readable_config()?.servers;
            let mut unspecified = servers.iter().filter(|(_, member)| member.is_unspecified());
            unspecified.next().filter(|_| unspecified.next().is_none()).map(|(id, _)| *id)
        };
        self.member.or_else(by_address).or_else(leading).or_else(by_itself)
    }
}

/// Which sockets have been tried, by whoever does so at the same time, and which of them spoke.
#[derive(Default)]
struct Sockets(Mutex<HashMap<SocketAddr, bool>>);

impl Sockets {
    /// Whether nobody has tried this one before.
    fn take(&self, socket: SocketAddr) -> bool {
        self.with(|sockets| sockets.insert(socket, sockets.get(&socket).is_some_and(|it| *it)).is_none())
    }

    /// There was a connection with this one.
    fn asked(&self, socket: SocketAddr) {
        self.with(|sockets| _ = sockets.insert(socket, true));
    }

    fn is_asked(&self, socket: SocketAddr) -> bool {
        self.with(|sockets| sockets.get(&socket).is_some_and(|it| *it))
    }

    fn with<T>(&self, work: impl FnOnce(&mut HashMap<SocketAddr, bool>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The servers that the configurations name and that have not been asked, by the newest configuration that has each.
///
/// Addresses that stand for all of a machine's are left out: here they would be this machine's.
fn named_by(
    asked: &[Asked],
    members: &BTreeMap<ServerId, Vec<SocketAddr>>,
) -> Result<Vec<Named>, InspectError> {
    let answers = asked.iter().filter_map(|it| it.outcome.as_ref().ok());
    let mut configs: Vec<&EnsembleConfig> = answers.filter_map(Answer::readable_config).collect();
    configs.sort_by_key(|config| Reverse(config.version));
    let mut named = BTreeMap::new();
    for (id, member) in configs.into_iter().flat_map(|config| &config.servers) {
        if *id >= STRANGERS {
            return Err(InspectError::ServerId { id: *id });
        }
        if !members.contains_key(id) && !named.contains_key(id) && !member.is_unspecified() {
            named.insert(*id, member.addresses.iter().map(ServerAddress::from).collect());
        }
    }
    Ok(named.into_iter().map(|(id, addresses)| (Some(id), addresses)).collect())
}

/// The socket addresses, in the order of the names. A name that has none is left out.
async fn resolve(addresses: &[ServerAddress], deadline: Instant) -> Vec<SocketAddr> {
    let lookups = addresses.iter().map(|it| timeout_at(deadline, lookup_host((it.host.as_str(), it.port))));
    let mut resolved = Vec::new();
    for sockets in join_all(lookups).await.into_iter().flatten().flatten() {
        for socket in sockets {
            if !resolved.contains(&socket) {
                resolved.push(socket);
            }
        }
    }
    resolved
}

fn answer(heard: Heard) -> Answer {
    let Heard { notification, round_trip } = heard;
    Answer { ballot: notification.ballot(), config: notification.config().map(str::parse), round_trip }
}
