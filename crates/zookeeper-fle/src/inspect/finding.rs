//! The conclusions of a diagnosis.

use std::fmt;

use crate::codec::DecodeError;
use crate::config::ConfigError;
use crate::vote::{Epoch, ServerId, ServerState, Vote, Zxid};

use super::no_answer::NoAnswer;
use super::server_ref::ServerRef;

/// One conclusion from the answers of an ensemble's servers. Prints as a sentence.
///
/// An inspection reads each server once, at about the same time. During an election and shortly after one, the answers can
/// contradict each other: inspect again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// One server leads, and a quorum, the leader included, confirms it.
    Settled {
        /// The leader.
        leader: ServerId,
        /// The epoch of its leadership.
        epoch: Epoch,
        /// The voters that follow it.
        followers: Vec<ServerRef>,
    },
    /// Several servers claim leadership. FastLeaderElection allows that for a while: those without a quorum give up
    /// within `initLimit` or `syncLimit` ticks. Zab lets only the one with a quorum commit transactions. The epochs do
    /// not tell which one that is, because a leader that is not established yet shows an earlier epoch.
    SeveralLeaders {
        /// The servers that claim leadership, with their epochs. An id that occurs twice is a
        /// [`Finding::Contradiction`] too.
        leaders: Vec<(ServerId, Epoch)>,
    },
    /// One server claims leadership, and the voters that confirm it are no quorum. In a healthy ensemble this means that
    /// the inspector does not reach enough servers, for example because of a firewall.
    LeaderUnconfirmed {
        /// The server that claims leadership.
        leader: ServerId,
        /// The epoch of its leadership.
        epoch: Epoch,
        /// The voters that confirm it, itself included. A server with a [`Finding::Contradiction`] counts only if all its
        /// answers confirm the leader.
        supporters: Vec<ServerRef>,
        /// The number of voters that answer.
        answering: usize,
        /// The number of voters; of the servers asked, if no answer has a configuration.
        voters: usize,
        /// The size of the smallest quorum.
        needed: usize,
    },
    /// No server claims leadership, and the voters that answer are no quorum. The other voters may have a leader that the
    /// inspector does not reach.
    NoQuorum {
        /// The number of voters that answer.
        answering: usize,
        /// The number of voters; of the servers asked, if no answer has a configuration.
        voters: usize,
        /// The size of the smallest quorum.
        needed: usize,
        /// The voters without an answer, or whose answer is [unidentified](Finding::Unidentified).
        missing: Vec<ServerId>,
    },
    /// A quorum answers, and no server claims leadership.
    Unsettled {
        /// The servers that are looking. Empty if all follow a leader that does not claim leadership
        /// ([`Finding::FollowsNoLeader`]).
        looking: Vec<ServerRef>,
    },
    /// The winner if the reachable servers held an election now.
    WouldElect {
        /// The highest of their votes.
        vote: Vote,
        /// The servers whose zxid may be higher than the one they report, because they may have led since their start: then
        /// they report the zxid with which they were elected.
        unsure: Vec<ServerRef>,
    },
    /// The winner of an election cannot be predicted. A looking server reports the vote that it settled on last, and its
    /// own history only after a start.
    NextUnknown {
        /// The servers that report a vote for another server.
        old_votes: Vec<ServerRef>,
        /// The servers whose id is unknown, so that it is unknown whether they vote for themselves.
        unidentified: Vec<ServerRef>,
    },
    /// One id gave contradictory answers: two processes have the id, an address belongs to another ensemble, or there was
    /// an election or a reconfiguration between the answers. Other findings name these servers by [`ServerRef::At`].
    Contradiction {
        /// The id.
        id: ServerId,
        /// The addresses of the answers.
        addresses: Vec<String>,
    },
    /// One server claims leadership, and others do not follow it yet.
    NotJoined {
        /// The servers that are looking.
        looking: Vec<ServerRef>,
    },
    /// Some servers follow a server that does not claim leadership.
    FollowsNoLeader {
        /// The server that they follow.
        leader: ServerId,
        /// The epoch in which they follow it.
        epoch: Epoch,
        /// That server's own state; `None` if it does not answer. [`ServerState::Leading`] means: in another epoch.
        state: Option<ServerState>,
        /// The followers.
        followers: Vec<ServerRef>,
    },
    /// The servers have different configurations.
    ConfigsDiffer {
        /// Each configuration by its version, with the servers that have it. Different texts can have the same version.
        versions: Vec<(Zxid, Vec<ServerRef>)>,
    },
    /// A server sent a configuration that is not valid.
    ConfigUnreadable {
        /// The server.
        server: ServerRef,
        /// The error in the configuration.
        error: ConfigError,
    },
    /// A port accepts connections, and no answer comes. Another client may block it with a silent connection, because a
    /// server accepts election connections one after the other. If this lasts, the process is stopped or hangs, or it no
    /// longer reads votes.
    Deaf {
        /// The servers.
        servers: Vec<ServerRef>,
    },
    /// A port closes the connection at once, as election ports do that require TLS or SASL.
    Closed {
        /// The servers.
        servers: Vec<ServerRef>,
    },
    /// A server is not reached.
    NotReached {
        /// The server.
        server: ServerRef,
        /// The reason.
        reason: NoAnswer,
    },
    /// Servers of the newest configuration were not asked, for no known reason.
    NotAsked {
        /// The servers.
        servers: Vec<ServerId>,
    },
    /// The bytes from a port are not the election protocol.
    Foreign {
        /// The server.
        server: ServerRef,
        /// The error in the bytes.
        error: DecodeError,
    },
    /// Answers whose sender is unknown, because the configuration does not have the address that was asked, and the answer
    /// does not tell.
    Unidentified {
        /// The addresses of the answers.
        servers: Vec<ServerRef>,
    },
    /// No answer has a configuration, which ZooKeeper sends since 3.5. The servers asked are taken for the ensemble.
    NoConfig,
    /// No server answers.
    Nobody,
}

