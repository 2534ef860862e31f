//! The configuration of an ensemble, as its servers store it and send it with their votes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use crate::vote::{ServerId, Zxid};

/// The servers of an ensemble, their addresses, groups and weights.
///
/// It is parsed from the text that servers send with their votes, which has the format of `zoo.cfg`, and prints as that
/// text:
///
/// ```
/// use zookeeper_fle::{EnsembleConfig, Quorum, ServerId};
///
/// let text = "server.1=10.0.0.1:2888:3888:participant;0.0.0.0:2181
/// server.2=10.0.0.2:2888:3888:participant
/// server.3=10.0.0.3:2888:3888:observer
/// version=100000004";
/// let config: EnsembleConfig = text.parse()?;
/// assert_eq!(config.to_string(), text);
/// assert_eq!(config.servers[&ServerId(2)].addresses[0].election_port, 3888);
/// assert_eq!(Quorum::of(&config).smallest(), 2);
/// # Ok::<(), zookeeper_fle::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnsembleConfig {
    /// The servers.
    pub servers: BTreeMap<ServerId, Member>,
    /// The groups of a hierarchical quorum: disjoint, with every participant in one of them. Empty for majority quorums.
    pub groups: BTreeMap<i64, BTreeSet<ServerId>>,
    /// The weights of servers in a hierarchical quorum; 1 for servers without an entry.
    pub weights: BTreeMap<ServerId, u64>,
    /// The zxid of the last reconfiguration; 0 if there was none since `zoo.cfg` was read.
    pub version: Zxid,
}

/// A server of an ensemble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Whether it has a vote.
    pub role: Role,
    /// Its addresses for the other servers: one, or several with `multiAddress.enabled`.
    pub addresses: Vec<MemberAddress>,
    /// Its address for clients, `host:port`, if the configuration has it.
    pub client: Option<String>,
}

/// An address of a server, for the other servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberAddress {
    /// A host name or an IP address; an IPv6 address without brackets. The parser refuses spaces and control characters.
    pub host: String,
    /// The port on which a leader serves its followers, usually 2888.
    pub quorum_port: u16,
    /// The election port, usually 3888.
    pub election_port: u16,
}

/// Whether a server has a vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The server is a voter.
    Participant,
    /// The server has no vote.
    Observer,
}

/// Why a text is not the configuration of an ensemble.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A line is not valid.
    #[error("line {line}, {text:?}: write {expected}")]
    Line {
        /// The number of the line, from 1.
        line: usize,
        /// The first 80 characters of the line.
        text: String,
        /// What to write instead.
        expected: &'static str,
    },
    /// A server is in two groups, so its vote would count twice.
    #[error("server {id} is in the groups {first} and {second}: leave it in one of them")]
    TwoGroups {
        /// The server.
        id: ServerId,
        /// One of its groups.
        first: i64,
        /// The other one.
        second: i64,
    },
    /// A participant is in no group, although there are groups or weights.
    #[error(
        "server {id} is in no group: add it to a line group.G=..., because groups and weights need every participant in a \
         group, or make it an observer"
    )]
    NoGroup {
        /// The server.
        id: ServerId,
    },
    /// No server has a vote.
    #[error("no server has a vote: write a line {SERVER} for each")]
    NoParticipant,
    /// All participants have weight 0, so no server could be elected.
    #[error(
        "all participants have weight 0, so no server could be elected: write a line weight.N=1 for a participant"
    )]
    NoWeight,
}

impl EnsembleConfig {
    /// The servers that have a vote.
    pub fn participants(&self) -> impl Iterator<Item = ServerId> {
        self.servers.iter().filter(|(_, member)| member.role == Role::Participant).map(|(id, _)| *id)
    }
}

const SERVER: &str = "server.N=host:quorumPort:electionPort[:participant|observer][;[host:]clientPort], with several \
                      addresses separated by | and IPv6 addresses in brackets";
const GROUP: &str = "group.G=N:N:..., the number of a group and the ids of its servers";
const WEIGHT: &str = "weight.N=w, the id of a server and how much its vote counts, from 0";
const VERSION: &str = "version=<hexadecimal number>, from 0 to 7fffffffffffffff";

