//! Who has been asked, who is to be asked next, and the line of each member of the configuration.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::super::config::{EnsembleConfig, Member};
use super::super::vote::{ServerId, ServerState};
use super::MOST_SERVERS;
use super::diagnosis::newest;
use super::inspection::{Answer, InspectedServer, Silence};
use super::not_asked::NotAsked;
use super::question::STRANGERS;
use super::server_list::ServerAddress;

/// Somebody to be asked: as whom, where a configuration names it, and its addresses.
pub(super) type Named = (Option<ServerId>, Vec<ServerAddress>);

/// What the addresses stand for of those members that were to be asked.
pub(super) type Members = BTreeMap<ServerId, Vec<SocketAddr>>;

/// Somebody who was asked.
pub(super) struct Asked {
    /// As whom, where a configuration named it.
    pub(super) member: Option<ServerId>,
    /// The address with which there was a connection, or if there was none the first.
    pub(super) address: String,
    /// The one with which there was a connection, or if there was none all that were tried.
    pub(super) sockets: Vec<SocketAddr>,
    pub(super) outcome: Result<Answer, Silence>,
}

/// The sockets that have been tried, by whoever does so at the same time.
#[derive(Default)]
pub(super) struct Sockets(Mutex<HashMap<SocketAddr, Tried>>);

/// What became of a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tried {
    /// It is being connected to.
    Underway,
    /// There is or was a connection with it.
    Connected,
    /// There was none.
    Failed(Silence),
}

impl Sockets {
    /// Whether nobody has tried this one before.
    pub(super) fn take(&self, socket: SocketAddr) -> bool {
        let mut sockets = self.lock();
        let is_new = !sockets.contains_key(&socket);
        if is_new {
            sockets.insert(socket, Tried::Underway);
        }
        is_new
    }

    pub(super) fn set(&self, socket: SocketAddr, tried: Tried) {
        self.lock().insert(socket, tried);
    }

    pub(super) fn is_connected(&self, socket: SocketAddr) -> bool {
        self.lock().get(&socket) == Some(&Tried::Connected)
    }

    fn failed(&self, socket: SocketAddr) -> Option<Silence> {
        match self.lock().get(&socket) {
            Some(Tried::Failed(silence)) => Some(silence.clone()),
            _ => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SocketAddr, Tried>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asked {
    /// Who it is: by its address if a configuration has that; otherwise a leader votes for itself, and some call themselves
    /// `0.0.0.0` in their own configuration.
    fn id(&self, members: &Members) -> Option<ServerId> {
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

/// The servers that the configurations name and that are still to be asked, by the newest configuration that has each.
///
/// Nobody any more if one of them has an id like the inspector's. Addresses that stand for all of a machine's are left
/// out: here they would be this machine's.
pub(super) fn named_by(asked: &[Asked], members: &Members) -> Vec<Named> {
    let answers = asked.iter().filter_map(|it| it.outcome.as_ref().ok());
    let mut configs: Vec<&EnsembleConfig> = answers.filter_map(Answer::readable_config).collect();
    if reserved(configs.iter().copied()).is_some() {
        return Vec::new();
    }
    configs.sort_by_key(|config| Reverse(config.version));
    let mut named = BTreeMap::new();
    for (id, member) in configs.into_iter().flat_map(|config| &config.servers) {
        if !members.contains_key(id) && !named.contains_key(id) && !member.is_unspecified() {
            named.insert(*id, addresses(member));
        }
    }
    let left = MOST_SERVERS.saturating_sub(asked.len());
    named.into_iter().take(left).map(|(id, addresses)| (Some(id), addresses)).collect()
}

/// A line for each that was asked, and for each other member of the newest configuration.
pub(super) fn lines(asked: Vec<Asked>, members: &Members, sockets: &Sockets) -> Vec<InspectedServer> {
    let ids: Vec<Option<ServerId>> = asked.iter().map(|it| it.id(members)).collect();
    let tried: Vec<Vec<SocketAddr>> = asked.iter().map(|it| it.sockets.clone()).collect();
    let line = |(it, id): (Asked, &Option<ServerId>)| InspectedServer {
        id: *id,
        address: it.address,
        role: None,
        outcome: it.outcome,
    };
    let mut lines: Vec<InspectedServer> = asked.into_iter().zip(&ids).map(line).collect();
    let Some(config) = newest(&lines).cloned() else { return lines };
    let answers = lines.iter().filter_map(|it| it.outcome.as_ref().ok());
    let reserved = reserved(answers.filter_map(Answer::readable_config));

    // One that was to be asked, but whose address was known already.
    let elsewhere = |of: &[SocketAddr]| {
        let has_one = |tried: &Vec<SocketAddr>| tried.iter().any(|socket| of.contains(socket));
        let same = ids.iter().zip(&tried).find(|(_, tried)| has_one(tried)).and_then(|(id, _)| *id);
        let same = same.map(|id| Silence::NotAsked(NotAsked::SameAddress(id)));
        same.or_else(|| of.iter().find_map(|socket| sockets.failed(*socket)))
    };
    let why = |id, member: &Member| match (members.get(id), reserved) {
        (Some(of), _) => elsewhere(of).unwrap_or(Silence::NotAsked(NotAsked::Late)),
        (None, _) if member.is_unspecified() => Silence::NotAsked(NotAsked::Unspecified),
        (None, Some(id)) => Silence::NotAsked(NotAsked::ReservedId(id)),
        (None, None) if ids.len() >= MOST_SERVERS => Silence::NotAsked(NotAsked::TooMany),
        (None, None) => Silence::NotAsked(NotAsked::Late),
    };
    for (id, member) in config.servers.iter().filter(|(id, _)| !ids.contains(&Some(**id))) {
        let address = addresses(member).first().map(ServerAddress::to_string).unwrap_or_default();
        let outcome = Err(why(id, member));
        lines.push(InspectedServer { id: Some(*id), address, role: None, outcome });
    }
    lines
}

fn addresses(member: &Member) -> Vec<ServerAddress> {
    member.addresses.iter().map(ServerAddress::from).collect()
}

/// An id that is one of those by which the inspector asks.
fn reserved<'a>(configs: impl Iterator<Item = &'a EnsembleConfig>) -> Option<ServerId> {
    configs.filter_map(|config| config.servers.keys().next_back().copied()).find(|id| *id >= STRANGERS)
}
