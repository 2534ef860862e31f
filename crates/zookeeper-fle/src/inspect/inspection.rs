//! The result of an inspection, as data and as a table.

use std::fmt;

use crate::config::EnsembleConfig;
use crate::vote::{Ballot, Epoch, ServerId};

use super::answer::{Answer, InspectedServer, newest_config};
use super::diagnosis::diagnose;
use super::finding::Finding;

/// The answers of an ensemble's servers, and the findings. Prints as a table with the findings below.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Inspection {
    /// All servers that were asked or that the newest configuration names, by id; those of unknown id come last.
    pub servers: Vec<InspectedServer>,
    /// The findings, the main one first.
    pub findings: Vec<Finding>,
    /// The newest configuration in the answers; `None` if there is none, as before ZooKeeper 3.5.
    pub config: Option<EnsembleConfig>,
}

impl Inspection {
    /// Diagnoses these results.
    pub(super) fn new(mut servers: Vec<InspectedServer>) -> Self {
        let config = newest_config(&servers).cloned();
        for server in &mut servers {
            let member = config.as_ref().zip(server.id).and_then(|(config, id)| config.servers.get(&id));
            server.role = member.map(|member| member.role);
        }
        servers.sort_by_cached_key(|it| (it.id.is_none(), it.id, it.address.clone()));
        let findings = diagnose(&servers, config.as_ref());
        Self { servers, findings, config }
    }

    /// The leader and the epoch of its leadership, if the ensemble has settled.
    #[must_use]
    pub fn leader(&self) -> Option<(ServerId, Epoch)> {
        self.findings.iter().find_map(|finding| match finding {
            Finding::Settled { leader, epoch, .. } => Some((*leader, *epoch)),
            _ => None,
        })
    }

    /// Whether the ensemble has settled and no finding is [trouble](Finding::is_trouble): all servers answer, agree, and have
    /// the same configuration.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.leader().is_some() && !self.findings.iter().any(Finding::is_trouble)
    }
}

const HEADINGS: [&str; 10] =
    ["server", "address", "state", "votes for", "zxid", "epoch", "round", "config", "role", "round trip"];

/// Explains columns of the table.
const LEGEND: &str = "zxid: the leader's when it was elected; round: the server's own, 0 after a reconfiguration; a \
                      LOOKING server shows its last settled or first vote";

/// The table has a line for each server: `-` stands for an unknown value, and the last column has the reason if there is no
/// answer. If there are answers, a line explains the columns. The findings follow after an empty line, one a line.
impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headings = HEADINGS.map(str::to_owned);
        let rows: Vec<[String; 10]> =
            [headings].into_iter().chain(self.servers.iter().map(InspectedServer::row)).collect();
        // The last column is not padded.
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
    /// The server's line in the table.
    fn row(&self) -> [String; 10] {
        let known = |value: Option<String>| value.unwrap_or_else(|| "-".into());
        let answer = self.outcome.as_ref().ok();
        let of_vote = |text: &dyn Fn(&Ballot) -> String| known(answer.map(|it| text(&it.ballot)));
        // The lowest number stands for none.
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
                Err(reason) => reason.to_string(),
            },
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::no_answer::NoAnswer;
    use super::*;
    use crate::vote::{Round, ServerState, Vote};

    #[test]
    fn the_table_has_a_line_for_each_server_and_the_findings_below() {
        let config = "server.1=h:1:2\nserver.2=h:3:4\nserver.3=h:5:6\nversion=0".parse::<EnsembleConfig>();
        let said = |id, state| {
            let vote = Vote { epoch: Epoch(2), zxid: crate::vote::Zxid(0x1_0000_0004), leader: ServerId(3) };
            let ballot = Ballot { vote, round: Round(1), state, configured: true };
            let round_trip = Duration::from_micros(1260);
            let answer = Answer { ballot, config: Some(config.clone()), round_trip };
            InspectedServer { id, address: "h:2".into(), role: None, outcome: Ok(answer) }
        };
        let silent = InspectedServer {
            id: Some(ServerId(2)),
            address: "h:4".into(),
            role: None,
            outcome: Err(NoAnswer::Refused),
        };
        let leading = said(Some(ServerId(3)), ServerState::Leading);
        let inspection =
            Inspection::new(vec![leading, silent.clone(), said(Some(ServerId(1)), ServerState::Following)]);
        let expected = "\
server  address  state      votes for  zxid         epoch  round  config  role         round trip
1       h:2      FOLLOWING  3          0x100000004  0x2    1      0x0     participant  1.3 ms
2       h:4      -          -          -            -      -      -       participant  connection refused: not running, or still starting
3       h:2      LEADING    3          0x100000004  0x2    1      0x0     participant  1.3 ms
zxid: the leader's when it was elected; round: the server's own, 0 after a reconfiguration; a LOOKING server shows its last settled or first vote

settled: server 3 leads epoch 0x2, followed by server 1
server 2 is not reached: connection refused: not running, or still starting";
        assert_eq!(inspection.to_string(), expected);
        assert_eq!(inspection.leader(), Some((ServerId(3), Epoch(2))));
        assert!(!inspection.is_healthy());
        // Where nobody answers there is nothing to read.
        let nobody = Inspection::new(vec![silent]).to_string();
        assert!(nobody.ends_with("still starting\n\nno server answers\nserver 2 is not reached: connection refused: not running, or still starting"), "{nobody}");
    }
}
