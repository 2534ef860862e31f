//! The heartbeat of a session, and the proofs that it yields.
//!
//! While there is a connection, the session sends a request every [`beat`](crate::lease::Terms::beat).
//!
//! While a contender leads or is next, this is a transaction that checks one znode and changes nothing. Only a quorum can
//! commit it, and only while the quorum keeps the session. (Servers that have lost the quorum still answer reads, pings and
//! even `sync`, so these prove nothing.) One proof serves all leaderships of the session.
//!
//! At other times it is a cheap read. Its answer is evidence for the lease that the first proof will grant. [`beats`] decides
//! which is sent when.

mod beats;

use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Notify, watch};

use self::beats::{Beat, Beats};
use super::client::{Client, classify};
use super::connection_state::ConnectionState;
use super::transaction::TransactionError;
use super::write::Write;
use crate::error::Failure;
use crate::lease::Lease;
use crate::runtime;
use crate::telemetry;
use crate::timestamp::Timestamp;

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
    beats: Mutex<Beats>,
    /// A beat is due earlier than before.
    hurry: Notify,
    newest: watch::Sender<Option<Proof>>,
}

/// A subscription to proofs. While any exists, beats are proofs.
pub(crate) struct ProofSubscription {
    number: u64,
    heartbeat: Arc<Heartbeat>,
    newest: watch::Receiver<Option<Proof>>,
}

type PendingBeat = BoxFuture<'static, Option<Result<Proof, Failure>>>;

impl Heartbeat {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { beats: Mutex::default(), hurry: Notify::new(), newest: watch::Sender::new(None) })
    }

    fn beats(&self) -> MutexGuard<'_, Beats> {
        self.beats.lock().unwrap()
    }

    /// Subscribes to proofs. They check `path` in turn with the znodes of other subscribers. With `at_once`, the first is sent
    /// now instead of at the next beat.
    pub(crate) fn prove(self: &Arc<Self>, path: &str, at_once: bool) -> ProofSubscription {
        let number = self.beats().subscribe(path, at_once, runtime::now());
        if at_once {
            self.hurry.notify_one();
        }
        ProofSubscription { number, heartbeat: self.clone(), newest: self.newest.subscribe() }
    }

    /// Runs until the session is closed or lost.
    pub(super) async fn run(self: Arc<Self>, mut connection: watch::Receiver<ConnectionState>) {
        let mut client: Option<Arc<Client>> = None;
        let mut under_way: FuturesUnordered<PendingBeat> = FuturesUnordered::new();
        connection.mark_changed();
        loop {
            if let Some(client) = &client
                && let Some(beat) = self.beats().poll_beat(runtime::now(), client.terms().beat())
            {
                under_way.push(client.clone().answer(beat));
                continue;
            }
            let due = self.beats().poll_timeout();
            tokio::select! {
                biased;
                changed = connection.changed() => match (changed, connection.borrow_and_update().clone()) {
                    (Err(_), _) | (_, ConnectionState::Closed | ConnectionState::Lost) => return,
                    (Ok(()), ConnectionState::Connected(connected)) => {
                        client = Some(connected);
                        self.beats().connected(runtime::now());
                    }
                    (Ok(()), ConnectionState::Connecting | ConnectionState::Suspended) => {
                        client = None;
                        self.beats().disconnected();
                    }
                    (Ok(()), ConnectionState::Closing(_)) => {}
                },
                Some(answer) = under_way.next() => self.on_answer(answer),
                () = self.hurry.notified() => {}
                () = until(due) => {}
            }
        }
    }

    fn on_answer(&self, answer: Option<Result<Proof, Failure>>) {
        if let Some(Err(failure)) = &answer {
            telemetry::proof_failed(&failure.reason());
        }
        let proof = answer.and_then(Result::ok);
        if self.beats().answered(proof.as_ref().map(|proof| proof.sent)) {
            self.newest.send_replace(proof);
        }
    }
}

impl Client {
    /// Sends a beat. The answer is a proof, if it is to be one.
    fn answer(self: Arc<Self>, beat: Beat) -> PendingBeat {
        match beat {
            Beat::Prove(path) => async move { Some(self.prove(&path).await) }.boxed(),
            Beat::Read => async move {
                self.beat().await;
                None
            }
            .boxed(),
        }
    }

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

/// Waits until this instant; for ever without one.
async fn until(due: Option<Timestamp>) {
    match due {
        Some(due) => runtime::sleep_until(due).await,
        None => std::future::pending().await,
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
        self.heartbeat.beats().unsubscribe(self.number);
    }
}
