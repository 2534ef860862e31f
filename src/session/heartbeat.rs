//! The heartbeat of a session, and the proofs that it yields.
//!
//! While there is a connection, the session sends a request every [`beat`](crate::lease::Terms::beat).
//!
//! While a contender leads or is next, this is a transaction that checks one znode and changes nothing. Only a quorum can
//! commit it, and only while the quorum keeps the session. (Servers that have lost the quorum still answer reads, pings and
//! even `sync`, so these prove nothing.) One proof serves all leaderships of the session.
//!
//! At other times it is a cheap read. Its answer is evidence for the lease that the first proof will grant.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Notify, watch};

use super::client::{Client, classify};
use super::connection_state::ConnectionState;
use super::transaction::{TransactionError, Write};
use crate::error::Failure;
use crate::lease::Lease;
use crate::mistakes::mistake;
use crate::runtime;
use crate::telemetry;
use crate::timestamp::Timestamp;

/// The most beats that may be waiting for their answers.
const MOST_UNDER_WAY: usize = 8;

/// A transaction of the session that has committed.
#[derive(Clone, Debug)]
pub(crate) struct Proof {
    /// An instant at which it was not yet sent.
    pub(crate) sent: Timestamp,
    /// The lease that it grants on znodes of the session that existed before `sent`.
    pub(crate) lease: Lease,
}

/// Sends the beats of a session, and publishes the proofs.
pub(crate) struct Heartbeat {
    subscribers: Mutex<Subscribers>,
    /// A subscriber wants a proof at once.
    asked: Notify,
    newest: watch::Sender<Option<Proof>>,
}

/// The znodes of the contenders that have subscribed to proofs.
#[derive(Default)]
struct Subscribers {
    paths: BTreeMap<u64, String>,
    /// The number of subscriptions so far.
    numbers: u64,
    /// The number of the znode that was checked last. They take turns.
    last: u64,
}

/// A subscription to proofs. While any exists, beats are proofs.
pub(crate) struct ProofSubscription {
    number: u64,
    heartbeat: Arc<Heartbeat>,
    newest: watch::Receiver<Option<Proof>>,
}

type Beat = BoxFuture<'static, Option<Result<Proof, Failure>>>;

impl Heartbeat {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            subscribers: Mutex::default(),
            asked: Notify::new(),
            newest: watch::Sender::new(None),
        })
    }

    /// Subscribes to proofs. They check `path` in turn with the znodes of other subscribers. With `at_once`, the first is sent
    /// now instead of at the next beat.
    pub(crate) fn prove(self: &Arc<Self>, path: &str, at_once: bool) -> ProofSubscription {
        let mut subscribers = self.subscribers.lock().unwrap();
        subscribers.numbers += 1;
        let number = subscribers.numbers;
        subscribers.paths.insert(number, path.to_owned());
        drop(subscribers);
        if at_once {
            self.asked.notify_one();
        }
        ProofSubscription { number, heartbeat: self.clone(), newest: self.newest.subscribe() }
    }

    /// Runs until the session is closed or lost.
    pub(super) async fn run(self: Arc<Self>, mut connection: watch::Receiver<ConnectionState>) {
        let mut client: Option<Arc<Client>> = None;
        let mut due = runtime::now();
        let mut under_way: FuturesUnordered<Beat> = FuturesUnordered::new();
        connection.mark_changed();
        loop {
            tokio::select! {
                biased;
                changed = connection.changed() => match (changed, connection.borrow_and_update().clone()) {
                    (Err(_), _) | (_, ConnectionState::Closed | ConnectionState::Lost) => return,
                    (Ok(()), ConnectionState::Connected(connected)) => {
                        client = Some(connected);
                        due = runtime::now();
                    }
                    (Ok(()), ConnectionState::Connecting | ConnectionState::Suspended) => client = None,
                    (Ok(()), ConnectionState::Closing(_)) => {}
                },
                Some(outcome) = under_way.next() => match outcome {
                    Some(Ok(proof)) => self.publish(proof),
                    Some(Err(failure)) => telemetry::proof_failed(&failure.reason()),
                    None => {}
                },
                () = self.asked.notified() => due = runtime::now(),
                client = is_due(&client, due), if under_way.len() < MOST_UNDER_WAY => {
                    due = runtime::now() + client.terms().beat() / if mistake!(BeatsTooOften) { 2 } else { 1 };
                    under_way.push(self.beat(client.clone()));
                }
            }
        }
    }

    fn beat(&self, client: Arc<Client>) -> Beat {
        match self.subscribers.lock().unwrap().next() {
            Some(path) => async move { Some(client.prove(&path).await) }.boxed(),
            None => async move {
                client.beat().await;
                None
            }
            .boxed(),
        }
    }

    fn publish(&self, proof: Proof) {
        self.newest.send_if_modified(|newest| {
            let newer = newest.as_ref().is_none_or(|newest| newest.sent < proof.sent);
            if newer {
                *newest = Some(proof);
            }
            newer
        });
    }
}

impl Client {
    /// Proves that the ensemble keeps the session, by a transaction that checks a znode of this session and changes nothing.
    async fn prove(&self, path: &str) -> Result<Proof, Failure> {
        let sent = runtime::now();
        let check = Write::Check { path: path.to_owned(), version: None };
        match self.transact(&[check], self.terms().session_timeout()).await {
            Ok(results) if results.len() == 1 => Ok(Proof { sent, lease: self.lease(sent) }),
            Ok(_) => Err(Failure::Unknown("the server returned no result of the check".into())),
            Err(TransactionError::Request(failure)) => Err(failure),
            Err(TransactionError::Operation { source, .. }) => Err(classify(source, "check", path)),
        }
    }

    /// Sends a read, so that the ensemble hears of the session.
    async fn beat(&self) {
        // The result does not matter: `run_within` records the answer as evidence.
        let request = self.connection.stat("/");
        let _ = self.run_within(self.terms().session_timeout(), "read", "/", request).await;
    }
}

/// Waits until the next beat is due; for ever if there is no connection.
async fn is_due(client: &Option<Arc<Client>>, due: Timestamp) -> &Arc<Client> {
    match client {
        Some(client) => {
            runtime::sleep_until(due).await;
            client
        }
        None => std::future::pending().await,
    }
}

impl Subscribers {
    fn next(&mut self) -> Option<String> {
        let after = self.paths.range(self.last + 1..).next();
        let (number, path) = after.or_else(|| self.paths.first_key_value())?;
        self.last = *number;
        Some(path.clone())
    }
}

impl ProofSubscription {
    /// Waits for a proof that is newer than those returned before.
    ///
    /// # Cancel safety
    /// Can be dropped and called again.
    pub(crate) async fn next(&mut self) -> Proof {
        loop {
            // Cannot fail: `self.heartbeat` holds the sender.
            let _ = self.newest.changed().await;
            if let Some(proof) = &*self.newest.borrow_and_update() {
                return proof.clone();
            }
        }
    }
}

impl Drop for ProofSubscription {
    fn drop(&mut self) {
        self.heartbeat.subscribers.lock().unwrap().paths.remove(&self.number);
    }
}
