//! Tables of the votes in each round. After a crash of all servers, the rounds and the tables begin again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use zookeeper_fle::simulator::{EventKind, TraceEvent};
use zookeeper_fle::{Round, ServerId, ServerState};

/// The changes of the servers' votes.
#[derive(Default)]
pub(crate) struct Table {
    changes: Vec<Change>,
    /// The round of each running server.
    rounds: BTreeMap<ServerId, Round>,
    /// How many times all servers have crashed.
    restarts: usize,
}

struct Change {
    milliseconds: u128,
    server: ServerId,
    restarts: usize,
    round: Round,
    cell: String,
}

impl Table {
    /// Adds an event.
    pub(crate) fn take(&mut self, event: &TraceEvent) {
        let server = event.server;
        let (round, cell) = match &event.kind {
            EventKind::Broadcast(said) if said.state == ServerState::Looking => {
                (said.round, said.vote.leader.to_string())
            }
            EventKind::Decided { decision, .. } => (decision.round, format!("={}", decision.vote.leader)),
            EventKind::Crashed => {
                if let Some(round) = self.rounds.remove(&server) {
                    self.put(event, round, "x".into());
                    self.restarts += usize::from(self.rounds.is_empty());
                }
                return;
            }
            _ => return,
        };
        if let Some(before) = self.rounds.insert(server, round).filter(|before| *before != round) {
            self.put(event, before, "-".into());
        }
        self.put(event, round, cell);
    }

    fn put(&mut self, event: &TraceEvent, round: Round, cell: String) {
        let (server, restarts) = (event.server, self.restarts);
        let table = self.changes.iter().filter(|it| (it.restarts, it.round) == (restarts, round));
        let before = table.rev().find(|it| it.server == server);
        if before.is_none_or(|it| it.cell != cell) {
            let milliseconds = event.at.as_millis();
            self.changes.push(Change { milliseconds, server, restarts, round, cell });
        }
    }

    /// The tables of all rounds.
    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        let rounds: BTreeSet<_> = self.changes.iter().map(|it| (it.restarts, it.round)).collect();
        for (restarts, round) in rounds {
            let heading = match restarts {
                0 => format!("Round {round}"),
                1 => format!("Round {round}, after the restart"),
                _ => format!("Round {round}, after restart {restarts}"),
            };
            let changes: Vec<&Change> =
                self.changes.iter().filter(|it| (it.restarts, it.round) == (restarts, round)).collect();
            render_table(&heading, &changes, &mut text);
        }
        text.push_str(
            "    n: votes for n   =n: has settled on n   -: has gone to another round   x: has crashed\n",
        );
        text
    }
}

fn render_table(heading: &str, changes: &[&Change], text: &mut String) {
    let mut columns: Vec<u128> = changes.iter().map(|it| it.milliseconds).collect();
    columns.dedup();
    let servers: BTreeSet<ServerId> = changes.iter().map(|it| it.server).collect();
    let width = columns.iter().map(|it| it.to_string().len()).max().unwrap_or(0).max(3);
    // A long table is broken into several.
    for columns in columns.chunks(100 / (width + 3)) {
        let _ = write!(text, "  {heading}\n    {:<9}", "ms");
        for column in columns {
            let _ = write!(text, " | {column:>width$}");
        }
        for server in &servers {
            let _ = write!(text, "\n    {:<9}", format!("server {server}"));
            for column in columns {
                let is_past = |it: &&&Change| it.server == *server && it.milliseconds <= *column;
                let cell = changes.iter().rfind(is_past).map_or("", |it| it.cell.as_str());
                let _ = write!(text, " | {cell:>width$}");
            }
        }
        text.push_str("\n\n");
    }
}