impl Finding {
    /// A stable name for programs: `settled`, `several_leaders`, `leader_unconfirmed`, `no_quorum`, `unsettled`,
    /// `would_elect`, `next_unknown`, `contradiction`, `not_joined`, `follows_no_leader`, `configs_differ`,
    /// `config_unreadable`, `deaf`, `closed`, `not_reached`, `not_asked`, `foreign`, `unidentified`, `no_config`,
    /// `nobody`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Settled { .. } => "settled",
            Self::SeveralLeaders { .. } => "several_leaders",
            Self::LeaderUnconfirmed { .. } => "leader_unconfirmed",
            Self::NoQuorum { .. } => "no_quorum",
            Self::Unsettled { .. } => "unsettled",
            Self::WouldElect { .. } => "would_elect",
            Self::NextUnknown { .. } => "next_unknown",
            Self::Contradiction { .. } => "contradiction",
            Self::NotJoined { .. } => "not_joined",
            Self::FollowsNoLeader { .. } => "follows_no_leader",
            Self::ConfigsDiffer { .. } => "configs_differ",
            Self::ConfigUnreadable { .. } => "config_unreadable",
            Self::Deaf { .. } => "deaf",
            Self::Closed { .. } => "closed",
            Self::NotReached { .. } => "not_reached",
            Self::NotAsked { .. } => "not_asked",
            Self::Foreign { .. } => "foreign",
            Self::Unidentified { .. } => "unidentified",
            Self::NoConfig => "no_config",
            Self::Nobody => "nobody",
        }
    }

    /// Whether an operator should look at this: every finding but a settled ensemble and the limits of the inspection.
    #[must_use]
    pub const fn is_trouble(&self) -> bool {
        !matches!(self, Self::Settled { .. } | Self::Unidentified { .. } | Self::NoConfig)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settled { leader, epoch, followers } => {
                write!(f, "settled: server {leader} leads epoch {epoch}, followed by {}", list(followers))
            }
            Self::SeveralLeaders { leaders } => {
                let leaders: Vec<String> =
                    leaders.iter().map(|(id, epoch)| format!("server {id} in epoch {epoch}")).collect();
                write!(
                    f,
                    "several servers claim leadership: {}; inspect again: only one with a quorum commits transactions, \
                     the others give up within initLimit or syncLimit ticks",
                    leaders.join(", ")
                )
            }
            Self::NoQuorum { answering, voters, needed, missing } => {
                write!(
                    f,
                    "no quorum: {answering} of {voters} voters answer, {}",
                    shortfall(*answering, *needed)
                )?;
                if missing.is_empty() { Ok(()) } else { write!(f, "; missing: {}", list(&by_id(missing))) }
            }
            Self::LeaderUnconfirmed { leader, epoch, supporters, answering, voters, needed } => {
                write!(
                    f,
                    "server {leader} claims leadership of epoch {epoch} without a confirming quorum: {answering} of \
                     {voters} voters answer, {} confirm it, {}; ",
                    list(supporters),
                    shortfall(supporters.len(), *needed)
                )?;
                if answering < voters {
                    write!(f, "it may lead nevertheless, if only this inspection does not reach the others")
                } else {
                    write!(f, "inspect again: the others do not follow it yet, or it is about to give up")
                }
            }
            Self::Unsettled { looking } if looking.is_empty() => write!(
                f,
                "no leader: a quorum answers, none of it is looking, and none claims leadership; the leader is new, gone, \
                 or not reached from here; inspect again"
            ),
            Self::Unsettled { looking } => write!(
                f,
                "no leader: a quorum answers, and none of it claims leadership; looking: {}; inspect again: if this \
                 lasts, the servers do not reach each other",
                list(looking)
            ),
            Self::WouldElect { vote, unsure } => {
                write!(
                    f,
                    "the servers that answer would elect server {}: it has the highest vote, with epoch {} and zxid {}; a \
                     server that does not answer may have a higher one",
                    vote.leader, vote.epoch, vote.zxid
                )?;
                match unsure[..] {
                    [] => Ok(()),
                    _ => write!(f, "; so may {}, if it has led since its start", list(unsure)),
                }
            }
            Self::NextUnknown { old_votes, unidentified } => {
                write!(f, "cannot predict the winner: ")?;
                if !old_votes.is_empty() {
                    let reports = if old_votes.len() == 1 {
                        "reports an old vote, not its own history"
                    } else {
                        "report old votes, not their own histories"
                    };
                    write!(f, "{} {reports}", list(old_votes))?;
                }
                if unidentified.is_empty() {
                    return Ok(());
                }
                let and = if old_votes.is_empty() { "" } else { "; " };
                write!(f, "{and}unknown whether these vote for themselves: {}", list(unidentified))
            }
            Self::Contradiction { id, addresses } => write!(
                f,
                "server {id} answers differently at {}: two processes with the same id, an address of another ensemble, \
                 or an election between the answers; inspect again",
                addresses.join(" and ")
            ),
            Self::NotJoined { looking } => {
                write!(f, "still looking, although one server claims leadership: {}", list(looking))
            }
            Self::FollowsNoLeader { leader, epoch, state, followers } => {
                write!(
                    f,
                    "followers of server {leader} in epoch {epoch}: {}; but server {leader} ",
                    list(followers)
                )?;
                match state {
                    None => write!(f, "does not answer"),
                    Some(ServerState::Leading) => write!(f, "leads another epoch"),
                    Some(state) => write!(f, "is {state}"),
                }
            }
            Self::ConfigsDiffer { versions } => {
                let each: Vec<String> = versions
                    .iter()
                    .map(|(version, servers)| format!("version {version} on {}", list(servers)))
                    .collect();
                write!(f, "the configurations differ: {}", each.join(", "))?;
                let twice = |at: usize| versions[..at].iter().any(|earlier| earlier.0 == versions[at].0);
                if (0..versions.len()).any(twice) {
                    write!(f, "; different texts have the same version: compare the servers' zoo.cfg")?;
                }
                Ok(())
            }
            Self::ConfigUnreadable { server, error } => {
                write!(f, "the configuration from {server} is not valid: {error}")
            }
            Self::Deaf { servers } => write!(
                f,
                "the port is open and no answer comes: {}; another client may block it with a silent connection: inspect \
                 again in a minute; if this lasts, the process is stopped or hangs, or it no longer reads votes: see its \
                 log",
                list(servers)
            ),
            Self::Closed { servers } => write!(
                f,
                "the connection is closed at once: {}; either this is not the election port (usually 3888), or it \
                 requires TLS (sslQuorum) or SASL (quorum.auth), which the inspector does not support: ask the client \
                 port (srvr) or the admin server instead",
                list(servers)
            ),
            Self::NotReached { server, reason } => write!(f, "{server} is not reached: {reason}"),
            Self::NotAsked { servers } => write!(
                f,
                "in the newest configuration, and not asked: {}; give their election addresses as well",
                list(&by_id(servers))
            ),
            Self::Foreign { server, error } => {
                write!(f, "{server} does not speak the election protocol (usual port: 3888): {error}")
            }
            Self::Unidentified { servers } => write!(
                f,
                "answers from unknown servers, counted as different voters: {}; give the addresses that the \
                 configuration has",
                list(servers)
            ),
            Self::NoConfig => write!(
                f,
                "no answer has a configuration (ZooKeeper before 3.5): the servers asked are taken for the ensemble, so \
                 give the addresses of all"
            ),
            Self::Nobody => write!(f, "no server answers"),
        }
    }
}

fn by_id(ids: &[ServerId]) -> Vec<ServerRef> {
    ids.iter().copied().map(ServerRef::Server).collect()
}

/// Why this number of voters is no quorum.
fn shortfall(voters: usize, needed: usize) -> String {
    if voters < needed {
        return format!("{needed} are needed");
    }
    format!("{needed} can be enough, but not with these groups and weights")
}

/// `server 1, server 3`, or `none`.
fn list(servers: &[ServerRef]) -> String {
    if servers.is_empty() {
        return "none".into();
    }
    let each: Vec<String> = servers.iter().map(ServerRef::to_string).collect();
    each.join(", ")
}
