//! The same steps on two servers, and the report of the first difference.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::Instant;

use crate::answers::UNDECODABLE;
use crate::coverage::Coverage;
use crate::generator::Generator;
use crate::side::{Entry, News, Side, Step};
use crate::watches::Watches;

/// Two servers to which the same is done.
#[derive(Debug)]
pub struct Duel {
    sides: [Side; 2],
    clients: Vec<Client>,
    sessions: usize,
    generator: Generator,
    /// The most requests that are sent without waiting in between.
    pipeline: usize,
    seed: u64,
    started: Instant,
    done: usize,
    /// What was done last, in words.
    history: VecDeque<String>,
}

/// What a client knows, on both servers alike.
#[derive(Debug, Default)]
struct Client {
    session: Option<usize>,
    connected: bool,
    zxid: i64,
    watches: Watches,
}

impl Duel {
    /// A duel of freshly started servers.
    pub fn new(sides: [(&'static str, String); 2], seed: u64, pipeline: usize) -> Self {
        Self {
            sides: sides.map(|(name, address)| Side::new(name, address, CLIENTS)),
            clients: (0..CLIENTS).map(|_| Client::default()).collect(),
            sessions: 0,
            generator: Generator::new(seed),
            pipeline,
            seed,
            started: Instant::now(),
            done: 0,
            history: VecDeque::new(),
        }
    }

    /// Does so many random operations.
    ///
    /// # Panics
    ///
    /// With a report, when the servers differ.
    pub async fn fight(&mut self, operations: usize, coverage: &mut Coverage) {
        while self.done < operations {
            let client = self.generator.rng.usize(..CLIENTS);
            self.act(client, operations - self.done, coverage).await;
        }
        coverage.operations += self.done;
    }

    /// Lets a client do something.
    async fn act(&mut self, client: usize, most: usize, coverage: &mut Coverage) {
        let Client { session, connected, zxid, .. } = self.clients[client];
        let Some(session) = session else {
            let timeout = [20_000, 60_000, i32::MAX][self.generator.rng.usize(..3)];
            coverage.count("a session opened".to_owned());
            return self.step(client, Step::Open { timeout }, coverage).await;
        };
        let attach = Step::Attach { session, last_zxid: zxid, right_password: true };
        if !connected {
            // For a while the others go on without it.
            if self.generator.rng.u32(..4) == 0 {
                coverage.count("a client back".to_owned());
                self.step(client, attach, coverage).await;
                if let Some(watches) = self.clients[client].watches.set_again(zxid) {
                    self.step(client, Step::Requests(vec![watches]), coverage).await;
                }
            }
            return;
        }
        match self.generator.rng.u32(..100) {
            0..4 => {
                coverage.count("a client dropped".to_owned());
                self.step(client, Step::Drop, coverage).await;
            }
            4 => {
                // On the new connection it has no watches.
                self.clients[client].watches = Watches::default();
                self.step(client, attach, coverage).await;
            }
            5 => {
                let wrong = Step::Attach { session, last_zxid: zxid, right_password: false };
                self.step(client, wrong, coverage).await;
            }
            6..10 => {
                coverage.count("a session closed".to_owned());
                self.step(client, Step::Close, coverage).await;
                self.clients[client] = Client::default();
            }
            _ => {
                let operations = self.generator.requests(LONGEST_GROUP.min(most));
                for operations in operations.chunks(self.pipeline) {
                    if self.clients[client].connected {
                        self.step(client, Step::Requests(operations.to_vec()), coverage).await;
                    }
                }
            }
        }
    }

    /// Carries out a step on both servers and compares what came of it.
    async fn step(&mut self, client: usize, step: Step, coverage: &mut Coverage) {
        let first = self.done;
        self.describe(client, &step);
        let xid = i32::try_from(first + 1).expect("a short run");
        let [left, right] = &mut self.sides;
        let (left, right) =
            tokio::join!(left.carry_out(client, xid, &step), right.carry_out(client, xid, &step));
        for client in 0..CLIENTS {
            let of_client = |entry: &&Entry| entry.client == client;
            let (mut left, mut right) = (left.iter().filter(of_client), right.iter().filter(of_client));
            loop {
                match (left.next(), right.next()) {
                    (None, None) => break,
                    (Some(a), Some(b)) if a.text == b.text => {}
                    (a, b) => self.report(first, client, &step, [a, b]),
                }
            }
        }
        for entry in &left {
            self.take_in(entry, &step, coverage);
        }
        if matches!(step, Step::Drop) {
            self.clients[client].connected = false;
        }
    }

    /// Records the operation for the report of a difference.
    fn describe(&mut self, client: usize, step: &Step) {
        let mut note = |text: String| {
            self.history.push_back(format!("{:>7} client {client}: {text}", self.done));
            self.done += 1;
            if self.history.len() > 20 + LONGEST_GROUP {
                self.history.pop_front();
            }
        };
        match step {
            Step::Requests(operations) => operations.iter().for_each(|one| note(format!("{one:?}"))),
            other => note(format!("{other:?}")),
        }
    }

    /// Learns from what came of a step.
    fn take_in(&mut self, entry: &Entry, step: &Step, coverage: &mut Coverage) {
        assert!(!entry.text.contains(UNDECODABLE), "after {:?}: {}", self.history.back(), entry.text);
        let client = &mut self.clients[entry.client];
        match &entry.news {
            News::Answer(index, answer) => {
                if let Step::Requests(operations) = step {
                    client.watches.answered(&operations[*index], answer);
                    coverage.answered(&operations[*index], answer);
                }
                client.zxid = client.zxid.max(answer.zxid);
                self.generator.learn(answer.zxid, answer.created.as_deref());
            }
            News::Event(event) => {
                client.watches.fired(event);
                coverage.event(event.kind);
            }
            News::Connected => {
                client.connected = true;
                if client.session.is_none() {
                    client.session = Some(self.sessions);
                    self.sessions += 1;
                }
            }
            News::Closed => client.connected = false,
            News::Ping => {}
        }
    }

    fn report(&self, first: usize, client: usize, step: &Step, entries: [Option<&Entry>; 2]) -> ! {
        let index = entries.iter().flatten().find_map(|entry| match entry.news {
            News::Answer(index, _) => Some(index),
            _ => None,
        });
        let mut report =
            format!("the servers differ, with seed {}, after {:.0?}, ", self.seed, self.started.elapsed());
        let _ = match (step, index) {
            (Step::Requests(operations), Some(index)) => {
                writeln!(report, "in operation {}:\n  {:?}", first + index, operations[index])
            }
            _ => writeln!(report, "between operations {first} and {}", self.done - 1),
        };
        let session = self.clients[client].session;
        let _ = writeln!(report, "noticed by client {client}, with session {session:?}:");
        for (side, entry) in self.sides.iter().zip(entries) {
            let text = entry.map_or("nothing more", |entry| &entry.text);
            let _ = writeln!(report, "  {:>9}: {text}", side.name);
        }
        let until = first + index.unwrap_or(self.done - 1 - first);
        let shown = self.history.len().saturating_sub(self.done - 1 - until);
        report.push_str("the last operations:\n");
        for line in self.history.iter().take(shown).skip(shown.saturating_sub(20)) {
            let _ = writeln!(report, "{line}");
        }
        let operations = self.done;
        let _ = writeln!(
            report,
            "To repeat it: DIFFERENTIAL_SEED={} DIFFERENTIAL_OPS={operations} cargo test --test differential\n\
             and with DIFFERENTIAL_PIPELINE=1 one request at a time, which tells which request caused an event.",
            self.seed
        );
        panic!("{report}");
    }
}

/// The clients of a duel.
const CLIENTS: usize = 5;

/// The most requests of one client before it is another's turn.
const LONGEST_GROUP: usize = 40;
