//! The heartbeat of a session, and what it proves.
//!
//! While a server answers, the session sends a request every [`beat`](crate::lease::Terms::beat). As long as somebody
//! leads, or is next, the request is a transaction, which only a quorum can commit and only while it keeps
//! the session: a `multi` that checks one znode and changes nothing. (Reads, pings and even `sync` are answered by servers
//! that have lost the quorum, and so prove nothing.) At other times it is a cheap read, whose answer is evidence
//! for the lease that the first proof grants. One proof serves all leaderships of the session.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use super::client::{Client, Proof};
use super::session_task::ConnectionState;
use crate::error::Failure;
use crate::telemetry;

/// How many beats may wait for their answers at a time.
const MOST_UNDER_WAY: usize = 8;

/// Where proofs are asked for and told.
pub(crate) struct Heartbeat {
    wanted: Mutex<Wanted>,
    /// Somebody wants a proof at once.
    asked: Notify,
    newest: watch::Sender<Option<Proof>>,
}

/// The znodes for whose sake proofs are wanted.
#[derive(Default)]
struct Wanted {
    paths: BTreeMap<u64, String>,
    numbers: u64,
    /// The last one that was checked: they take turns.
    last: u64,
}

/// Has the session proven as long as it is kept, and hears of the proofs.
pub(crate) struct ProofSubscription {
    number: u64,
    heartbeat: Arc<Heartbeat>,
    newest: watch::Receiver<Option<Proof>>,
}

type Beat = BoxFuture<'static, Option<Result<Proof, Failure>>>;

impl Heartbeat {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { wanted: Mutex::default(), asked: Notify::new(), newest: watch::Sender::new(None) })
    }

    /// Asks for proofs from now on, and `at_once` for the first; `path` is one of the znodes that are checked in turn.
    pub(crate) fn prove(self: &Arc<Self>, path: &str, at_once: bool) -> ProofSubscription {
        let mut wanted = self.wanted.lock().unwrap();
        wanted.numbers += 1;
        let number = wanted.numbers;
        wanted.paths.insert(number, path.to_owned());
        drop(wanted);
        if at_once {
            self.asked.notify_one();
        }
        ProofSubscription { number, heartbeat: self.clone(), newest: self.newest.subscribe() }
    }

    /// Beats until the session is closed or lost.
    pub(super) async fn run(self: Arc<Self>, mut connection: watch::Receiver<ConnectionState>) {
        let mut client: Option<Arc<Client>> = None;
        let mut due = Instant::now();
        let mut under_way: FuturesUnordered<Beat> = FuturesUnordered::new();
        connection.mark_changed();
        loop {
            tokio::select! {
                biased;
                changed = connection.changed() => match (changed, connection.borrow_and_update().clone()) {
                    (Err(_), _) | (_, ConnectionState::Closed | ConnectionState::Lost) => return,
                    (Ok(()), ConnectionState::Connected(connected)) => {
                        client = Some(connected);
                        due = Instant::now();
                    }
                    (Ok(()), ConnectionState::Connecting | ConnectionState::Suspended) => client = None,
                    (Ok(()), ConnectionState::Closing(_)) => {}
                },
                Some(outcome) = under_way.next() => match outcome {
                    Some(Ok(proof)) => self.tell(proof),
                    Some(Err(failure)) => telemetry::proof_failed(&failure.reason()),
                    None => {}
                },
                () = self.asked.notified() => due = Instant::now(),
                client = is_due(&client, due), if under_way.len() < MOST_UNDER_WAY => {
                    due = Instant::now() + client.terms().beat();
                    under_way.push(self.beat(client.clone()));
                }
            }
        }
    }

    fn beat(&self, client: Arc<Client>) -> Beat {
        match self.wanted.lock().unwrap().next() {
            Some(path) => async move { Some(client.prove(&path).await) }.boxed(),
            None => async move {
                client.beat().await;
                None
            }
            .boxed(),
        }
    }

    fn tell(&self, proof: Proof) {
        self.newest.send_if_modified(|newest| {
            let newer = newest.as_ref().is_none_or(|newest| newest.sent < proof.sent);
            if newer {
                *newest = Some(proof);
            }
            newer
        });
    }
}

/// Waits until it is time for a beat on this connection, for ever if there is none.
async fn is_due(client: &Option<Arc<Client>>, due: Instant) -> &Arc<Client> {
    match client {
        Some(client) => {
            sleep_until(due).await;
            client
        }
        None => std::future::pending().await,
    }
}

impl Wanted {
    fn next(&mut self) -> Option<String> {
        let after = self.paths.range(self.last + 1..).next();
        let (number, path) = after.or_else(|| self.paths.first_key_value())?;
        self.last = *number;
        Some(path.clone())
    }
}

impl ProofSubscription {
    /// Waits for a proof that is newer than those told before.
    ///
    /// # Cancel safety
    /// Can be dropped and called again.
    pub(crate) async fn next(&mut self) -> Proof {
        loop {
            // The prover lives as long as this.
            let _ = self.newest.changed().await;
            if let Some(proof) = &*self.newest.borrow_and_update() {
                return proof.clone();
            }
        }
    }
}

impl Drop for ProofSubscription {
    fn drop(&mut self) {
        self.heartbeat.wanted.lock().unwrap().paths.remove(&self.number);
    }
}
