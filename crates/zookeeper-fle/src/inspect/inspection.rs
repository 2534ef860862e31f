//! What an inspection has heard, as data and as a table.

use std::fmt;
use std::io::ErrorKind;
use std::time::Duration;

use super::super::codec::DecodeError;
use super::super::config::{ConfigError, EnsembleConfig, Role};
use super::super::vote::{Ballot, Epoch, ServerId, Zxid};
use super::diagnosis::{diagnose, newest};
use super::finding::{Finding, Who};
use super::not_asked::NotAsked;

/// What the servers of an ensemble said, and what it means. Prints as a table with the findings below.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Inspection {
    /// Everybody who was asked, by id; those whose id is not known come last.
    pub servers: Vec<InspectedServer>,
    /// What it means, the main thing first.
    pub findings: Vec<Finding>,
    /// The newest configuration that a server sent; `None` if none did, as before ZooKeeper 3.5.
    pub config: Option<EnsembleConfig>,
}

/// A server that was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InspectedServer {
    /// Who it is; `None` if nothing tells. Answers do not name their sender.
    pub id: Option<ServerId>,
    /// Where it was asked, `host:port`, as the caller or the configuration wrote it.
    pub address: String,
    /// Whether it has a vote; `None` if it is not known, or not of the ensemble.
    pub role: Option<Role>,
    /// What it said, or why nothing.
    pub outcome: Result<Answer, Silence>,
}

/// What a server says on its election port.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// What it does, the vote that it settled on last, and its current round. These need not belong together:
    ///
    /// - A server that looks for a leader shows the vote that it settled on last, or after its start its own history;
    ///   not what it proposes at the moment. Its state and its round are those of the moment.
    /// - The zxid is that of the leader when it was elected; no server's at the moment.
    /// - The round is the server's own count, which begins again at 0 after a reconfiguration. Servers that follow the
    ///   same leader can have different ones.
    pub ballot: Ballot,
    /// The configuration as it knows it; `None` before ZooKeeper 3.5.
    pub config: Option<Result<EnsembleConfig, ConfigError>>,
    /// How long the answer took, from the question on.
    pub round_trip: Duration,
}

/// Why a server said nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Silence {
    /// Nobody listens: the server is not running, or it is still starting.
    Refused,
    /// It closed the connection at once, without an answer: it wants TLS or SASL, or it is another port of the server; or,
    /// seldom, another program's inspection asked it at the same moment by the same id.
    Closed,
    /// It accepted the connection and did not answer in time.
    Deaf,
    /// There was no connection in time ([`ErrorKind::TimedOut`]), or it failed.
    Unreachable(ErrorKind),
    /// What it said is not the protocol of an election port.
    NotTheProtocol(DecodeError),
    /// The name has no address, as far as the resolver can say.
    Unresolved,
    /// The resolver did not say in time whether the name has an address.
    LookupTimedOut,
    /// The configuration names it, and nobody asked it.
    NotAsked(NotAsked),
}

impl Inspection {
    /// What these answers mean.
    pub(super) fn of(mut servers: Vec<InspectedServer>) -> Self {
        let config = newest(&servers).cloned();
        for server in &mut servers {
            let member = config.as_ref().zip(server.id).and_then(|(config, id)| config.servers.get(&id));
            server.role = member.map(|member| member.role);
        }
        servers.sort_by_cached_key(|it| (it.id.is_none(), it.id, it.address.clone()));
        let findings = diagnose(&servers, config.as_ref());
        Self { servers, findings, config }
    }

    /// Who leads and in which epoch, if the ensemble has settled.
    #[must_use]
    pub fn leader(&self) -> Option<(ServerId, Epoch)> {
        self.findings.iter().find_map(|finding| match finding {
            Finding::Settled { leader, epoch, .. } => Some((*leader, *epoch)),
            _ => None,
        })
    }

    /// Whether the ensemble has settled and there is no [trouble](Finding::is_trouble): all its servers answer, agree,
    /// and have the same configuration.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.leader().is_some() && !self.findings.iter().any(Finding::is_trouble)
    }
}

impl InspectedServer {
    /// How findings name it.
    #[must_use]
    pub fn who(&self) -> Who {
        self.id.map_or_else(|| Who::At(self.address.clone()), Who::Server)
    }
}

impl Answer {
    /// The version of its configuration, if it sent one that can be read.
    #[must_use]
    pub fn config_version(&self) -> Option<Zxid> {
        self.readable_config().map(|config| config.version)
    }

    pub(super) fn readable_config(&self) -> Option<&EnsembleConfig> {
        self.config.as_ref()?.as_ref().ok()
    }
}

impl Silence {
    /// A short name for programs, which does not change: `refused`, `closed`, `deaf`, `unreachable`, `not_the_protocol`,
    /// `unresolved`, `lookup_timed_out`, `not_asked`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Closed => "closed",
            Self::Deaf => "deaf",
            Self::Unreachable(_) => "unreachable",
            Self::NotTheProtocol(_) => "not_the_protocol",
            Self::Unresolved => "unresolved",
            Self::LookupTimedOut => "lookup_timed_out",
            Self::NotAsked(_) => "not_asked",
        }
    }
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => write!(f, "connection refused: not running, or still starting"),
            Self::Closed => write!(f, "closed at once: wants TLS or SASL, or no election port"),
            Self::Deaf => write!(f, "connected, no answer"),
            Self::Unreachable(kind) => write!(f, "no connection: {kind}"),
            Self::NotTheProtocol(error) => write!(f, "not an election port: {error}"),
            Self::Unresolved => write!(f, "no address is found for the name"),
            Self::LookupTimedOut => write!(f, "the name was not looked up in time"),
            Self::NotAsked(why) => write!(f, "not asked: {why}"),
        }
    }
}