/// The lines can have any order. Of two lines with the same key the last counts. Other keys, empty lines and comments (`#`)
/// are ignored. A client port without a host gets the host `0.0.0.0`, as a server prints it.
impl FromStr for EnsembleConfig {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let mut config = Self {
            servers: BTreeMap::new(),
            groups: BTreeMap::new(),
            weights: BTreeMap::new(),
            version: Zxid(0),
        };
        for (at, line) in text.lines().enumerate() {
            let wrong = |expected| ConfigError::Line {
                line: at + 1,
                text: line.chars().take(80).collect(),
                expected,
            };
            config.read(line).map_err(wrong)?;
        }
        config.check()?;
        Ok(config)
    }
}

/// As a server writes it: the version last, without a newline; weights only if there are groups, and then for every
/// participant.
impl fmt::Display for EnsembleConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (id, member) in &self.servers {
            writeln!(f, "server.{id}={member}")?;
        }
        if !self.groups.is_empty() {
            for (group, ids) in &self.groups {
                let ids: Vec<String> = ids.iter().map(ServerId::to_string).collect();
                writeln!(f, "group.{group}={}", ids.join(":"))?;
            }
            let mut weights = self.weights.clone();
            self.participants().for_each(|id| _ = weights.entry(id).or_insert(1));
            for (id, weight) in weights {
                writeln!(f, "weight.{id}={weight}")?;
            }
        }
        write!(f, "version={:x}", self.version.0)
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses: Vec<String> = self.addresses.iter().map(MemberAddress::to_string).collect();
        write!(f, "{}:{}", addresses.join("|"), self.role)?;
        match &self.client {
            Some(client) => write!(f, ";{client}"),
            None => Ok(()),
        }
    }
}

/// `host:quorumPort:electionPort`, with an IPv6 address in brackets.
impl fmt::Display for MemberAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", bracketed(&self.host), self.quorum_port, self.election_port)
    }
}

/// As in the configuration: `participant`, `observer`.
impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Participant => "participant",
            Self::Observer => "observer",
        })
    }
}

impl EnsembleConfig {
    /// Parses one line; the error is what to write instead.
    fn read(&mut self, line: &str) -> Result<(), &'static str> {
        let line = line.trim();
        let Some((key, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) else {
            return Ok(());
        };
        let (key, value) = (key.trim(), value.trim());
        if let Some(id) = key.strip_prefix("server.") {
            let read = || Some((ServerId(id.parse().ok()?), Member::read(value)?));
            let (id, member) = read().ok_or(SERVER)?;
            self.servers.insert(id, member);
        } else if let Some(group) = key.strip_prefix("group.") {
            let ids = value.split(':').map(|id| Some(ServerId(id.trim().parse().ok()?)));
            let read = || Some((group.parse().ok()?, ids.collect::<Option<_>>()?));
            let (group, ids) = read().ok_or(GROUP)?;
            self.groups.insert(group, ids);
        } else if let Some(id) = key.strip_prefix("weight.") {
            let read = || Some((ServerId(id.parse().ok()?), value.parse().ok()?));
            let (id, weight) = read().ok_or(WEIGHT)?;
            self.weights.insert(id, weight);
        } else if key == "version" {
            let version = i64::from_str_radix(value, 16).ok();
            // Servers print a negative version without a sign, and cannot read it again.
            self.version = Zxid(version.filter(|version| *version >= 0).ok_or(VERSION)?);
        }
        Ok(())
    }

    /// Refuses a configuration that no server accepts.
    fn check(&self) -> Result<(), ConfigError> {
        if self.participants().next().is_none() {
            return Err(ConfigError::NoParticipant);
        }
        let mut group_of = BTreeMap::new();
        for (group, ids) in &self.groups {
            for id in ids {
                if let Some(first) = group_of.insert(*id, *group) {
                    return Err(ConfigError::TwoGroups { id: *id, first, second: *group });
                }
            }
        }
        let hierarchical = !self.groups.is_empty() || !self.weights.is_empty();
        if let Some(id) = self.participants().find(|id| hierarchical && !group_of.contains_key(id)) {
            return Err(ConfigError::NoGroup { id });
        }
        if self.participants().all(|id| self.weights.get(&id) == Some(&0)) {
            return Err(ConfigError::NoWeight);
        }
        Ok(())
    }
}

