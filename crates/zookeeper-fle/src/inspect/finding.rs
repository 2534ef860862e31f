//! What there is to say about an ensemble after an inspection.

use std::fmt;

use super::super::codec::DecodeError;
use super::super::config::ConfigError;
use super::super::vote::{Epoch, ServerId, ServerState, Vote, Zxid};
use super::inspection::Silence;

/// One thing that the answers of an ensemble's servers mean. Prints as a sentence for people.
///
/// An inspection reads each server once, at about the same time. In the middle of an election, or a moment after one,
/// the answers can contradict each other: whoever sees that asks again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// One server leads, and a quorum, itself included, says so.
    Settled {
        /// Who leads.
        leader: ServerId,
        /// The epoch of its leadership.
        epoch: Epoch,
        /// The voters that follow it.
        followers: Vec<Who>,
    },
    /// Several servers say that they lead. FastLeaderElection allows that for a while: those without a quorum give up
    /// within `initLimit` or `syncLimit` ticks. Zab promises that only one with a quorum commits anything. Which of them
    /// that is, their epochs do not tell: one that is not established yet shows the epoch before its own.
    SeveralLeaders {
        /// They, and the epochs in which they do. An id that occurs twice is a [`Finding::Contradiction`] too.
        leaders: Vec<(ServerId, Epoch)>,
    },
    /// One server says that it leads, and those who say the same are no quorum. Of an ensemble that is well, an
    /// inspection finds this if it does not reach enough servers, from behind a firewall, say.
    LeaderUnconfirmed {
        /// Who says that it leads.
        leader: ServerId,
        /// The epoch of its leadership.
        epoch: Epoch,
        /// The voters that say the same, itself included. Not so those about whom there is a [`Finding::Contradiction`],
        /// unless all their answers say so.
        supporters: Vec<Who>,
        /// How many voters answer.
        answering: usize,
        /// How many there are; where no answer brought a configuration, how many servers were asked.
        voters: usize,
        /// How many a quorum takes at least.
        needed: usize,
    },
    /// Nobody says that it leads, and the voters that answer are not enough to elect anyone. An inspection that does not
    /// reach the others cannot tell whether they have a leader.
    NoQuorum {
        /// How many voters answer.
        answering: usize,
        /// How many there are; where no answer brought a configuration, how many servers were asked.
        voters: usize,
        /// How many a quorum takes at least.
        needed: usize,
        /// The voters that do not answer, or whose answer nobody can tell from another's ([`Finding::Unidentified`]).
        missing: Vec<ServerId>,
    },
    /// A quorum answers, and nobody says that it leads.
    Unsettled {
        /// Those who look for a leader. Nobody, where all follow one that does not say that it leads
        /// ([`Finding::FollowsNoLeader`]).
        looking: Vec<Who>,
    },
    /// Whom those who answer would elect, if they were enough and started now.
    WouldElect {
        /// The highest of their votes.
        vote: Vote,
        /// Those who may have a higher zxid than they show: those who have led since their start show the zxid with which
        /// they were elected.
        unsure: Vec<Who>,
    },
    /// Whom those who answer would elect cannot be told. A server that looks for a leader shows the vote that it settled
    /// on last, and its own history only after a start.
    NextUnknown {
        /// Those who show a vote for another server.
        showing: Vec<Who>,
        /// Those of whom it is not known who they are, and so not whether they vote for themselves.
        unidentified: Vec<Who>,
    },
    /// One id brought answers that contradict each other: two processes have it, an address is of another ensemble, or
    /// there was an election or a reconfiguration between the answers. In other findings each is a [`Who::At`].
    Contradiction {
        /// The id.
        id: ServerId,
        /// Where the answers came from.
        addresses: Vec<String>,
    },
    /// One server says that it leads, and others do not follow it yet.
    NotJoined {
        /// Those who look for a leader.
        looking: Vec<Who>,
    },
    /// Some servers follow one that does not say that it leads.
    FollowsNoLeader {
        /// Whom they follow.
        leader: ServerId,
        /// In which epoch.
        epoch: Epoch,
        /// What it says itself; `None` if it does not answer. If [`ServerState::Leading`], then in another epoch.
        says: Option<ServerState>,
        /// Those who follow it.
        followers: Vec<Who>,
    },
    /// The servers have different configurations.
    ConfigsDiffer {
        /// Each configuration by its version, and who has it. A version that occurs twice stands for different texts.
        versions: Vec<(Zxid, Vec<Who>)>,
    },
    /// A server sent a configuration that cannot be read.
    ConfigUnreadable {
        /// Who.
        who: Who,
        /// What is wrong with it.
        error: ConfigError,
    },
    /// A port is open, and whoever listens there answers nothing. A server accepts election connections one after the
    /// other: so somebody else can hold it up for a while, by a connection that says nothing. If it lasts, the server
    /// hangs, is stopped, or no longer listens to votes.
    Deaf {
        /// Which.
        who: Vec<Who>,
    },
    /// A port closes the connection at once, as election ports do that want TLS or SASL.
    Closed {
        /// Which.
        who: Vec<Who>,
    },
    /// A server is not reached.
    NotReached {
        /// Which.
        who: Who,
        /// Why.
        why: Silence,
    },
    /// Servers of the newest configuration were not asked, and nothing says why.
    NotAsked {
        /// Which.
        servers: Vec<ServerId>,
    },
    /// What answers is not an election port.
    Foreign {
        /// Where.
        who: Who,
        /// How that shows.
        error: DecodeError,
    },
    /// Answers whose sender is not known: the address that was asked is none of the configuration's, and the answer
    /// does not tell.
    Unidentified {
        /// Where they came from.
        who: Vec<Who>,
    },
    /// No answer brought a configuration; ZooKeeper sends it since 3.5. So nothing but the addresses that were given tells
    /// who belongs to the ensemble.
    NoConfig,
    /// Nobody answers.
    Nobody,
}

