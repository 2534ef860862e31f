//! The configuration of an ensemble, as its servers keep it and send it along with their votes.

use std::collections::{BTreeMap, BTreeSet};

use super::vote::{ServerId, Zxid};

/// Who belongs to an ensemble, where its servers are reached, and how votes are counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnsembleConfig {
    /// The servers.
    pub servers: BTreeMap<ServerId, Member>,
    /// The groups of a hierarchical quorum: disjoint, and with every participant in one of them. Empty where the majority
    /// of the participants decides.
    pub groups: BTreeMap<i64, BTreeSet<ServerId>>,
    /// The weights of servers in a hierarchical quorum. Who is not named has weight 1.
    pub weights: BTreeMap<ServerId, u64>,
    /// The zxid of the reconfiguration that it comes from; 0 for what was read from `zoo.cfg`.
    pub version: Zxid,
}

/// A server of an ensemble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Whether it has a vote.
    pub role: Role,
    /// Where the other servers reach it. One address, or several with `multiAddress.enabled`.
    pub addresses: Vec<MemberAddress>,
    /// Where it serves clients, as `host:port`, if the configuration says so.
    pub client: Option<String>,
}

/// An address of a server, for the other servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberAddress {
    /// A name or an address; an IPv6 address without brackets.
    pub host: String,
    /// The port on which a leader serves its followers, 2888 by custom.
    pub quorum_port: u16,
    /// The port of the election, 3888 by custom.
    pub election_port: u16,
}

/// Whether a server has a vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// It has.
    Participant,
    /// It has none.
    Observer,
}

impl EnsembleConfig {
    /// The servers that have a vote.
    pub fn participants(&self) -> impl Iterator<Item = ServerId> {
        self.servers.iter().filter(|(_, member)| member.role == Role::Participant).map(|(id, _)| *id)
    }
}
