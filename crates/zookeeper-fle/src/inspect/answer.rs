//! The result of a question: an answer, or the reason why there is none.

use std::time::Duration;

use crate::config::{ConfigError, EnsembleConfig, Role};
use crate::vote::{Ballot, ServerId, Zxid};

use super::no_answer::NoAnswer;
use super::server_ref::ServerRef;

/// A server in an inspection, with its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InspectedServer {
    /// Its id; `None` if it is unknown. An answer does not name its sender.
    pub id: Option<ServerId>,
    /// Its election address, `host:port`, as the caller or the configuration wrote it.
    pub address: String,
    /// Its role in the newest configuration; `None` if there is none, or it does not name the server.
    pub role: Option<Role>,
    /// Its answer, or the reason why there is none.
    pub outcome: Result<Answer, NoAnswer>,
}

/// The answer of a server on its election port.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// The server's state, vote and round. They need not belong together:
    ///
    /// - The state and the round are current.
    /// - The vote is the one that the server settled on last; after a start, its vote for itself. A looking server does not
    ///   tell its current proposal.
    /// - The zxid is the leader's at the time of the election. No server tells its current zxid.
    /// - The round is counted by the server alone, and is 0 after a reconfiguration. Servers with the same leader can have
    ///   different rounds.
    pub ballot: Ballot,
    /// The server's configuration; `None` before ZooKeeper 3.5.
    pub config: Option<Result<EnsembleConfig, ConfigError>>,
    /// The time from the question to the answer.
    pub round_trip: Duration,
}

impl InspectedServer {
    /// The name of this server in findings.
    #[must_use]
    pub fn server_ref(&self) -> ServerRef {
        self.id.map_or_else(|| ServerRef::At(self.address.clone()), ServerRef::Server)
    }
}

impl Answer {
    /// The version of the server's configuration, if it sent a valid one.
    #[must_use]
    pub fn config_version(&self) -> Option<Zxid> {
        self.valid_config().map(|config| config.version)
    }

    pub(super) fn valid_config(&self) -> Option<&EnsembleConfig> {
        self.config.as_ref()?.as_ref().ok()
    }
}

/// The configuration with the highest version among the answers; among equal ones the first.
pub(super) fn newest_config(servers: &[InspectedServer]) -> Option<&EnsembleConfig> {
    let configs = servers.iter().filter_map(|server| server.outcome.as_ref().ok()?.valid_config());
    configs.reduce(|newest, other| if other.version > newest.version { other } else { newest })
}