impl Member {
    /// Whether one of its addresses is `0.0.0.0` or `::`, as in some servers' own configuration.
    #[cfg(feature = "inspect")]
    pub(super) fn is_unspecified(&self) -> bool {
        let unspecified =
            |it: &MemberAddress| it.host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_unspecified());
        self.addresses.iter().any(unspecified)
    }

    fn read(text: &str) -> Option<Self> {
        let (servers, client) = match text.split_once(';') {
            Some((servers, client)) => (servers, Some(client.trim())),
            None => (text, None),
        };
        let (mut role, mut addresses) = (None, Vec::new());
        for text in servers.split('|') {
            let (address, of_this) = MemberAddress::read(text.trim())?;
            if role.is_some() && of_this.is_some() && role != of_this {
                return None;
            }
            role = role.or(of_this);
            addresses.push(address);
        }
        let client = match client {
            None => None,
            Some(client) if client.contains(':') => {
                let (host, port) = client.rsplit_once(':')?;
                port.parse::<u16>().ok()?;
                let is_host = host.chars().all(|it| is_of_host(it) || "[]".contains(it));
                Some(is_host.then(|| client.to_owned())?)
            }
            Some(port) => Some(format!("0.0.0.0:{}", port.parse::<u16>().ok()?)),
        };
        Some(Self { role: role.unwrap_or(Role::Participant), addresses, client })
    }
}

impl MemberAddress {
    /// Parses an address, and the role if it follows.
    fn read(text: &str) -> Option<(Self, Option<Role>)> {
        let (host, rest) = match text.strip_prefix('[') {
            Some(rest) => rest.split_once("]:")?,
            None => text.split_once(':')?,
        };
        let mut parts = rest.split(':');
        let mut port = || parts.next()?.parse().ok();
        let (quorum_port, election_port) = (port()?, port()?);
        let role = match parts.next().map(|role| role.trim().to_lowercase()).as_deref() {
            None => None,
            Some("participant") => Some(Role::Participant),
            Some("observer") => Some(Role::Observer),
            Some(_) => return None,
        };
        let complete = !host.is_empty() && host.chars().all(is_of_host) && parts.next().is_none();
        complete.then(|| (Self { host: host.to_owned(), quorum_port, election_port }, role))
    }
}

/// Whether a host can have this character. Hosts are printed, so no character may be invisible or control a terminal.
pub(super) fn is_of_host(character: char) -> bool {
    character.is_ascii_graphic() && !"[]".contains(character) || character.is_alphanumeric()
}