const HEADINGS: [&str; 10] =
    ["server", "address", "state", "votes for", "zxid", "epoch", "round", "config", "role", "round trip"];

/// What the table cannot say by itself.
const LEGEND: &str = "zxid: the leader's when it was elected; round: the server's own, 0 after a reconfiguration; who is \
                      LOOKING shows its last settled or first vote";

/// The table, one server a line, with `-` for what is not known and with the reason at the end of the line of who did not
/// answer, and a line about how to read it, if anybody answered; then an empty line and the findings, one a line.
impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headings = HEADINGS.map(str::to_owned);
        let rows: Vec<[String; 10]> =
            [headings].into_iter().chain(self.servers.iter().map(InspectedServer::row)).collect();
        // What comes last is not padded.
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..HEADINGS.len() - 1).map(width).collect();
        for row in &rows {
            for (cell, width) in row.iter().zip(&widths) {
                write!(f, "{cell:<width$}  ")?;
            }
            writeln!(f, "{}", row[HEADINGS.len() - 1])?;
        }
        if self.servers.iter().any(|server| server.outcome.is_ok()) {
            writeln!(f, "{LEGEND}")?;
        }
        for finding in &self.findings {
            write!(f, "\n{finding}")?;
        }
        Ok(())
    }
}

impl InspectedServer {
    /// Its line in the table.
    fn row(&self) -> [String; 10] {
        let known = |value: Option<String>| value.unwrap_or_else(|| "-".into());
        let answer = self.outcome.as_ref().ok();
        let of_vote = |text: &dyn Fn(&Ballot) -> String| known(answer.map(|it| text(&it.ballot)));
        // The least number stands for none.
        let unless_least = |number: i64, text: String| if number == i64::MIN { "none".into() } else { text };
        [
            self.id.map_or_else(|| "?".into(), |id| id.to_string()),
            self.address.clone(),
            answer.map_or_else(|| "-".into(), |it| it.ballot.state.to_string()),
            of_vote(&|it| unless_least(it.vote.leader.0, it.vote.leader.to_string())),
            of_vote(&|it| unless_least(it.vote.zxid.0, it.vote.zxid.to_string())),
            of_vote(&|it| unless_least(it.vote.epoch.0, it.vote.epoch.to_string())),
            of_vote(&|it| it.round.to_string()),
            known(answer.and_then(Answer::config_version).map(|version| version.to_string())),
            known(self.role.map(|role| role.to_string())),
            match &self.outcome {
                Ok(answer) => format!("{:.1} ms", answer.round_trip.as_secs_f64() * 1000.0),
                Err(silence) => silence.to_string(),
            },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::vote::{Round, ServerState, Vote};
    use super::*;

    #[test]
    fn the_table_has_a_line_for_each_server_and_the_findings_below() {
        let config = "server.1=h:1:2\nserver.2=h:3:4\nserver.3=h:5:6\nversion=0".parse::<EnsembleConfig>();
        let said = |id, state| {
            let vote = Vote { epoch: Epoch(2), zxid: Zxid(0x1_0000_0004), leader: ServerId(3) };
            let ballot = Ballot { vote, round: Round(1), state, configured: true };
            let round_trip = Duration::from_micros(1260);
            let answer = Answer { ballot, config: Some(config.clone()), round_trip };
            InspectedServer { id, address: "h:2".into(), role: None, outcome: Ok(answer) }
        };
        let silent = InspectedServer {
            id: Some(ServerId(2)),
            address: "h:4".into(),
            role: None,
            outcome: Err(Silence::Refused),
        };
        let leading = said(Some(ServerId(3)), ServerState::Leading);
        let inspection =
            Inspection::of(vec![leading, silent.clone(), said(Some(ServerId(1)), ServerState::Following)]);
        let expected = "\
server  address  state      votes for  zxid         epoch  round  config  role         round trip
1       h:2      FOLLOWING  3          0x100000004  0x2    1      0x0     participant  1.3 ms
2       h:4      -          -          -            -      -      -       participant  connection refused: not running, or still starting
3       h:2      LEADING    3          0x100000004  0x2    1      0x0     participant  1.3 ms
zxid: the leader's when it was elected; round: the server's own, 0 after a reconfiguration; who is LOOKING shows its last settled or first vote

settled: server 3 leads epoch 0x2, followed by server 1
server 2 is not reached: connection refused: not running, or still starting";
        assert_eq!(inspection.to_string(), expected);
        assert_eq!(inspection.leader(), Some((ServerId(3), Epoch(2))));
        assert!(!inspection.is_healthy());
        // Where nobody answers there is nothing to read.
        let nobody = Inspection::of(vec![silent]).to_string();
        assert!(nobody.ends_with("still starting\n\nnobody answers\nserver 2 is not reached: connection refused: not running, or still starting"), "{nobody}");
    }
}
