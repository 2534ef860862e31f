//! Which servers were asked, which are to be asked next, and the result for each.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::config::{EnsembleConfig, Member};
use crate::vote::{ServerId, ServerState};

use super::addresses::ServerAddress;
use super::answer::{Answer, InspectedServer, newest_config};
use super::ids::FIRST_INSPECTOR_ID;
use super::no_answer::{NoAnswer, NotAsked};

/// The most servers that an inspection asks, whatever the configurations name.
pub(super) const MOST_SERVERS: usize = 256;

/// A server to be asked.
pub(super) struct Target {
    /// Its id, if a configuration names it.
    pub(super) member: Option<ServerId>,
    pub(super) addresses: Vec<ServerAddress>,
}

/// The socket addresses of the configured servers that were targets.
pub(super) type ResolvedMembers = BTreeMap<ServerId, Vec<SocketAddr>>;

/// An attempt to ask a server.
pub(super) struct Attempt {
    /// The server's id, if a configuration names it.
    pub(super) member: Option<ServerId>,
    /// The address that was connected to; the first address if none was.
    pub(super) address: String,
    /// The socket address that was connected to; all that were tried if none was.
    pub(super) sockets: Vec<SocketAddr>,
    pub(super) outcome: Result<Answer, NoAnswer>,
}

/// The socket addresses that the concurrent attempts have tried.
#[derive(Default)]
pub(super) struct TriedSockets(Mutex<HashMap<SocketAddr, SocketState>>);

/// The state of a socket address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SocketState {
    /// An attempt is connecting to it.
    Connecting,
    /// An attempt has connected to it.
    Connected,
    /// No connection could be made.
    Failed(NoAnswer),
}

impl TriedSockets {
    /// Reserves a socket address. Returns whether no attempt has tried it before.
    pub(super) fn take(&self, socket: SocketAddr) -> bool {
        let mut sockets = self.lock();
        let is_new = !sockets.contains_key(&socket);
        if is_new {
            sockets.insert(socket, SocketState::Connecting);
        }
        is_new
    }

    pub(super) fn set(&self, socket: SocketAddr, state: SocketState) {
        self.lock().insert(socket, state);
    }

    pub(super) fn is_connected(&self, socket: SocketAddr) -> bool {
        self.lock().get(&socket) == Some(&SocketState::Connected)
    }

    fn failed(&self, socket: SocketAddr) -> Option<NoAnswer> {
        match self.lock().get(&socket) {
            Some(SocketState::Failed(reason)) => Some(reason.clone()),
            _ => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SocketAddr, SocketState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt {
    /// The server's id: the one under which a configuration names its address; or, because a leader votes for itself, the
    /// leader's; or the one for which its own configuration has the address `0.0.0.0`.
    fn id(&self, members: &ResolvedMembers) -> Option<ServerId> {
        let is_here = |sockets: &[SocketAddr]| sockets.iter().any(|socket| self.sockets.contains(socket));
        let by_address = || members.iter().find(|(_, sockets)| is_here(sockets)).map(|(id, _)| *id);
        let answer = self.outcome.as_ref().ok();
        let leading =
            || answer.filter(|it| it.ballot.state == ServerState::Leading).map(|it| it.ballot.vote.leader);
        let by_own_config = || {
            let servers = &answer?.valid_config()?.servers;
            let mut unspecified = servers.iter().filter(|(_, member)| member.is_unspecified());
            unspecified.next().filter(|_| unspecified.next().is_none()).map(|(id, _)| *id)
        };
        self.member.or_else(by_address).or_else(leading).or_else(by_own_config)
    }
}

/// The servers that the configurations name and that are still to be asked, each with the addresses in the newest
/// configuration that has it.
///
/// None if a configuration contains one of the inspector's ids. Servers with an unspecified address (`0.0.0.0`) are left
/// out, because here it would mean this machine.
pub(super) fn next_targets(attempts: &[Attempt], members: &ResolvedMembers) -> Vec<Target> {
    let answers = attempts.iter().filter_map(|it| it.outcome.as_ref().ok());
    let mut configs: Vec<&EnsembleConfig> = answers.filter_map(Answer::valid_config).collect();
    if reserved_id(configs.iter().copied()).is_some() {
        return Vec::new();
    }
    configs.sort_by_key(|config| Reverse(config.version));
    let mut named = BTreeMap::new();
    for (id, member) in configs.into_iter().flat_map(|config| &config.servers) {
        if !members.contains_key(id) && !named.contains_key(id) && !member.is_unspecified() {
            named.insert(*id, addresses(member));
        }
    }
    let left = MOST_SERVERS.saturating_sub(attempts.len());
    named.into_iter().take(left).map(|(id, addresses)| Target { member: Some(id), addresses }).collect()
}

/// The result for each server that was asked, and for each other server of the newest configuration.
pub(super) fn results(
    attempts: Vec<Attempt>,
    members: &ResolvedMembers,
    sockets: &TriedSockets,
) -> Vec<InspectedServer> {
    let ids: Vec<Option<ServerId>> = attempts.iter().map(|it| it.id(members)).collect();
    let tried: Vec<Vec<SocketAddr>> = attempts.iter().map(|it| it.sockets.clone()).collect();
    let result = |(it, id): (Attempt, &Option<ServerId>)| InspectedServer {
        id: *id,
        address: it.address,
        role: None,
        outcome: it.outcome,
    };
    let mut results: Vec<InspectedServer> = attempts.into_iter().zip(&ids).map(result).collect();
    let Some(config) = newest_config(&results).cloned() else { return results };
    let answers = results.iter().filter_map(|it| it.outcome.as_ref().ok());
    let reserved = reserved_id(answers.filter_map(Answer::valid_config));

    // The reason for a target whose socket addresses another attempt had tried.
    let elsewhere = |of: &[SocketAddr]| {
        let has_one = |tried: &Vec<SocketAddr>| tried.iter().any(|socket| of.contains(socket));
        let same = ids.iter().zip(&tried).find(|(_, tried)| has_one(tried)).and_then(|(id, _)| *id);
        let same = same.map(|id| NoAnswer::NotAsked(NotAsked::SameAddress(id)));
        same.or_else(|| of.iter().find_map(|socket| sockets.failed(*socket)))
    };
    let reason = |id, member: &Member| match (members.get(id), reserved) {
        (Some(of), _) => elsewhere(of).unwrap_or(NoAnswer::NotAsked(NotAsked::Late)),
        (None, _) if member.is_unspecified() => NoAnswer::NotAsked(NotAsked::Unspecified),
        (None, Some(id)) => NoAnswer::NotAsked(NotAsked::ReservedId(id)),
        (None, None) if ids.len() >= MOST_SERVERS => NoAnswer::NotAsked(NotAsked::TooMany),
        (None, None) => NoAnswer::NotAsked(NotAsked::Late),
    };
    for (id, member) in config.servers.iter().filter(|(id, _)| !ids.contains(&Some(**id))) {
        let address = addresses(member).first().map(ServerAddress::to_string).unwrap_or_default();
        let outcome = Err(reason(id, member));
        results.push(InspectedServer { id: Some(*id), address, role: None, outcome });
    }
    results
}

fn addresses(member: &Member) -> Vec<ServerAddress> {
    member.addresses.iter().map(ServerAddress::from).collect()
}

/// An id in these configurations that is one of the inspector's.
fn reserved_id<'a>(configs: impl Iterator<Item = &'a EnsembleConfig>) -> Option<ServerId> {
    configs
        .filter_map(|config| config.servers.keys().next_back().copied())
        .find(|id| *id >= FIRST_INSPECTOR_ID)
}