/// The host as it is written before `:port`.
pub(super) fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a server 3.8.0 sent, whose `zoo.cfg` has `localhost`, `::1`, a client port without a host, and two weights.
    const SENT: &str = "server.1=127.0.0.1:41001:41101:participant;127.0.0.1:41201\n\
                        server.2=localhost:41002:41102:participant;0.0.0.0:41202\n\
                        server.3=127.0.0.1:41003:41103:participant;[0:0:0:0:0:0:0:1]:41203\n\
                        server.4=[0:0:0:0:0:0:0:1]:41004:41104:observer;127.0.0.1:41204\n\
                        group.1=1:2\ngroup.7=3\nweight.1=3\nweight.2=0\nweight.3=1\nversion=0";

    fn parse(text: &str) -> Result<EnsembleConfig, ConfigError> {
        text.parse()
    }

    #[test]
    fn what_a_server_sends_is_read_and_written_again() {
        let config = parse(SENT).unwrap();
        assert_eq!(config.to_string(), SENT);
        assert_eq!(config.participants().collect::<Vec<_>>(), [1, 2, 3].map(ServerId));
        let fourth = &config.servers[&ServerId(4)];
        let host = "0:0:0:0:0:0:0:1".to_owned();
        let address = MemberAddress { host, quorum_port: 41004, election_port: 41104 };
        assert_eq!((fourth.role, &fourth.addresses), (Role::Observer, &vec![address]));
        assert_eq!(fourth.client.as_deref(), Some("127.0.0.1:41204"));
        assert_eq!(config.weights[&ServerId(2)], 0);
        // The order of the lines means nothing.
        let turned: Vec<&str> = SENT.lines().rev().collect();
        assert_eq!(parse(&turned.join("\n")).unwrap(), config);
    }

    #[test]
    fn all_that_zoo_cfg_allows_is_read() {
        let config = parse(
            "# a comment = a comment\n\ntickTime=2000\nnonsense\n\
             server.1 = zk1:2888:3888\n\
             server.2=[::1]:2888:3888:PARTICIPANT;[::1]:2181\n\
             server.3=zk3:2888:3888|10.0.0.3:2889:3889:participant;2181\n\
             server.9=zk9:2888:3888\nserver.9=zk9:2888:3888:observer;0.0.0.0:2181\n\
             group.1=1:2:3\nweight.3=0\nversion=10000000a",
        )
        .unwrap();
        let written = "server.1=zk1:2888:3888:participant\n\
             server.2=[::1]:2888:3888:participant;[::1]:2181\n\
             server.3=zk3:2888:3888|10.0.0.3:2889:3889:participant;0.0.0.0:2181\n\
             server.9=zk9:2888:3888:observer;0.0.0.0:2181\n\
             group.1=1:2:3\nweight.1=1\nweight.2=1\nweight.3=0\nversion=10000000a";
        assert_eq!(config.to_string(), written);
        assert_eq!(parse(written).unwrap().to_string(), written);
        assert_eq!(config.servers[&ServerId(2)].addresses[0].host, "::1");
        assert_eq!(config.version, Zxid(0x1_0000_000a));
    }

    #[test]
    fn a_line_that_is_wrong_is_named_and_what_to_write() {
        for (line, expected) in [
            ("server.1=zk1", SERVER),
            ("server.1=zk1:2888", SERVER),
            ("server.1=:2888:3888", SERVER),
            ("server.1=zk1:2888:3888:voter", SERVER),
            ("server.1=zk1:2888:3888:observer:1", SERVER),
            ("server.1=zk1:2888:70000", SERVER),
            ("server.1=::1:2888:3888", SERVER),
            ("server.1=zk1:2888:3888;", SERVER),
            ("server.1=zk1:2888:3888;host:port", SERVER),
            ("server.1=zk1:2888:3888:observer|zk2:2888:3888:participant", SERVER),
            ("server.one=zk1:2888:3888", SERVER),
            ("group.1=1,2", GROUP),
            ("weight.1=-1", WEIGHT),
            ("version=0x1", VERSION),
            ("version=-1", VERSION),
            ("version=ffffffffffffffff", VERSION),
            ("server.1=zk\u{1b}[2J:2888:3888", SERVER),
            ("server.1=[zk\u{1b}]:2888:3888", SERVER),
            ("server.1=zk 1:2888:3888", SERVER),
            ("server.1=zk\u{202e}1:2888:3888", SERVER),
            ("server.1=[[::1]:2888:3888", SERVER),
            ("server.1=zk1:2888:3888;\u{7}:2181", SERVER),
        ] {
            let error = parse(&format!("server.7=zk7:2888:3888\n{line}")).unwrap_err();
            assert_eq!(error, ConfigError::Line { line: 2, text: line.into(), expected });
            let shown = error.to_string();
            assert!(shown.contains(&format!("{line:?}")) && !shown.contains(char::is_control), "{error}");
        }
    }

    #[test]
    fn groups_that_no_server_accepts_are_refused() {
        let servers = "server.1=zk1:2888:3888\nserver.2=zk2:2888:3888\nserver.3=zk3:2888:3888:observer\n";
        let with = |lines: &str| parse(&format!("{servers}{lines}"));
        let (one, two) = (ServerId(1), ServerId(2));
        assert!(with("group.1=1:2").is_ok() && with("group.1=1\ngroup.2=2").is_ok());
        let twice = ConfigError::TwoGroups { id: two, first: 1, second: 5 };
        assert_eq!(with("group.1=1:2\ngroup.5=2"), Err(twice));
        assert_eq!(with("group.1=1"), Err(ConfigError::NoGroup { id: two }));
        assert_eq!(with("weight.1=1"), Err(ConfigError::NoGroup { id: one }));
        assert_eq!(parse("server.3=zk3:2888:3888:observer"), Err(ConfigError::NoParticipant));
        assert_eq!(parse(""), Err(ConfigError::NoParticipant));
        assert!(with("group.1=1:2\nweight.1=0").is_ok());
        assert_eq!(with("group.1=1:2\nweight.1=0\nweight.2=0\nweight.3=1"), Err(ConfigError::NoWeight));
    }
}