/// A server, as a finding names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Who {
    /// By its id.
    Server(ServerId),
    /// By its address, where the id is not known or brought different answers ([`Finding::Contradiction`]).
    At(String),
}

impl Finding {
    /// A short name for programs, which does not change: `settled`, `several_leaders`, `leader_unconfirmed`, `no_quorum`,
    /// `unsettled`, `would_elect`, `next_unknown`, `contradiction`, `not_joined`, `follows_no_leader`, `configs_differ`,
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

    /// Whether somebody should have a look. Not so: that the ensemble has settled, and what the inspection could not know.
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
                    leaders.iter().map(|(id, epoch)| format!("server {id} of epoch {epoch}")).collect();
                write!(
                    f,
                    "several servers say that they lead: {}; ask again: only one with a quorum commits anything, and the \
                     others give up within initLimit or syncLimit ticks",
                    leaders.join(", ")
                )
            }
            Self::NoQuorum { answering, voters, needed, missing } => {
                write!(
                    f,
                    "no quorum: {answering} of {voters} voters answer, {}",
                    lacking(*answering, *needed)
                )?;
                if missing.is_empty() { Ok(()) } else { write!(f, "; missing: {}", list(&servers(missing))) }
            }
            Self::LeaderUnconfirmed { leader, epoch, supporters, answering, voters, needed } => {
                write!(
                    f,
                    "server {leader} says that it leads epoch {epoch}, and too few confirm it: of {voters} voters \
                     {answering} answer, and {} say the same, {}; ",
                    list(supporters),
                    lacking(supporters.len(), *needed)
                )?;
                if answering < voters {
                    write!(f, "it can lead all the same, if only this inspection does not reach the others")
                } else {
                    write!(f, "ask again: the others do not follow it yet, or it is about to give up")
                }
            }
            Self::Unsettled { looking } if looking.is_empty() => write!(
                f,
                "nobody says that it leads, although a quorum answers and nobody looks for a leader: the leader is \
                 new, gone, or out of reach from here; ask again"
            ),
            Self::Unsettled { looking } => write!(
                f,
                "nobody says that it leads, although a quorum answers; looking for a leader: {}; ask again: if this \
                 lasts, the servers do not reach each other",
                list(looking)
            ),
            Self::WouldElect { vote, unsure } => {
                write!(
                    f,
                    "of those who answer, server {} would be elected: its epoch {} and zxid {} go before the others'; a \
                     server that does not answer can have higher ones",
                    vote.leader, vote.epoch, vote.zxid
                )?;
                match unsure[..] {
                    [] => Ok(()),
                    _ => write!(f, "; so can {}, if it has led since its start", list(unsure)),
                }
            }
            Self::NextUnknown { showing, unidentified } => {
                write!(f, "who would be elected cannot be told: ")?;
                if !showing.is_empty() {
                    write!(
                        f,
                        "a looking server shows the vote that it settled on last, and its own history only after a \
                         start; so do {}",
                        list(showing)
                    )?;
                }
                if unidentified.is_empty() {
                    return Ok(());
                }
                let and = if showing.is_empty() { "" } else { "; and " };
                write!(
                    f,
                    "{and}it is not known who these are, and so not whether they vote for themselves: {}",
                    list(unidentified)
                )
            }
            Self::Contradiction { id, addresses } => write!(
                f,
                "server {id} answers differently at {}: two processes with the same id, an address of another \
                 ensemble, or an election between the answers; ask again",
                addresses.join(" and ")
            ),
            Self::NotJoined { looking } => {
                write!(f, "still looking, although one says that it leads: {}", list(looking))
            }
            Self::FollowsNoLeader { leader, epoch, says, followers } => {
                write!(
                    f,
                    "followers of server {leader} in epoch {epoch}: {}; but server {leader} ",
                    list(followers)
                )?;
                match says {
                    None => write!(f, "does not answer"),
                    Some(ServerState::Leading) => write!(f, "leads another epoch"),
                    Some(state) => write!(f, "says {state}"),
                }
            }
            Self::ConfigsDiffer { versions } => {
                let each: Vec<String> = versions
                    .iter()
                    .map(|(version, who)| format!("version {version} on {}", list(who)))
                    .collect();
                write!(f, "the configurations differ: {}", each.join(", "))?;
                let twice = |at: usize| versions[..at].iter().any(|earlier| earlier.0 == versions[at].0);
                if (0..versions.len()).any(twice) {
                    write!(
                        f,
                        "; of the same version there are different texts: compare the servers' zoo.cfg"
                    )?;
                }
                Ok(())
            }
            Self::ConfigUnreadable { who, error } => {
                write!(f, "the configuration that {who} sends cannot be read: {error}")
            }
            Self::Deaf { who } => write!(
                f,
                "the port is open and nobody answers: {}; somebody else may hold up the port by a connection that says \
                 nothing: ask again in a minute; if this lasts, the process is stopped or hangs, or it no longer \
                 listens to votes: see its log",
                list(who)
            ),
            Self::Closed { who } => write!(
                f,
                "the connection is closed at once: {}; either this is not the election port (3888 by custom), or it \
                 wants TLS (sslQuorum) or SASL (quorum.auth), which is not supported here: ask the client port (srvr) \
                 or the admin server instead",
                list(who)
            ),
            Self::NotReached { who, why } => write!(f, "{who} is not reached: {why}"),
            Self::NotAsked { servers: which } => write!(
                f,
                "in the newest configuration, and not asked: {}; give their election addresses as well",
                list(&servers(which))
            ),
            Self::Foreign { who, error } => {
                write!(f, "{who} does not speak as an election port (3888 by custom) does: {error}")
            }
            Self::Unidentified { who } => write!(
                f,
                "answers of which it is not known whose they are, counted as those of different voters: {}; give the \
                 addresses that the configuration has",
                list(who)
            ),
            Self::NoConfig => write!(
                f,
                "no answer tells who belongs to the ensemble (ZooKeeper before 3.5): counted are the servers that \
                 were asked, so give all of them"
            ),
            Self::Nobody => write!(f, "nobody answers"),
        }
    }
}

/// `server 3`, or `the server at 127.0.0.1:3888`.
impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(id) => write!(f, "server {id}"),
            Self::At(address) => write!(f, "the server at {address}"),
        }
    }
}

fn servers(ids: &[ServerId]) -> Vec<Who> {
    ids.iter().copied().map(Who::Server).collect()
}

/// What so many voters lack to be a quorum.
fn lacking(voters: usize, needed: usize) -> String {
    if voters < needed {
        return format!("{needed} are needed");
    }
    format!("{needed} can be enough, but not these of their groups")
}

/// `server 1, server 3`, or `nobody`.
fn list(who: &[Who]) -> String {
    if who.is_empty() {
        return "nobody".into();
    }
    let each: Vec<String> = who.iter().map(Who::to_string).collect();
    each.join(", ")
}
